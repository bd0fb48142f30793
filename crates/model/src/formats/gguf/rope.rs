//! Scalings of rotary positions as GGUF keeps them: YaRN and linear by keys, LongRoPE by two tensors, LLaMA 3's by the divisors
//! that it keeps in place of its constants.

use std::path::Path;

use serde_json::{Value as Json, json};
use tunebench_spec::Decoder;
use tunebench_spec::decoder::{Positions, RopeScaling, Rotary};

use crate::Error;
use crate::formats::gguf::keys::Keys;
use crate::rotary::rotation;

/// What a file has of them in tensors; empty where it has none.
#[derive(Default)]
pub(super) struct RopeFactors {
    /// `rope_freqs`: divisors of the frequencies.
    pub divisors: Vec<f32>,
    /// `rope_factors_short` and `rope_factors_long`.
    pub short: Vec<f32>,
    pub long: Vec<f32>,
}

/// What `rope.scaling.*` asks for, in Hugging Face's words, null where it is nothing. Before these keys there was
/// `rope.scale_linear`, and a factor without a type is linear, as llama.cpp reads it.
pub(super) fn scaling(keys: &Keys<'_>, factors: &RopeFactors) -> Result<Json, Error> {
    let factor = keys.number_or("rope.scaling.factor", keys.number_or("rope.scale_linear", 1.0)?)?;
    let has_tensors = !factors.short.is_empty() || !factors.long.is_empty();
    let kind = keys.text_or("rope.scaling.type", if has_tensors { "longrope" } else { "linear" })?;
    let attention_factor = keys.number_or("rope.scaling.attn_factor", 1.0)?;
    if kind != "longrope" && (has_tensors || attention_factor != 1.0) {
        let what = format!("has rope_factors tensors or an attention factor beside rope scaling `{kind}`");
        return Err(Error::unsupported(keys.path, what));
    }
    match kind {
        "none" => Ok(Json::Null),
        "linear" if factor == 1.0 => Ok(Json::Null),
        "linear" => Ok(json!({ "rope_type": "linear", "factor": factor })),
        "yarn" => {
            if keys.number_or("rope.scaling.yarn_ext_factor", 1.0)? != 1.0 {
                return Err(Error::unsupported(keys.path, "has a `rope.scaling.yarn_ext_factor` that is not 1"));
            }
            let mut scaling = json!({ "rope_type": "yarn", "factor": factor });
            for (key, word) in YARN {
                if keys.get(key).is_some() {
                    scaling[word] = keys.number_or(key, 1.0)?.into();
                }
            }
            if keys.get("rope.scaling.yarn_log_multiplier").is_some() {
                scaling["mscale"] = 1.0.into();
            }
            Ok(scaling)
        }
        "longrope" => {
            let numbers = |values: &[f32]| values.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
            Ok(json!({
                "rope_type": "longrope",
                "short_factor": numbers(&factors.short),
                "long_factor": numbers(&factors.long),
                "attention_factor": attention_factor,
            }))
        }
        other => {
            let what = format!("has rope scaling `{other}`; supported: none, linear, yarn, longrope, llama3");
            Err(Error::unsupported(keys.path, what))
        }
    }
}

const YARN: [(&str, &str); 4] = [
    ("rope.scaling.yarn_beta_fast", "beta_fast"),
    ("rope.scaling.yarn_beta_slow", "beta_slow"),
    ("rope.scaling.yarn_attn_factor", "attention_factor"),
    ("rope.scaling.yarn_log_multiplier", "mscale_all_dim"),
];

/// The context LLaMA 3 was pre-trained with; the file does not say.
pub(super) const LLAMA3_CONTEXT: usize = 8192;
/// The other two constants that every published model shares.
const LOW_FREQ_FACTOR: f64 = 1.0;
const HIGH_FREQ_FACTOR: f64 = 4.0;
/// Relative; the file's divisors are f32.
const TOLERANCE: f32 = 1e-4;

/// The scaling that divides the frequencies of `plain` by exactly these, one per pair of a head's dimensions.
pub(super) fn llama3(path: &Path, plain: &Decoder, context: usize, divisors: &[f32]) -> Result<RopeScaling, Error> {
    let scaling = RopeScaling::Llama3 {
        factor: divisors.iter().copied().fold(1.0, f32::max).into(),
        low_freq_factor: LOW_FREQ_FACTOR,
        high_freq_factor: HIGH_FREQ_FACTOR,
        original_max_position_embeddings: context,
    };
    let expected: Option<Vec<f32>> = match &plain.positions {
        Positions::Rotary(rotary @ Rotary { scaling: None, .. }) => {
            let positions = Positions::Rotary(Rotary { scaling: Some(scaling.clone()), ..rotary.clone() });
            let frequencies = |of: &Decoder| rotation(of).map(|rotation| rotation.frequencies);
            let scaled = frequencies(&Decoder { positions, ..plain.clone() });
            frequencies(plain).zip(scaled).map(|(plain, scaled)| plain.iter().zip(scaled).map(|(p, s)| p / s).collect())
        }
        _ => None,
    };
    let is_close = |(e, d): (&f32, &f32)| (e - d).abs() <= TOLERANCE * e;
    let is_same = |expected: &[f32]| expected.len() == divisors.len() && expected.iter().zip(divisors).all(is_close);
    if !expected.is_some_and(|expected| is_same(&expected)) {
        let what = "has rope_freqs that are not LLaMA 3's scaling (low 1, high 4, context 8192); open the Hugging \
                    Face folder that it was converted from instead";
        return Err(Error::unsupported(path, what));
    }
    Ok(scaling)
}
