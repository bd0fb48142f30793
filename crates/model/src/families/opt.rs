//! OPT (Zhang et al. 2022): layer norms, learned positions that begin at row 2, biases everywhere, an MLP without a gate.

use serde_json::{Value, json};
use tunebench_spec::Decoder;
use tunebench_spec::decoder::{Activation, Attention, ConfigError, Dims, Mlp, Norm, NormKind, Positions};
use tunebench_spec::names::{Names, Role};

use super::Family;
use super::config::Config;
use super::llama::activation;

/// llama.cpp has no such architecture.
pub const FAMILY: Family = Family { name: "opt", architectures: &["OPTForCausalLM"], gguf: None, read, write };

const NAMES: [(Role, &str); 12] = [
    (Role::Embedding, "model.decoder.embed_tokens"),
    (Role::PositionEmbedding, "model.decoder.embed_positions"),
    (Role::AttentionNorm, "self_attn_layer_norm"),
    (Role::Query, "self_attn.q_proj"),
    (Role::Key, "self_attn.k_proj"),
    (Role::Value, "self_attn.v_proj"),
    (Role::Output, "self_attn.out_proj"),
    (Role::MlpNorm, "final_layer_norm"),
    (Role::Up, "fc1"),
    (Role::Down, "fc2"),
    (Role::FinalNorm, "model.decoder.final_layer_norm"),
    (Role::Head, "lm_head"),
];

fn read(config: &Config<'_>) -> Result<Decoder, ConfigError> {
    let (hidden_size, heads) = (config.dim("hidden_size")?, config.dim("num_attention_heads")?);
    config.only("do_layer_norm_before", true, true, "norms behind attention and MLP instead of before (OPT-350m)")?;
    config.only("_remove_final_layer_norm", false, false, "a decoder without its last norm")?;
    config.only("layer_norm_elementwise_affine", true, true, "layer norms without weights")?;
    let embedded = config.dim_or("word_embed_proj_dim", hidden_size)?;
    if embedded != hidden_size {
        let why =
            format!("`word_embed_proj_dim` ({embedded}) is not `hidden_size` ({hidden_size}): embeddings behind a");
        return Err(ConfigError::Unsupported(format!("{why} projection (OPT-350m) are not supported")));
    }
    let has_bias = config.is_on_or("enable_bias", true)?;
    let plain = Decoder::llama(Dims {
        vocab_size: config.dim("vocab_size")?,
        hidden_size,
        intermediate_size: config.dim_or("ffn_dim", 3072)?,
        num_hidden_layers: config.dim("num_hidden_layers")?,
        heads,
        kv_heads: heads,
        head_dim: hidden_size / heads,
    });
    let activation = config.activation_or("activation_function", Activation::Relu)?;
    Ok(Decoder {
        max_position_embeddings: config.dim_or("max_position_embeddings", 2048)?,
        norm: Norm { kind: NormKind::Layer, eps: 1e-5 },
        positions: Positions::Learned { offset: 2 },
        attention: Attention { qkv_bias: has_bias, output_bias: has_bias, ..plain.attention },
        mlp: Mlp { gated: false, bias: has_bias, activation, ..plain.mlp },
        tie_word_embeddings: config.is_on_or("tie_word_embeddings", true)?,
        names: Names::new("model.decoder.layers.{}", &NAMES),
        ..plain
    })
}

fn write(decoder: &Decoder) -> Value {
    json!({
        "ffn_dim": decoder.mlp.intermediate_size,
        "activation_function": activation(decoder.mlp.activation),
        "enable_bias": decoder.mlp.bias,
        "do_layer_norm_before": true,
        "word_embed_proj_dim": decoder.hidden_size,
        "dropout": 0.0,
    })
}
