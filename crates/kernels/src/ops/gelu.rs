//! GELU (Hendrycks and Gimpel 2016, arXiv 1606.08415), by the error function and by the approximation with tanh.

use rayon::prelude::*;

use crate::simd::exp::{exp, sigmoid};
use crate::simd::multiversion::multiversion;
use crate::tasks::TASK;
use crate::{Element, SimdLevel};

/// Which of the two, as PyTorch's `approximate` names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gelu {
    /// `x Φ(x)`, `Φ` the standard normal distribution; PyTorch's `none`.
    Erf,
    /// `x / 2 (1 + tanh(sqrt(2/π) (x + 0.044715 x³)))`.
    Tanh,
}

/// `out = gelu(x)`.
///
/// # Panics
/// When the lengths differ.
pub fn gelu<E: Element>(level: SimdLevel, kind: Gelu, x: &[E], out: &mut [E]) {
    assert_eq!(x.len(), out.len(), "the lengths of an activation do not fit");
    out.par_chunks_mut(TASK).zip(x.par_chunks(TASK)).for_each(|(out, x)| match kind {
        Gelu::Erf => forward_erf(level, x, out),
        Gelu::Tanh => forward_tanh(level, x, out),
    });
}

/// From the gradient of [`gelu`]'s output to that of its input `x`, in place: `d = d gelu'(x)`.
///
/// # Panics
/// When the lengths differ.
pub fn gelu_backward<E: Element>(level: SimdLevel, kind: Gelu, x: &[E], d: &mut [E]) {
    assert_eq!(x.len(), d.len(), "the lengths of an activation do not fit");
    d.par_chunks_mut(TASK).zip(x.par_chunks(TASK)).for_each(|(d, x)| match kind {
        Gelu::Erf => backward_erf(level, x, d),
        Gelu::Tanh => backward_tanh(level, x, d),
    });
}

multiversion! {
    fn forward_erf<E>(x: &[E], out: &mut [E]) {
        for (x, out) in x.iter().zip(out) {
            let x = x.to_f32();
            *out = E::from_f32(x * normal_cdf(x));
        }
    }
}

multiversion! {
    fn forward_tanh<E>(x: &[E], out: &mut [E]) {
        for (x, out) in x.iter().zip(out) {
            let x = x.to_f32();
            *out = E::from_f32(x * sigmoid(exponent(x)));
        }
    }
}

multiversion! {
    fn backward_erf<E>(x: &[E], d: &mut [E]) {
        /// `1 / sqrt(2π)`.
        const DENSITY: f32 = 0.398_942_3;
        for (x, d) in x.iter().zip(d) {
            let x = x.to_f32();
            *d = E::from_f32(d.to_f32() * (normal_cdf(x) + x * DENSITY * exp(-0.5 * x * x)));
        }
    }
}

multiversion! {
    fn backward_tanh<E>(x: &[E], d: &mut [E]) {
        for (x, d) in x.iter().zip(d) {
            let x = x.to_f32();
            let s = sigmoid(exponent(x));
            let slope = TWICE * (1.0 + 3.0 * CUBE * x * x);
            *d = E::from_f32(d.to_f32() * (s + x * s * (1.0 - s) * slope));
        }
    }
}

/// `2 sqrt(2/π)`: `(1 + tanh u) / 2` is the sigmoid of `2u`.
const TWICE: f32 = 1.595_769;
const CUBE: f32 = 0.044_715;

#[inline(always)]
fn exponent(x: f32) -> f32 {
    TWICE * (x + CUBE * x * x * x)
}

/// `Φ(x) = erfc(-x / sqrt(2)) / 2`, by the Chebyshev fit of Press et al. 1992 ("Numerical recipes", `erfcc`), to 1.2e-7 of
/// the value but for what rounding of the exponent adds.
#[inline(always)]
fn normal_cdf(x: f32) -> f32 {
    const FIT: [f32; 10] = [
        0.170_872_77,
        -0.822_152_23,
        1.488_515_9,
        -1.135_204,
        0.278_868_07,
        -0.186_288_06,
        0.096_784_18,
        0.374_091_96,
        1.000_023_7,
        -1.265_512_2,
    ];
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.5 * z);
    let fit = FIT[1..].iter().fold(FIT[0], |fit, factor| fit * t + factor);
    let upper = 0.5 * t * exp(fit - z * z);
    if x > 0.0 { 1.0 - upper } else { upper }
}
