//! A soft cap of logits, `cap · tanh(x / cap)` (Gemma 2), and its gradient.

use rayon::prelude::*;

use crate::simd::exp::tanh;
use crate::simd::multiversion::multiversion;
use crate::tasks::TASK;
use crate::{Element, SimdLevel};

/// `x = cap · tanh(x / cap)`.
pub fn softcap(level: SimdLevel, x: &mut [f32], cap: f32) {
    x.par_chunks_mut(TASK).for_each(|x| capped(level, x, cap));
}

/// From the gradient of [`softcap`]'s output `y` to that of its input, in place: `d = d (1 - (y / cap)²)`.
///
/// # Panics
/// When the lengths differ.
pub fn softcap_backward<E: Element>(level: SimdLevel, y: &[f32], cap: f32, d: &mut [E]) {
    assert_eq!(y.len(), d.len(), "the lengths of capped numbers and their gradients do not fit");
    d.par_chunks_mut(TASK).zip(y.par_chunks(TASK)).for_each(|(d, y)| sloped(level, y, cap, d));
}

multiversion! {
    fn capped(x: &mut [f32], cap: f32) {
        let inverse = 1.0 / cap;
        x.iter_mut().for_each(|x| *x = cap * tanh(*x * inverse));
    }
}

multiversion! {
    fn sloped<E>(y: &[f32], cap: f32, d: &mut [E]) {
        let inverse = 1.0 / cap;
        for (d, y) in d.iter_mut().zip(y) {
            let t = y * inverse;
            *d = E::from_f32(d.to_f32() * (1.0 - t * t));
        }
    }
}
