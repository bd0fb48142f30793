//! Rotary positions (Su et al. 2021): the angle of each pair of a head at each position, with the changes for longer
//! contexts that transformers knows, computed as its `modeling_rope_utils.py` does.

use std::f64::consts::TAU;

use candle_core::{Device, Tensor};
use tunebench_spec::Decoder;
use tunebench_spec::decoder::{Longrope, Positions, RopeScaling, Rotary, Yarn};

use crate::Error;

/// How a decoder's heads are rotated.
#[derive(Clone, Debug, PartialEq)]
pub struct Rotation {
    /// Radians per position of each rotated pair, `[rotary_dim/2]`, rounded once to f32 as transformers keeps them: pair
    /// `i` are numbers `i` and `i + rotary_dim/2` of a head; numbers from `rotary_dim` on stay as they are.
    pub frequencies: Vec<f32>,
    /// What cosines and sines are multiplied with (YaRN, LongRoPE); else 1.
    pub factor: f32,
    /// Those of layers with a window, without a factor, where they have their own.
    pub local: Option<Vec<f32>>,
}

/// None where positions are not rotary.
pub fn rotation(shape: &Decoder) -> Option<Rotation> {
    let Positions::Rotary(rotary) = &shape.positions else { return None };
    let width = shape.rotary_dim();
    let plain = |theta: f64| (0..width / 2).map(move |i| theta.powf(-2.0 * i as f64 / width as f64));
    let rounded = |frequencies: Vec<f64>| frequencies.into_iter().map(|f| f as f32).collect::<Vec<f32>>();
    Some(Rotation {
        frequencies: rounded(scaled(plain(rotary.theta).collect(), rotary, width)),
        factor: rotary.scaling.as_ref().map_or(1.0, |scaling| factor(scaling, shape) as f32),
        local: rotary.local_theta.map(|theta| rounded(plain(theta).collect())),
    })
}

fn scaled(plain: Vec<f64>, rotary: &Rotary, width: usize) -> Vec<f64> {
    match &rotary.scaling {
        // Texts end where NTK would begin: `Decoder::context`.
        None | Some(RopeScaling::Dynamic { .. }) => plain,
        Some(RopeScaling::Linear { factor }) => plain.into_iter().map(|f| f / factor).collect(),
        Some(RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings }) => {
            let one = |frequency: f64| {
                // How many times the pair turns within the context of pre-training.
                let turns = *original_max_position_embeddings as f64 * frequency / TAU;
                let kept = ((turns - low_freq_factor) / (high_freq_factor - low_freq_factor)).clamp(0.0, 1.0);
                (1.0 - kept) * frequency / factor + kept * frequency
            };
            plain.into_iter().map(one).collect()
        }
        Some(RopeScaling::Yarn(yarn)) => {
            let [low, high] = blend(yarn, rotary.theta, width);
            let kept = |i: usize| 1.0 - ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
            let one = |(i, f): (usize, f64)| f / yarn.factor * (1.0 - kept(i)) + f * kept(i);
            plain.into_iter().enumerate().map(one).collect()
        }
        Some(RopeScaling::Longrope(longrope)) => {
            plain.into_iter().zip(&longrope.short_factor).map(|(f, divisor)| f / divisor).collect()
        }
    }
}

/// Between which pairs YaRN passes from kept frequencies to divided ones.
fn blend(yarn: &Yarn, theta: f64, width: usize) -> [f64; 2] {
    let (context, width) = (yarn.original_max_position_embeddings as f64, width as f64);
    let pair_with_turns = |turns: f64| width * (context / (turns * TAU)).ln() / (2.0 * theta.ln());
    let (low, high) = (pair_with_turns(yarn.beta_fast.unwrap_or(32.0)), pair_with_turns(yarn.beta_slow.unwrap_or(1.0)));
    let (low, high) = if yarn.truncate.unwrap_or(true) { (low.floor(), high.ceil()) } else { (low, high) };
    let (low, high) = (low.max(0.0), high.min(width - 1.0));
    [low, if low == high { high + 0.001 } else { high }]
}

/// The attention factor.
fn factor(scaling: &RopeScaling, shape: &Decoder) -> f64 {
    match scaling {
        RopeScaling::Linear { .. } | RopeScaling::Dynamic { .. } | RopeScaling::Llama3 { .. } => 1.0,
        RopeScaling::Yarn(Yarn { attention_factor: Some(factor), .. })
        | RopeScaling::Longrope(Longrope { attention_factor: Some(factor), .. }) => *factor,
        RopeScaling::Yarn(yarn) => {
            let of = |scale: f64| if yarn.factor <= 1.0 { 1.0 } else { 0.1 * scale * yarn.factor.ln() + 1.0 };
            match (yarn.mscale, yarn.mscale_all_dim) {
                (Some(mscale), Some(all)) if mscale != 0.0 && all != 0.0 => of(mscale) / of(all),
                _ => of(1.0),
            }
        }
        RopeScaling::Longrope(longrope) => {
            let original = longrope.original_max_position_embeddings as f64;
            let factor = longrope.factor.unwrap_or(shape.max_position_embeddings as f64 / original);
            if factor <= 1.0 { 1.0 } else { (1.0 + factor.ln() / original.ln()).sqrt() }
        }
    }
}

/// Cosines and sines of the angles at `positions`, times `factor`.
///
/// # Shapes
/// Both `[positions, e/2]`, reshaped by the caller where rows differ.
pub(crate) fn tables(
    frequencies: &[f32],
    factor: f32,
    positions: &[u32],
    device: &Device,
) -> Result<(Tensor, Tensor), Error> {
    let angles = positions.iter().flat_map(|&p| frequencies.iter().map(move |f| p as f32 * f));
    let turn = |angle: f32| {
        let (sin, cos) = angle.sin_cos();
        (sin * factor, cos * factor)
    };
    let (sin, cos): (Vec<f32>, Vec<f32>) = angles.map(turn).unzip();
    let shape = (positions.len(), frequencies.len());
    Ok((Tensor::from_vec(cos, shape, device)?, Tensor::from_vec(sin, shape, device)?))
}
