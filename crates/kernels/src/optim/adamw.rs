//! AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101), as PyTorch computes it, over all tensors in one pass.
//!
//! Weights may be kept in two halves: the nearest bf16, which products read, and the 16 bits that f32 has beyond it.
//! Together they are the f32 weight, in its memory, and no copy is made to compute with.

use half::bf16;
use rayon::prelude::*;

use crate::SimdLevel;
use crate::simd::multiversion::multiversion;

/// What an optimizer is set to, in PyTorch's words.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWParams {
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
    pub weight_decay: f64,
}

/// The numbers of one step. Per element, with gradient `g` and moments `m`, `v`:
/// `g' = gradient_scale g`, `m = beta1 m + one_minus_beta1 g'`, `v = beta2 v + one_minus_beta2 g'²`,
/// `w = weight_decay_factor w - step_size m / (inv_sqrt_bias2 sqrt(v) + epsilon)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// `1 - lr · weight decay`.
    pub weight_decay_factor: f32,
    pub beta1: f32,
    pub beta2: f32,
    pub one_minus_beta1: f32,
    pub one_minus_beta2: f32,
    /// `lr / (1 - beta1^t)`.
    pub step_size: f32,
    /// `1 / sqrt(1 - beta2^t)`.
    pub inv_sqrt_bias2: f32,
    pub epsilon: f32,
    /// What gradients are multiplied with.
    pub gradient_scale: f32,
}

impl AdamW {
    /// Step `t` (from 1) at a learning rate, computed in f64 and rounded once.
    pub fn new(params: &AdamWParams, t: u64, learning_rate: f64, gradient_scale: f64) -> Self {
        let correction = |beta: f64| 1.0 - beta.powf(t as f64);
        Self {
            weight_decay_factor: (1.0 - learning_rate * params.weight_decay) as f32,
            beta1: params.beta1 as f32,
            beta2: params.beta2 as f32,
            one_minus_beta1: (1.0 - params.beta1) as f32,
            one_minus_beta2: (1.0 - params.beta2) as f32,
            step_size: (learning_rate / correction(params.beta1)) as f32,
            inv_sqrt_bias2: (1.0 / correction(params.beta2).sqrt()) as f32,
            epsilon: params.epsilon as f32,
            gradient_scale: gradient_scale as f32,
        }
    }

    /// The new weight. The order of operations is that of the reference trainer, so that bytes are the same.
    #[inline(always)]
    fn weight(self, w: f32, g: f32, m: &mut f32, v: &mut f32) -> f32 {
        let g = g * self.gradient_scale;
        *m = self.beta1 * *m + self.one_minus_beta1 * g;
        *v = self.beta2 * *v + self.one_minus_beta2 * g * g;
        w * self.weight_decay_factor - self.step_size * *m / (v.sqrt() * self.inv_sqrt_bias2 + self.epsilon)
    }
}

/// A tensor's weights.
#[derive(Debug, PartialEq)]
pub enum Weights<'a> {
    Full(&'a mut [f32]),
    /// As [`split`] cuts them.
    Split {
        high: &'a mut [bf16],
        low: &'a mut [i16],
    },
}

/// What a step changes of one tensor, and by what. All slices are of one length.
#[derive(Debug)]
pub struct Update<'a> {
    pub weights: Weights<'a>,
    /// Of the sum of losses.
    pub gradient: &'a [f32],
    /// First moments.
    pub first: &'a mut [f32],
    /// Second moments.
    pub second: &'a mut [f32],
    pub step: AdamW,
}

/// Elements of a task.
const CHUNK: usize = 1 << 16;

/// Makes a step of every tensor.
///
/// # Panics
/// When slices of a tensor differ in length.
pub fn update(level: SimdLevel, updates: Vec<Update<'_>>) {
    let elements: usize = updates.iter().map(|update| update.gradient.len()).sum();
    let mut parts = Vec::new();
    for update in updates {
        cut(update, &mut parts);
    }
    if elements <= CHUNK {
        parts.into_iter().for_each(|part| part.run(level));
    } else {
        parts.into_par_iter().for_each(|part| part.run(level));
    }
}

