//! Qwen3 (Yang et al. 2025): LLaMA with norms of queries and keys by head, and heads that are not hidden/heads wide.

use serde_json::Value;
use tunebench_spec::Decoder;
use tunebench_spec::decoder::{Attention, ConfigError};

use super::config::Config;
use super::{Family, Gguf, GgufWindow, llama};

pub const FAMILY: Family = Family {
    name: "qwen3",
    architectures: &["Qwen3ForCausalLM"],
    gguf: Some(Gguf { architecture: "qwen3", has_rotary_pairs: false, window: GgufWindow::Unsaid }),
    read,
    write,
};

fn read(config: &Config<'_>) -> Result<Decoder, ConfigError> {
    let decoder = llama::read(config)?;
    let window = config.window_by_layer(decoder.num_hidden_layers)?;
    // transformers' default where the key is missing.
    let kv_heads = config.dim_absent_null("num_key_value_heads", 32, decoder.attention.heads)?;
    let head_dim = config.dim_or("head_dim", 128)?;
    Ok(Decoder {
        max_position_embeddings: config.dim_or("max_position_embeddings", 32768)?,
        attention: Attention { kv_heads, head_dim, qk_norm: true, window, ..decoder.attention },
        ..decoder
    })
}

fn write(decoder: &Decoder) -> Value {
    let mut config = llama::with_window_by_layer(llama::common(decoder), decoder);
    config["attention_bias"] = decoder.attention.qkv_bias.into();
    config
}
