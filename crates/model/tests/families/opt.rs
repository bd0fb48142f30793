//! A family that tunebench does not ship, as its author would add it: OPT (Zhang et al. 2022), layer norms, learned positions
//! and an MLP without a gate.

use serde_json::{Value, json};
use tunebench_model::families::{Config, Family};
use tunebench_spec::Decoder;
use tunebench_spec::decoder::{Attention, ConfigError, Dims, Mlp, Norm, NormKind, Positions};
use tunebench_spec::names::{Names, Role};

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
    let plain = Decoder::llama(Dims {
        vocab_size: config.dim("vocab_size")?,
        hidden_size,
        intermediate_size: config.dim("ffn_dim")?,
        num_hidden_layers: config.dim("num_hidden_layers")?,
        heads,
        kv_heads: heads,
        head_dim: hidden_size / heads,
    });
    Ok(Decoder {
        max_position_embeddings: config.dim("max_position_embeddings")?,
        norm: Norm { kind: NormKind::Layer, eps: 1e-5 },
        positions: Positions::Learned { offset: 2 },
        attention: Attention { qkv_bias: true, output_bias: true, ..plain.attention },
        mlp: Mlp { gated: false, bias: true, activation: config.activation("activation_function")?, ..plain.mlp },
        tie_word_embeddings: true,
        names: Names::new("model.decoder.layers.{}", &NAMES),
        ..plain
    })
}

fn write(decoder: &Decoder) -> Value {
    json!({ "ffn_dim": decoder.mlp.intermediate_size })
}
