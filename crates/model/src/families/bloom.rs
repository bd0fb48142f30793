//! BLOOM and BLOOMZ (Le Scao et al. 2022): ALiBi, layer norms, one of them behind the embeddings, a fused `query_key_value`.

use serde_json::{Value, json};
use tunebench_spec::Decoder;
use tunebench_spec::decoder::{
    Activation, Attention, ConfigError, Dims, Embedding, Mlp, Norm, NormKind, Positions, QkvLayout,
};
use tunebench_spec::names::{Names, Role};

use super::config::Config;
use super::{Family, Gguf, GgufWindow};

pub const FAMILY: Family = Family {
    name: "bloom",
    architectures: &["BloomForCausalLM"],
    gguf: Some(Gguf { architecture: "bloom", has_rotary_pairs: false, window: GgufWindow::Unsaid }),
    read,
    write,
};

const NAMES: [(Role, &str); 10] = [
    (Role::Embedding, "transformer.word_embeddings"),
    (Role::EmbeddingNorm, "transformer.word_embeddings_layernorm"),
    (Role::AttentionNorm, "input_layernorm"),
    (Role::QueryKeyValue, "self_attention.query_key_value"),
    (Role::Output, "self_attention.dense"),
    (Role::MlpNorm, "post_attention_layernorm"),
    (Role::Up, "mlp.dense_h_to_4h"),
    (Role::Down, "mlp.dense_4h_to_h"),
    (Role::FinalNorm, "transformer.ln_f"),
    (Role::Head, "lm_head"),
];

/// No position is learned, so a model has no longest text; all were trained with this, unless `seq_length` says otherwise.
const CONTEXT: usize = 2048;

fn read(config: &Config<'_>) -> Result<Decoder, ConfigError> {
    let hidden_size = config.dim(if config.get("n_embed").is_some() { "n_embed" } else { "hidden_size" })?;
    let heads = either(config, "n_head", "num_attention_heads")?;
    let what = "a residual that begins behind the norm";
    config.only("apply_residual_connection_post_layernorm", false, false, what)?;
    let plain = Decoder::llama(Dims {
        vocab_size: config.dim("vocab_size")?,
        hidden_size,
        intermediate_size: 4 * hidden_size,
        num_hidden_layers: either(config, "n_layer", "num_hidden_layers")?,
        heads,
        kv_heads: heads,
        head_dim: hidden_size / heads,
    });
    if heads * plain.attention.head_dim != hidden_size {
        let why = format!("`hidden_size` ({hidden_size}) must be a multiple of `n_head` ({heads})");
        return Err(ConfigError::Unsupported(why));
    }
    Ok(Decoder {
        max_position_embeddings: config.dim_or("seq_length", CONTEXT)?,
        embedding: Embedding { scale: None, norm: true },
        norm: Norm { kind: NormKind::Layer, eps: config.number_or("layer_norm_epsilon", 1e-5)? },
        positions: Positions::Alibi,
        attention: Attention { qkv_bias: true, output_bias: true, qkv: QkvLayout::ByHead, ..plain.attention },
        mlp: Mlp { gated: false, bias: true, activation: Activation::GeluTanh, ..plain.mlp },
        tie_word_embeddings: config.is_on_or("tie_word_embeddings", true)?,
        names: Names::new("transformer.h.{}", &NAMES),
        ..plain
    })
}

/// A dimension under its own name or the one that other families have for it.
fn either(config: &Config<'_>, own: &'static str, common: &'static str) -> Result<usize, ConfigError> {
    if config.get(own).is_none() {
        return config.dim(common);
    }
    let dim = config.dim(own)?;
    let other = config.dim_or(common, dim)?;
    if dim != other {
        let why = format!("`{own}` is {dim} and `{common}` {other}, and both mean the same; remove one of them");
        return Err(ConfigError::Unsupported(why));
    }
    Ok(dim)
}

fn write(decoder: &Decoder) -> Value {
    json!({
        "n_layer": decoder.num_hidden_layers,
        "n_head": decoder.attention.heads,
        "layer_norm_epsilon": decoder.norm.eps,
        "seq_length": decoder.max_position_embeddings,
        "apply_residual_connection_post_layernorm": false,
        "hidden_dropout": 0.0,
        "attention_dropout": 0.0,
    })
}
