//! The model that tuners are tried on.

use crate::{Model, Weight};

/// The linear weights of a layer with their shapes `[out, in]`: five different ones, none square, so that a swapped
/// axis shows; all lengths are multiples of 8.
const LINEARS: [(&str, [usize; 2]); 7] = [
    ("self_attn.q_proj", [24, 16]),
    ("self_attn.k_proj", [8, 16]),
    ("self_attn.v_proj", [8, 16]),
    ("self_attn.o_proj", [16, 24]),
    ("mlp.gate_proj", [40, 16]),
    ("mlp.up_proj", [40, 16]),
    ("mlp.down_proj", [16, 40]),
];
const LAYERS: usize = 2;
const HIDDEN: usize = 16;
const KV_WIDTH: usize = 8;
const VOCABULARY: usize = 50;

/// A LLaMA of two layers, hidden size 16: attention of three heads that share one key/value head, of width 8.
/// Embedding, norms and head are there as in a checkpoint, so a plan must speak of them too.
pub fn tiny_model() -> Model {
    let outside = |module: &str, name: &str, shape: &[usize]| Weight {
        name: format!("{name}.weight"),
        shape: shape.to_vec(),
        layer: None,
        module: module.into(),
        linear: false,
    };
    let mut weights = vec![outside("embed_tokens", "model.embed_tokens", &[VOCABULARY, HIDDEN])];
    for layer in 0..LAYERS {
        let inside = |module: &str, shape: &[usize], linear| Weight {
            name: format!("model.layers.{layer}.{module}.weight"),
            shape: shape.to_vec(),
            layer: Some(layer),
            module: module.into(),
            linear,
        };
        weights.extend(LINEARS.iter().map(|(module, shape)| inside(module, shape, true)));
        weights.extend(["input_layernorm", "post_attention_layernorm"].map(|norm| inside(norm, &[HIDDEN], false)));
    }
    weights.push(outside("norm", "model.norm", &[HIDDEN]));
    weights.push(outside("lm_head", "lm_head", &[VOCABULARY, HIDDEN]));
    Model { layers: LAYERS, hidden_size: HIDDEN, kv_width: KV_WIDTH, weights }
}
