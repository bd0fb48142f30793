//! Mistral (Jiang et al. 2023): LLaMA with a sliding window in every layer, in its first version.

use serde_json::{Value, json};
use tunebench_spec::Decoder;
use tunebench_spec::decoder::{Attention, ConfigError, Window};

use super::config::Config;
use super::{Family, llama};

/// llama.cpp keeps it as `llama`, and without its window.
pub const FAMILY: Family = Family { name: "mistral", architectures: &["MistralForCausalLM"], gguf: None, read, write };

fn read(config: &Config<'_>) -> Result<Decoder, ConfigError> {
    let decoder = llama::without_biases(config)?;
    let size = match config.0.get("sliding_window") {
        None => Some(4096), // transformers' default
        Some(value) if value.is_null() => None,
        Some(_) => Some(config.dim("sliding_window")?),
    };
    if config.get("layer_types").is_some() {
        let why = "`layer_types` is not read for this family: every layer has the window";
        return Err(ConfigError::Unsupported(why.into()));
    }
    Ok(Decoder {
        max_position_embeddings: config.dim_or("max_position_embeddings", 131_072)?,
        attention: Attention {
            kv_heads: config.dim_or("num_key_value_heads", 8)?,
            window: size.map(|size| Window { size, full_layers: vec![] }),
            ..decoder.attention
        },
        ..decoder
    })
}

fn write(decoder: &Decoder) -> Value {
    let mut config = llama::common(decoder);
    // Always there: absent means 4096.
    config["sliding_window"] = json!(decoder.attention.window.as_ref().map(|window| window.size));
    config
}
