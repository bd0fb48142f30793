//! The model that tuners are tried on.

use crate::{Model, Weight};

/// The linear weights of a layer with their shapes `[out, in]`: five different ones, none square, so that a swapped
/// axis shows; all lengths are multiples of 8.
const LINEARS: [(&str, &str, [usize; 2]); 7] = [
    ("query", "self_attn.q_proj", [24, 16]),
    ("key", "self_attn.k_proj", [8, 16]),
    ("value", "self_attn.v_proj", [8, 16]),
    ("output", "self_attn.o_proj", [16, 24]),
    ("gate", "mlp.gate_proj", [40, 16]),
    ("up", "mlp.up_proj", [40, 16]),
    ("down", "mlp.down_proj", [16, 40]),
];
const NORMS: [(&str, &str); 2] = [("attention_norm", "input_layernorm"), ("mlp_norm", "post_attention_layernorm")];
const LAYERS: usize = 2;
const HIDDEN: usize = 16;
const KV_WIDTH: usize = 8;
const VOCABULARY: usize = 50;

/// A LLaMA of two layers, hidden size 16: attention of three heads that share one key/value head, of width 8.
/// Embedding, norms and head are there as in a checkpoint, so a plan must speak of them too.
pub fn tiny_model() -> Model {
    let outside = |role: &str, module: &str, name: &str, shape: &[usize]| Weight {
        name: format!("{name}.weight"),
        shape: shape.to_vec(),
        layer: None,
        module: module.into(),
        linear: false,
        role: role.into(),
    };
    let mut weights = vec![outside("embedding", "embed_tokens", "model.embed_tokens", &[VOCABULARY, HIDDEN])];
    for layer in 0..LAYERS {
        let inside = |role: &str, module: &str, shape: &[usize], linear| Weight {
            name: format!("model.layers.{layer}.{module}.weight"),
            shape: shape.to_vec(),
            layer: Some(layer),
            module: module.into(),
            linear,
            role: role.into(),
        };
        weights.extend(LINEARS.iter().map(|(role, module, shape)| inside(role, module, shape, true)));
        weights.extend(NORMS.map(|(role, norm)| inside(role, norm, &[HIDDEN], false)));
    }
    weights.push(outside("final_norm", "norm", "model.norm", &[HIDDEN]));
    weights.push(outside("head", "lm_head", "lm_head", &[VOCABULARY, HIDDEN]));
    Model { layers: LAYERS, hidden_size: HIDDEN, kv_width: KV_WIDTH, family: "llama".into(), weights }
}
