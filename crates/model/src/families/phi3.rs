//! Phi-3 and Phi-4 (Abdin et al. 2024): LLaMA with fused weights, a window in some, LongRoPE and partly rotated heads in others.

use serde_json::{Value, json};
use tunebench_spec::Decoder;
use tunebench_spec::decoder::{
    Attention, ConfigError, Longrope, Mlp, Norm, Positions, QkvLayout, RopeScaling, Rotary, Window,
};
use tunebench_spec::names::{Names, Role};

use super::config::Config;
use super::{Family, Gguf, GgufWindow, RopeWords, llama, rope};

pub const FAMILY: Family = Family {
    name: "phi3",
    architectures: &["Phi3ForCausalLM"],
    gguf: Some(Gguf { architecture: "phi3", has_rotary_pairs: false, window: GgufWindow::Ignored }),
    read,
    write,
};

const NAMES: [(Role, &str); 2] = [(Role::QueryKeyValue, "self_attn.qkv_proj"), (Role::GateUp, "mlp.gate_up_proj")];

const WORDS: RopeWords = RopeWords {
    partial: Some(("partial_rotary_factor", 1.0)),
    longrope: &["longrope", "su", "yarn"],
    ..RopeWords::WHOLE_HEADS
};

fn read(config: &Config<'_>) -> Result<Decoder, ConfigError> {
    // What a family near LLaMA shares; its rotary positions are read below, with Phi-3's words.
    let mut rest = config.0.clone();
    if let Some(rest) = rest.as_object_mut() {
        rest.retain(|key, _| !["rope_parameters", "rope_scaling", "partial_rotary_factor"].contains(&key.as_str()));
    }
    let decoder = llama::without_biases(&Config(&rest))?;
    let context = config.dim_or("max_position_embeddings", 4096)?;
    // transformers' default, whatever rope_scaling says.
    let mut outside = config.0.clone();
    if config.get("original_max_position_embeddings").is_none()
        && let Some(outside) = outside.as_object_mut()
    {
        outside.insert("original_max_position_embeddings".into(), json!(4096));
    }
    let rotary = rope::read(&Config(&outside), &WORDS, context, decoder.attention.head_dim)?;
    if !matches!(rotary.scaling, None | Some(RopeScaling::Longrope(_))) {
        let why = "rope scaling of this family is `longrope` (or `su`, or `yarn`, as early files call it) and no other";
        return Err(ConfigError::Unsupported(why.into()));
    }
    let window = config.get("sliding_window").map(|_| config.dim("sliding_window")).transpose()?;
    Ok(Decoder {
        max_position_embeddings: context,
        norm: Norm { eps: config.number_or("rms_norm_eps", 1e-5)?, ..decoder.norm },
        positions: Positions::Rotary(rotary),
        attention: Attention {
            qkv: QkvLayout::Blocks,
            window: window.map(|size| Window { size, full_layers: vec![] }),
            ..decoder.attention
        },
        mlp: Mlp { fused_gate_up: true, ..decoder.mlp },
        names: Names::default().with(&NAMES),
        ..decoder
    })
}

fn write(decoder: &Decoder) -> Value {
    let mut config = llama::common(decoder);
    rope::write(decoder, &WORDS, &mut config);
    if let Positions::Rotary(Rotary { scaling: Some(RopeScaling::Longrope(longrope)), .. }) = &decoder.positions {
        let Longrope { short_factor, long_factor, original_max_position_embeddings, factor, attention_factor } =
            longrope;
        // transformers 4 wants these three keys and no other.
        let mut scaling = json!({ "type": "longrope", "short_factor": short_factor, "long_factor": long_factor });
        for (key, value) in [("factor", factor), ("attention_factor", attention_factor)] {
            if let Some(value) = value {
                scaling[key] = json!(value);
            }
        }
        config["rope_scaling"] = scaling;
        config["original_max_position_embeddings"] = json!(original_max_position_embeddings);
    }
    config["sliding_window"] = json!(decoder.attention.window.as_ref().map(|window| window.size));
    config["pad_token_id"] = Value::Null; // transformers' default is a token that a small vocabulary has not
    config
}
