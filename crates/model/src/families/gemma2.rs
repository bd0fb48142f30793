//! Gemma 2 (Riviere et al. 2024): RMS norms `1 + w` on both sides of each part, scaled embeddings, GELU, every other layer
//! with a window, soft caps of scores and logits.

use serde_json::{Value, json};
use tunebench_spec::Decoder;
use tunebench_spec::decoder::{
    Activation, Attention, ConfigError, Embedding, Mlp, Norm, NormKind, NormPlacement, Window,
};
use tunebench_spec::names::{Names, Role};

use super::config::Config;
use super::{Family, Gguf, GgufWindow, llama};

pub const FAMILY: Family = Family {
    name: "gemma2",
    architectures: &["Gemma2ForCausalLM"],
    gguf: Some(Gguf { architecture: "gemma2", has_rotary_pairs: false, window: GgufWindow::Computed }),
    read,
    write,
};

const NAMES: [(Role, &str); 3] = [
    (Role::PostAttentionNorm, "post_attention_layernorm"),
    (Role::MlpNorm, "pre_feedforward_layernorm"),
    (Role::PostMlpNorm, "post_feedforward_layernorm"),
];

fn read(config: &Config<'_>) -> Result<Decoder, ConfigError> {
    let decoder =
        Decoder { max_position_embeddings: config.dim_or("max_position_embeddings", 8192)?, ..common(config)? };
    let window = window(config, decoder.num_hidden_layers, 2)?;
    Ok(Decoder {
        attention: Attention {
            window,
            softcap: config.number_absent("attn_logit_softcapping", 50.0)?,
            ..decoder.attention
        },
        logit_softcap: config.number_absent("final_logit_softcapping", 30.0)?,
        ..decoder
    })
}

/// What Gemma 2 and 3 share.
///
/// # Errors
/// As [`llama::read`].
pub fn common(config: &Config<'_>) -> Result<Decoder, ConfigError> {
    config.only("use_bidirectional_attention", false, false, "attention to later tokens")?;
    let decoder = llama::without_biases(config)?;
    let has_bias = config.is_on("attention_bias")?;
    Ok(Decoder {
        embedding: Embedding { scale: Some((decoder.hidden_size as f64).sqrt()), norm: false },
        norm: Norm { kind: NormKind::Rms { unit_offset: true }, ..decoder.norm },
        norm_placement: NormPlacement::PreAndPost,
        attention: Attention {
            kv_heads: config.dim_or("num_key_value_heads", 4)?,
            head_dim: config.dim_or("head_dim", 256)?,
            qkv_bias: has_bias,
            output_bias: has_bias,
            scale: Some(config.number_or("query_pre_attn_scalar", 256.0)?.powf(-0.5)),
            ..decoder.attention
        },
        mlp: Mlp { activation: activation(config)?, ..decoder.mlp },
        tie_word_embeddings: config.is_on_or("tie_word_embeddings", true)?,
        names: Names::default().with(&NAMES),
        ..decoder
    })
}

/// `hidden_activation`; `hidden_act`, which early files have, is not read.
fn activation(config: &Config<'_>) -> Result<Activation, ConfigError> {
    config.activation_or("hidden_activation", Activation::GeluTanh)
}

/// The window of all layers but each `pattern`-th, unless `layer_types` says otherwise.
///
/// # Errors
/// As [`Config::full_layers`].
pub fn window(config: &Config<'_>, layers: usize, pattern: usize) -> Result<Option<Window>, ConfigError> {
    let size = config.dim_absent_null("sliding_window", 4096, 0)?;
    let full_layers = match config.get("layer_types") {
        Some(types) => config.full_layers(types, layers, size > 0)?,
        None => (0..layers).filter(|layer| (layer + 1) % pattern == 0).collect(),
    };
    if full_layers.len() == layers {
        return Ok(None);
    }
    match size {
        0 => Err(ConfigError::Unsupported("`sliding_window` is null, but some layers slide".into())),
        size => Ok(Some(Window { size, full_layers })),
    }
}

/// The keys of `config.json`, which Gemma 3 has too.
pub fn write(decoder: &Decoder) -> Value {
    let mut config = llama::common(decoder);
    if let Some(config) = config.as_object_mut()
        && let Some(activation) = config.remove("hidden_act")
    {
        config.insert("hidden_activation".into(), activation);
    }
    config["attention_bias"] = decoder.attention.qkv_bias.into();
    config["query_pre_attn_scalar"] = scalar(decoder.attention.score_scale());
    config["attn_logit_softcapping"] = json!(decoder.attention.softcap);
    config["final_logit_softcapping"] = json!(decoder.logit_softcap);
    let layers = 0..decoder.num_hidden_layers;
    let kind =
        |layer| if decoder.attention.window_of(layer).is_some() { "sliding_attention" } else { "full_attention" };
    config["layer_types"] = layers.map(kind).collect();
    config["sliding_window"] = json!(decoder.attention.window.as_ref().map(|window| window.size));
    config
}

/// The number whose root divides scores: whole, as transformers wants it, where that is what it was.
fn scalar(scale: f64) -> Value {
    let found = scale.powi(-2);
    let whole = found.round();
    if whole.powf(-0.5) == scale { json!(whole as u64) } else { json!(found) }
}
