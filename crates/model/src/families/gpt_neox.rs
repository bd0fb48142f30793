//! GPT-NeoX (Black et al. 2022), Pythia among them: layer norms, attention and MLP side by side, partly rotated heads, a fused
//! `query_key_value`.

use serde_json::{Value, json};
use tunebench_spec::Decoder;
use tunebench_spec::decoder::{
    Activation, Attention, ConfigError, Dims, Mlp, Norm, NormKind, NormPlacement, Positions, QkvLayout,
};
use tunebench_spec::names::{Names, Role};

use super::config::Config;
use super::{Family, Gguf, GgufWindow, RopeWords, llama, rope};

pub const FAMILY: Family = Family {
    name: "gpt_neox",
    architectures: &["GPTNeoXForCausalLM"],
    gguf: Some(Gguf { architecture: "gptneox", has_rotary_pairs: false, window: GgufWindow::Unsaid }),
    read,
    write,
};

const NAMES: [(Role, &str); 9] = [
    (Role::Embedding, "gpt_neox.embed_in"),
    (Role::AttentionNorm, "input_layernorm"),
    (Role::QueryKeyValue, "attention.query_key_value"),
    (Role::Output, "attention.dense"),
    (Role::MlpNorm, "post_attention_layernorm"),
    (Role::Up, "mlp.dense_h_to_4h"),
    (Role::Down, "mlp.dense_4h_to_h"),
    (Role::FinalNorm, "gpt_neox.final_layer_norm"),
    (Role::Head, "embed_out"),
];

const WORDS: RopeWords =
    RopeWords { theta: "rotary_emb_base", partial: Some(("rotary_pct", 0.25)), ..RopeWords::WHOLE_HEADS };

fn read(config: &Config<'_>) -> Result<Decoder, ConfigError> {
    let (hidden_size, heads) = (config.dim("hidden_size")?, config.dim("num_attention_heads")?);
    if !hidden_size.is_multiple_of(heads) {
        let why = format!("`hidden_size` ({hidden_size}) must be a multiple of `num_attention_heads` ({heads})");
        return Err(ConfigError::Unsupported(why));
    }
    let plain = Decoder::llama(Dims {
        vocab_size: config.dim("vocab_size")?,
        hidden_size,
        intermediate_size: config.dim("intermediate_size")?,
        num_hidden_layers: config.dim("num_hidden_layers")?,
        heads,
        kv_heads: heads,
        head_dim: hidden_size / heads,
    });
    let context = config.dim_or("max_position_embeddings", 2048)?;
    let is_parallel = config.is_on_or("use_parallel_residual", true)?;
    let has_bias = config.is_on_or("attention_bias", true)?;
    let activation = config.activation_or("hidden_act", Activation::Gelu)?;
    Ok(Decoder {
        max_position_embeddings: context,
        norm: Norm { kind: NormKind::Layer, eps: config.number_or("layer_norm_eps", 1e-5)? },
        norm_placement: if is_parallel { NormPlacement::Parallel } else { NormPlacement::Pre },
        positions: Positions::Rotary(rope::read(config, &WORDS, context, hidden_size / heads)?),
        attention: Attention { qkv_bias: has_bias, output_bias: has_bias, qkv: QkvLayout::ByHead, ..plain.attention },
        mlp: Mlp { gated: false, bias: true, activation, ..plain.mlp },
        tie_word_embeddings: config.is_on("tie_word_embeddings")?,
        names: Names::new("gpt_neox.layers.{}", &NAMES),
        ..plain
    })
}

fn write(decoder: &Decoder) -> Value {
    let mut config = json!({
        "intermediate_size": decoder.mlp.intermediate_size,
        "hidden_act": llama::activation(decoder.mlp.activation),
        "layer_norm_eps": decoder.norm.eps,
        "use_parallel_residual": decoder.norm_placement == NormPlacement::Parallel,
        "attention_bias": decoder.attention.qkv_bias,
    });
    rope::write(decoder, &WORDS, &mut config);
    config
}
