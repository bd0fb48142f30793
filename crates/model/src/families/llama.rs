//! LLaMA (Touvron et al. 2023): RMS norms before attention and MLP, rotary positions, SwiGLU. What most families change
//! a little.

use serde_json::{Value, json};
use tunebench_spec::Decoder;
use tunebench_spec::decoder::{Activation, Attention, ConfigError, Dims, Mlp, Norm, Positions};

use super::config::{ACTIVATIONS, Config};
use super::{Family, Gguf, GgufWindow, RopeWords, rope};

pub const FAMILY: Family = Family {
    name: "llama",
    architectures: &["LlamaForCausalLM", "LLaMAForCausalLM"],
    gguf: Some(Gguf { architecture: "llama", has_rotary_pairs: true, window: GgufWindow::Unsaid }),
    read,
    write,
};

/// # Errors
/// Names the key that is missing, of the wrong type, or asks for what is not supported.
pub fn read(config: &Config<'_>) -> Result<Decoder, ConfigError> {
    let decoder = without_biases(config)?;
    let (has_bias, mlp_bias) = (config.is_on("attention_bias")?, config.is_on("mlp_bias")?);
    Ok(Decoder {
        attention: Attention { qkv_bias: has_bias, output_bias: has_bias, ..decoder.attention },
        mlp: Mlp { bias: mlp_bias, ..decoder.mlp },
        ..decoder
    })
}

/// As [`read`], for families whose configuration says nothing of biases.
///
/// # Errors
/// As [`read`].
pub fn without_biases(config: &Config<'_>) -> Result<Decoder, ConfigError> {
    let hidden_size = config.dim("hidden_size")?;
    let heads = config.dim("num_attention_heads")?;
    let decoder = Decoder::llama(Dims {
        vocab_size: config.dim("vocab_size")?,
        hidden_size,
        intermediate_size: config.dim("intermediate_size")?,
        num_hidden_layers: config.dim("num_hidden_layers")?,
        heads,
        kv_heads: config.dim_or("num_key_value_heads", heads)?,
        head_dim: config.dim_or("head_dim", hidden_size / heads)?,
    });
    let context = config.dim_or("max_position_embeddings", 2048)?;
    let rotary = rope::read(config, &RopeWords::WHOLE_HEADS, context, decoder.attention.head_dim)?;
    Ok(Decoder {
        max_position_embeddings: context,
        norm: Norm { eps: config.number_or("rms_norm_eps", 1e-6)?, ..decoder.norm },
        positions: Positions::Rotary(rotary),
        mlp: Mlp { activation: config.activation("hidden_act")?, ..decoder.mlp },
        tie_word_embeddings: config.is_on("tie_word_embeddings")?,
        ..decoder
    })
}

fn write(decoder: &Decoder) -> Value {
    let mut config = common(decoder);
    config["attention_bias"] = decoder.attention.qkv_bias.into();
    config["mlp_bias"] = decoder.mlp.bias.into();
    config
}

/// The keys that families near LLaMA share.
pub fn common(decoder: &Decoder) -> Value {
    let mut config = json!({
        "intermediate_size": decoder.mlp.intermediate_size,
        "num_key_value_heads": decoder.attention.kv_heads,
        "head_dim": decoder.attention.head_dim,
        "rms_norm_eps": decoder.norm.eps,
        "hidden_act": activation(decoder.mlp.activation),
    });
    rope::write(decoder, &RopeWords::WHOLE_HEADS, &mut config);
    config
}

/// With the keys that say which layers have a sliding window, as the Qwens say it.
pub fn with_window_by_layer(mut config: Value, decoder: &Decoder) -> Value {
    let window = decoder.attention.window.as_ref();
    config["use_sliding_window"] = window.is_some().into();
    config["sliding_window"] = json!(window.map(|window| window.size));
    let layers = 0..decoder.num_hidden_layers;
    let is_full = |layer: &usize| decoder.attention.window_of(*layer).is_none();
    config["max_window_layers"] = layers.clone().take_while(is_full).count().into();
    let kind = |layer| if is_full(&layer) { "full_attention" } else { "sliding_attention" };
    config["layer_types"] = layers.map(kind).collect();
    config
}

/// As `hidden_act` spells it.
pub fn activation(of: Activation) -> &'static str {
    ACTIVATIONS.iter().find(|(_, activation)| *activation == of).map_or("silu", |(name, _)| name)
}