fn cut<'a>(update: Update<'a>, parts: &mut Vec<Update<'a>>) {
    let Update { weights, gradient, first, second, step } = update;
    let n = gradient.len();
    let fits = match &weights {
        Weights::Full(weights) => weights.len() == n,
        Weights::Split { high, low } => high.len() == n && low.len() == n,
    };
    assert!(fits && first.len() == n && second.len() == n, "the lengths of a step do not fit");
    let rest = gradient.chunks(CHUNK).zip(first.chunks_mut(CHUNK)).zip(second.chunks_mut(CHUNK));
    let mut push = |weights, ((gradient, first), second)| {
        parts.push(Update { weights, gradient, first, second, step });
    };
    match weights {
        Weights::Full(weights) => {
            weights.chunks_mut(CHUNK).zip(rest).for_each(|(w, rest)| push(Weights::Full(w), rest));
        }
        Weights::Split { high, low } => {
            let halves = high.chunks_mut(CHUNK).zip(low.chunks_mut(CHUNK));
            halves.zip(rest).for_each(|((high, low), rest)| push(Weights::Split { high, low }, rest));
        }
    }
}

impl Update<'_> {
    fn run(self, level: SimdLevel) {
        let Self { weights, gradient, first, second, step } = self;
        match weights {
            Weights::Full(weights) => update_full(level, weights, gradient, first, second, step),
            Weights::Split { high, low } => update_split(level, high, low, gradient, first, second, step),
        }
    }
}

multiversion! {
    fn update_full(weights: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32], step: AdamW) {
        for (((w, g), m), v) in weights.iter_mut().zip(gradient).zip(first).zip(second) {
            *w = step.weight(*w, *g, m, v);
        }
    }
}

multiversion! {
    fn update_split(
        high: &mut [bf16],
        low: &mut [i16],
        gradient: &[f32],
        first: &mut [f32],
        second: &mut [f32],
        step: AdamW,
    ) {
        for ((((high, low), g), m), v) in high.iter_mut().zip(low).zip(gradient).zip(first).zip(second) {
            let w = step.weight(join_one(*high, *low), *g, m, v);
            (*high, *low) = split_one(w);
        }
    }
}

/// Cuts f32 numbers in two: bits of the f32 are `high · 2^16 + low`, where `low` has a sign. So `high` is the nearest
/// bf16; of two equally near the one away from zero.
///
/// # Panics
/// When the lengths differ.
pub fn split(values: &[f32], high: &mut [bf16], low: &mut [i16]) {
    assert!(high.len() == values.len() && low.len() == values.len(), "the lengths of halves do not fit");
    let halves = high.par_chunks_mut(CHUNK).zip(low.par_chunks_mut(CHUNK));
    halves.zip(values.par_chunks(CHUNK)).for_each(|((high, low), values)| {
        for ((high, low), value) in high.iter_mut().zip(low).zip(values) {
            (*high, *low) = split_one(*value);
        }
    });
}

/// The numbers that [`split`] has cut, bit for bit.
///
/// # Panics
/// When the lengths differ.
pub fn join(high: &[bf16], low: &[i16], values: &mut [f32]) {
    assert!(high.len() == values.len() && low.len() == values.len(), "the lengths of halves do not fit");
    let halves = high.par_chunks(CHUNK).zip(low.par_chunks(CHUNK));
    values.par_chunks_mut(CHUNK).zip(halves).for_each(|(values, (high, low))| {
        for ((value, high), low) in values.iter_mut().zip(high).zip(low) {
            *value = join_one(*high, *low);
        }
    });
}

#[inline(always)]
fn split_one(value: f32) -> (bf16, i16) {
    let bits = value.to_bits();
    // Half of the upper part's last bit is added, so the rest is from -2^15 to 2^15 - 1.
    (bf16::from_bits((bits.wrapping_add(0x8000) >> 16) as u16), bits as u16 as i16)
}

#[inline(always)]
fn join_one(high: bf16, low: i16) -> f32 {
    f32::from_bits((u32::from(high.to_bits()) << 16).wrapping_add(i32::from(low) as u32))
}
