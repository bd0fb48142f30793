//! Qwen2 and Qwen2.5 (Yang et al. 2024): LLaMA with biases of q, k and v, and a sliding window in the later layers of some.

use serde_json::Value;
use tunebench_spec::Decoder;
use tunebench_spec::decoder::{Attention, ConfigError};

use super::config::Config;
use super::{Family, Gguf, GgufWindow, llama};

pub const FAMILY: Family = Family {
    name: "qwen2",
    architectures: &["Qwen2ForCausalLM"],
    gguf: Some(Gguf { architecture: "qwen2", has_rotary_pairs: false, window: GgufWindow::Unsaid }),
    read,
    write,
};

fn read(config: &Config<'_>) -> Result<Decoder, ConfigError> {
    let decoder = llama::without_biases(config)?;
    let window = config.window_by_layer(decoder.num_hidden_layers)?;
    // transformers' default where the key is missing.
    let kv_heads = config.dim_absent_null("num_key_value_heads", 32, decoder.attention.heads)?;
    Ok(Decoder {
        max_position_embeddings: config.dim_or("max_position_embeddings", 32768)?,
        attention: Attention { kv_heads, qkv_bias: true, window, ..decoder.attention },
        ..decoder
    })
}

fn write(decoder: &Decoder) -> Value {
    llama::with_window_by_layer(llama::common(decoder), decoder)
}
