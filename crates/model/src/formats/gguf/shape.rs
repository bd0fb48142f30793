//! A GGUF header in the words of `config.json`, and the decoder that its family reads in them.

use std::path::Path;

use serde_json::{Value as Json, json};
use tunebench_spec::Decoder;
use tunebench_spec::decoder::{NormKind, Positions};

use crate::Error;
use crate::families::{self, Config, Family, Gguf, GgufWindow};
use crate::formats::gguf::header::{Header, Value};
use crate::formats::gguf::keys::Keys;
use crate::formats::gguf::rope::{self, RopeFactors};

/// Architectures whose heads may be rotated in part.
const PARTLY_ROTATED: [&str; 2] = ["phi3", "gptneox"];

/// Gemmas whose scores are scaled by the width that heads would have if they filled the hidden one, by architecture and
/// number of layers; the file does not say it, and llama.cpp knows them so too. In all others it is the width of a head.
const SCALED_BY_HIDDEN: [(&str, usize); 2] = [("gemma2", 46), ("gemma3", 62)];

/// Reads the keys of the header's architecture.
pub(super) fn read(
    families: &[Family],
    path: &Path,
    header: &Header,
    factors: &RopeFactors,
) -> Result<(Decoder, Gguf), Error> {
    let architecture = match header.metadata.get("general.architecture") {
        Some(Value::Text(name)) => name.as_str(),
        _ => "(none)",
    };
    let known = families.iter().filter_map(|family| Some((family, family.gguf?)));
    let Some((family, gguf)) = known.clone().find(|(_, gguf)| gguf.architecture == architecture) else {
        let known: Vec<&str> = known.map(|(_, gguf)| gguf.architecture).collect();
        let what = format!("has architecture `{architecture}`; supported: {}", known.join(", "));
        return Err(Error::unsupported(path, what));
    };
    let keys = Keys { path, metadata: &header.metadata, architecture, says_window: gguf.window != GgufWindow::Unsaid };
    let config = config(&keys, header, factors)?;
    let invalid = |source| Error::Config { path: path.into(), source };
    let mut shape = families::read(family, &Config(&config)).map_err(invalid)?;
    shape.norm.eps = keys.number(epsilon(shape.norm.kind))?;
    if !factors.divisors.is_empty() {
        let stated = keys.dim_or("rope.scaling.original_context_length", rope::LLAMA3_CONTEXT)?;
        let found = rope::llama3(path, &shape, stated, &factors.divisors)?;
        if let Positions::Rotary(rotary) = &mut shape.positions {
            rotary.scaling = Some(found);
        }
    }
    Ok((shape, gguf))
}

/// What the number that is added under a norm's root is called.
pub(super) fn epsilon(kind: NormKind) -> &'static str {
    match kind {
        NormKind::Rms { .. } => "attention.layer_norm_rms_epsilon",
        NormKind::Layer => "attention.layer_norm_epsilon",
    }
}

