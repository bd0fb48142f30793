//! LLaMA 3's rotary scaling, recognised from the divisors that GGUF keeps in place of its constants.

use std::path::Path;

use tunebench_spec::ModelShape;
use tunebench_spec::model::RopeScaling;

use crate::Error;
use crate::rotary::frequencies;

/// The context LLaMA 3 was pre-trained with; the file does not say.
pub(super) const LLAMA3_CONTEXT: usize = 8192;
/// The other two constants that every published model shares.
const LOW_FREQ_FACTOR: f64 = 1.0;
const HIGH_FREQ_FACTOR: f64 = 4.0;
/// Relative; the file's divisors are f32.
const TOLERANCE: f32 = 1e-4;

/// The scaling that divides the frequencies of `plain` by exactly these, one per pair of a head's dimensions.
pub(super) fn llama3(path: &Path, plain: &ModelShape, context: usize, divisors: &[f32]) -> Result<RopeScaling, Error> {
    let scaling = RopeScaling::Llama3 {
        factor: divisors.iter().copied().fold(1.0, f32::max).into(),
        low_freq_factor: LOW_FREQ_FACTOR,
        high_freq_factor: HIGH_FREQ_FACTOR,
        original_max_position_embeddings: context,
    };
    let scaled = ModelShape { rope_scaling: Some(scaling.clone()), ..plain.clone() };
    let expected: Vec<f32> = frequencies(plain).iter().zip(frequencies(&scaled)).map(|(p, s)| p / s).collect();
    let close = |(e, d): (&f32, &f32)| (e - d).abs() <= TOLERANCE * e;
    if divisors.len() != expected.len() || !expected.iter().zip(divisors).all(close) || plain.rope_scaling.is_some() {
        let what = "has rope_freqs that are not LLaMA 3's scaling (low 1, high 4, context 8192); open the Hugging \
                    Face folder that it was converted from instead";
        return Err(Error::unsupported(path, what));
    }
    Ok(scaling)
}
