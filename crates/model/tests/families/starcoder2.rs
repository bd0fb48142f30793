//! A family of models as one file: Starcoder2 (Lozhkov et al. 2024), layer norms before attention and MLP, rotary positions,
//! grouped keys, a window, GELU without a gate, biases everywhere.

use serde_json::{Value, json};
use tunebench_model::families::{Config, Family, RopeWords, rope};
use tunebench_spec::Decoder;
use tunebench_spec::decoder::{Activation, Attention, ConfigError, Dims, Mlp, Norm, NormKind, Positions, Window};
use tunebench_spec::names::{Names, Role};

pub const FAMILY: Family =
    Family { name: "starcoder2", architectures: &["Starcoder2ForCausalLM"], gguf: None, read, write };

const NAMES: [(Role, &str); 2] = [(Role::Up, "mlp.c_fc"), (Role::Down, "mlp.c_proj")];

fn read(config: &Config<'_>) -> Result<Decoder, ConfigError> {
    let (hidden_size, heads) = (config.dim("hidden_size")?, config.dim("num_attention_heads")?);
    let plain = Decoder::llama(Dims {
        vocab_size: config.dim("vocab_size")?,
        hidden_size,
        intermediate_size: config.dim("intermediate_size")?,
        num_hidden_layers: config.dim("num_hidden_layers")?,
        heads,
        kv_heads: config.dim_or("num_key_value_heads", heads)?,
        head_dim: hidden_size / heads,
    });
    let context = config.dim("max_position_embeddings")?;
    let has_bias = config.is_on_or("use_bias", true)?;
    let window = config.get("sliding_window").map(|_| config.dim("sliding_window")).transpose()?;
    let activation = config.activation_or("hidden_act", Activation::GeluTanh)?;
    Ok(Decoder {
        max_position_embeddings: context,
        norm: Norm { kind: NormKind::Layer, eps: config.number_or("norm_epsilon", 1e-5)? },
        positions: Positions::Rotary(rope::read(config, &RopeWords::WHOLE_HEADS, context, hidden_size / heads)?),
        attention: Attention {
            qkv_bias: has_bias,
            output_bias: has_bias,
            window: window.map(|size| Window { size, full_layers: vec![] }),
            ..plain.attention
        },
        mlp: Mlp { gated: false, bias: has_bias, activation, ..plain.mlp },
        tie_word_embeddings: config.is_on_or("tie_word_embeddings", true)?,
        names: Names::default().with(&NAMES),
        ..plain
    })
}

fn write(decoder: &Decoder) -> Value {
    json!({ "intermediate_size": decoder.mlp.intermediate_size })
}
