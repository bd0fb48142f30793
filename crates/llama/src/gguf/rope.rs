//! LLaMA 3's rotary scaling, recognised from the divisors that GGUF keeps in place of its constants.

use std::f64::consts::TAU;
use std::path::Path;

use tunebench_spec::ModelShape;
use tunebench_spec::model::RopeScaling;

use crate::Error;

/// The context LLaMA 3 was pre-trained with; the file does not say.
pub(super) const LLAMA3_CONTEXT: usize = 8192;
/// The other two constants that every published model shares.
const LOW_FREQ_FACTOR: f64 = 1.0;
const HIGH_FREQ_FACTOR: f64 = 4.0;
/// Relative; the file's divisors are f32.
const TOLERANCE: f64 = 1e-4;

/// The scaling that gives exactly these divisors, one per pair of a head's dimensions.
pub(super) fn llama3(path: &Path, shape: &ModelShape, context: usize, divisors: &[f32]) -> Result<RopeScaling, Error> {
    let factor = divisors.iter().copied().fold(1.0, f32::max).into();
    let expected: Vec<f64> = (0..shape.head_dim / 2).map(|i| divisor(shape, i, context, factor)).collect();
    let close = |(e, f): (&f64, &f32)| (e - f64::from(*f)).abs() <= TOLERANCE * e;
    if divisors.len() != expected.len() || !expected.iter().zip(divisors).all(close) || shape.rope_scaling.is_some() {
        let what = "has rope_freqs that are not LLaMA 3's scaling (low 1, high 4, context 8192); convert the model from \
                    its Hugging Face folder instead";
        return Err(Error::unsupported(path, what));
    }
    Ok(RopeScaling::Llama3 {
        factor,
        low_freq_factor: LOW_FREQ_FACTOR,
        high_freq_factor: HIGH_FREQ_FACTOR,
        original_max_position_embeddings: context,
    })
}

/// What frequency `i` is divided by: 1 for short waves, `factor` for long ones, a blend of the inverses between.
fn divisor(shape: &ModelShape, i: usize, context: usize, factor: f64) -> f64 {
    let wavelength = TAU * shape.rope_theta.powf(2.0 * i as f64 / shape.head_dim as f64);
    let turns = context as f64 / wavelength;
    let smooth = ((turns - LOW_FREQ_FACTOR) / (HIGH_FREQ_FACTOR - LOW_FREQ_FACTOR)).clamp(0.0, 1.0);
    1.0 / ((1.0 - smooth) / factor + smooth)
}