/// The header in Hugging Face's words, those of every family: each reads the ones that it knows.
fn config(keys: &Keys<'_>, header: &Header, factors: &RopeFactors) -> Result<Json, Error> {
    let vocab_size = match header.metadata.get("tokenizer.ggml.tokens") {
        Some(Value::Texts(tokens)) if keys.get("vocab_size").is_none() => tokens.len(),
        _ => keys.dim("vocab_size")?,
    };
    let hidden_size = keys.dim("embedding_length")?;
    let heads = keys.dim("attention.head_count")?;
    let layers = keys.dim("block_count")?;
    let is_partly = PARTLY_ROTATED.contains(&keys.architecture);
    let rotated_or = |default| if is_partly { Ok(default) } else { keys.dim_or("rope.dimension_count", default) };
    let head_dim = keys.dim_or("attention.key_length", rotated_or(hidden_size / heads)?)?;
    let rotated = keys.dim_or("rope.dimension_count", head_dim)?;
    let value_dim = keys.dim_or("attention.value_length", head_dim)?;
    if rotated != head_dim && !is_partly || value_dim != head_dim {
        let what =
            format!("has heads of {head_dim}, {rotated} of it rotated, and values of {value_dim}; all must be equal");
        return Err(Error::unsupported(keys.path, what));
    }
    let context = keys.dim("context_length")?;
    let theta = keys.number_or("rope.freq_base", 10000.0)?;
    let share = (rotated as f64 + 0.5) / head_dim as f64; // rounded down by whoever reads it
    let share = if rotated == head_dim { 1.0 } else { share };
    let has = |name: &str| header.tensors.contains_key(name);
    let mut config = json!({
        "vocab_size": vocab_size,
        "hidden_size": hidden_size,
        "intermediate_size": keys.dim("feed_forward_length")?,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": keys.dim_or("attention.head_count_kv", heads)?,
        "head_dim": head_dim,
        "max_position_embeddings": context,
        "original_max_position_embeddings": keys.dim_or("rope.scaling.original_context_length", context)?,
        "seq_length": context,
        "rope_theta": theta,
        "rotary_emb_base": theta,
        "rotary_pct": share,
        "partial_rotary_factor": share,
        "rope_scaling": rope::scaling(keys, factors)?,
        "rope_local_base_freq": keys.number_or("rope.freq_base_swa", 10000.0)?,
        "tie_word_embeddings": !has("output.weight"),
        "attention_bias": has("blk.0.attn_output.bias"),
        "mlp_bias": has("blk.0.ffn_down.bias"),
        "query_pre_attn_scalar": match SCALED_BY_HIDDEN.contains(&(keys.architecture, layers)) {
            true => hidden_size / heads,
            false => head_dim,
        },
    });
    if keys.architecture == "gptneox" {
        config["use_parallel_residual"] = keys.flag("use_parallel_residual")?.into();
    }
    if keys.get("attention.causal").is_some() && !keys.flag("attention.causal")? {
        return Err(keys.fault("attention.causal", "true: attention to later tokens is not supported"));
    }
    for cap in ["attn_logit_softcapping", "final_logit_softcapping"] {
        if keys.get(cap).is_some() {
            config[cap] = keys.number_or(cap, 1.0)?.into();
        }
    }
    window(keys, layers, context, &mut config)?;
    Ok(config)
}

/// `attention.sliding_window`, and `attention.sliding_window_pattern`: whether each layer has it, or which ones have not.
fn window(keys: &Keys<'_>, layers: usize, context: usize, config: &mut Json) -> Result<(), Error> {
    const SIZE: &str = "attention.sliding_window";
    const PATTERN: &str = "attention.sliding_window_pattern";
    let size = match keys.get(SIZE) {
        Some(Value::Int(0)) => None, // so a Phi-4 says that it has none
        Some(_) => Some(keys.dim(SIZE)?),
        None if keys.architecture == "gemma2" => Some(4096), // as llama.cpp has it
        None => None,
    };
    if !keys.says_window {
        return match size.filter(|size| *size < context) {
            Some(size) => {
                let what = format!("has a sliding window of {size}, which no reader of this architecture knows");
                Err(Error::unsupported(keys.path, what))
            }
            None => Ok(()),
        };
    }
    config["sliding_window"] = json!(size);
    let has_window: Vec<bool> = match keys.get(PATTERN) {
        None if size.is_none() => vec![false; layers],
        None => return Ok(()),
        Some(Value::Ints(each)) if each.len() == layers => each.iter().map(|is_windowed| *is_windowed != 0).collect(),
        Some(Value::Int(_)) => {
            let pattern = keys.dim(PATTERN)?;
            (1..=layers).map(|layer| layer % pattern != 0).collect()
        }
        Some(_) => return Err(keys.fault(PATTERN, "a number, or a flag for each layer")),
    };
    if keys.architecture != "phi3" {
        let kind = |has_window: bool| if has_window { "sliding_attention" } else { "full_attention" };
        config["layer_types"] = has_window.into_iter().map(kind).collect();
    }
    Ok(())
}
