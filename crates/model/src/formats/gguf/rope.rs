//! LLaMA 3's rotary scaling, recognised from the divisors that GGUF keeps in place of its constants.

use std::path::Path;

use tunebench_spec::Decoder;
use tunebench_spec::decoder::{Positions, RopeScaling, Rotary};

use crate::Error;
use crate::rotary::rotation;

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
