//! Rotary positions (Su et al. 2021): the angle of each pair of a head at each position, with the two changes for
//! longer contexts that transformers knows as `linear` and `llama3`.

use std::f64::consts::TAU;

use candle_core::{Device, Tensor};
use tunebench_spec::Decoder;
use tunebench_spec::decoder::{Positions, RopeScaling};

use crate::Error;

/// Radians per position of each pair, `[e/2]`, rounded once to f32 as transformers keeps them; none where positions are not
/// rotary.
pub fn frequencies(shape: &Decoder) -> Option<Vec<f32>> {
    let Positions::Rotary { theta, scaling } = &shape.positions else { return None };
    let head_dim = shape.attention.head_dim;
    let plain = |i: usize| theta.powf(-2.0 * i as f64 / head_dim as f64);
    Some((0..head_dim / 2).map(|i| scaled(plain(i), scaling.as_ref()) as f32).collect())
}

fn scaled(frequency: f64, scaling: Option<&RopeScaling>) -> f64 {
    match scaling {
        None => frequency,
        Some(RopeScaling::Linear { factor }) => frequency / factor,
        Some(RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings }) => {
            // How many times the pair turns within the context of pre-training.
            let turns = *original_max_position_embeddings as f64 * frequency / TAU;
            let kept = ((turns - low_freq_factor) / (high_freq_factor - low_freq_factor)).clamp(0.0, 1.0);
            (1.0 - kept) * frequency / factor + kept * frequency
        }
    }
}

/// Cosines and sines of the angles at `positions`.
///
/// # Shapes
/// Both `[positions, e/2]`, reshaped by the caller where rows differ.
pub(crate) fn tables(frequencies: &[f32], positions: &[u32], device: &Device) -> Result<(Tensor, Tensor), Error> {
    let angles = positions.iter().flat_map(|&p| frequencies.iter().map(move |f| p as f32 * f));
    let (sin, cos): (Vec<f32>, Vec<f32>) = angles.map(f32::sin_cos).unzip();
    let shape = (positions.len(), frequencies.len());
    Ok((Tensor::from_vec(cos, shape, device)?, Tensor::from_vec(sin, shape, device)?))
}
