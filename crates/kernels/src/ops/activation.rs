//! Activations of a feed-forward layer, alone or as a gate (Shazeer 2020, "GLU variants improve transformer"), and their
//! gradients.
//!
//! Letters in shapes: `n` tokens, `f` inner width. Gate and up stand side by side in a row, as one product forms them.

use rayon::prelude::*;

use crate::simd::exp::{exp, sigmoid};
use crate::simd::lanes::{WIDE, load, store};
use crate::simd::multiversion::multiversion;
use crate::tasks::{TASK, task_of_rows};
use crate::{Element, SimdLevel};

/// An activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x / (1 + e^-x)`.
    Silu,
    /// `x Φ(x)`, `Φ` the standard normal distribution (Hendrycks and Gimpel 2016, arXiv 1606.08415).
    Gelu,
    /// `x / 2 (1 + tanh(sqrt(2/π) (x + 0.044715 x³)))`, the same approximated.
    GeluTanh,
    /// `max(x, 0)`, whose slope at 0 is 0.
    Relu,
}

/// `out = act(x)`.
///
/// # Panics
/// When the lengths differ.
pub fn activate<E: Element>(level: SimdLevel, by: Activation, x: &[E], out: &mut [E]) {
    assert_eq!(x.len(), out.len(), "the lengths of an activation do not fit");
    let run = kernels::<E>(by).plain;
    out.par_chunks_mut(TASK).zip(x.par_chunks(TASK)).for_each(|(out, x)| run(level, x, out));
}

/// From `x` to the gradient of [`activate`]'s input, in place, `x = d_out act'(x)`; and from `d_out` to what [`activate`] made of `x`,
/// to the byte.
///
/// # Panics
/// When the lengths differ.
pub fn activate_backward<E: Element>(level: SimdLevel, by: Activation, x: &mut [E], d_out: &mut [E]) {
    assert_eq!(x.len(), d_out.len(), "the lengths of an activation do not fit");
    let run = kernels::<E>(by).plain_backward;
    x.par_chunks_mut(TASK).zip(d_out.par_chunks_mut(TASK)).for_each(|(x, d_out)| run(level, x, d_out));
}

/// `act(gate) · up`.
///
/// # Shapes
/// `gate_up [n, 2f]`, a row's gate before its up; `out [n, f]`.
///
/// # Panics
/// When the lengths do not fit.
pub fn gate<E: Element>(level: SimdLevel, by: Activation, gate_up: &[E], out: &mut [E], f: usize) {
    assert!(gate_up.len() == 2 * out.len() && (out.is_empty() || f > 0), "the shapes of a gate do not fit");
    if out.is_empty() {
        return;
    }
    let (task, run) = (task_of_rows(f), kernels::<E>(by).gated);
    out.par_chunks_mut(task).zip(gate_up.par_chunks(2 * task)).for_each(|(out, x)| run(level, x, out, f));
}

/// Overwrites gate and up by their gradients, `d_out · up · act'(gate)` and `d_out · act(gate)`; and `d_out` by what [`gate`] made of
/// them, to the byte.
///
/// # Shapes
/// `gate_up [n, 2f]`, a row's gate before its up; `d_out [n, f]`.
///
/// # Panics
/// When the lengths do not fit.
pub fn gate_backward<E: Element>(level: SimdLevel, by: Activation, gate_up: &mut [E], d_out: &mut [E], f: usize) {
    assert!(gate_up.len() == 2 * d_out.len() && (d_out.is_empty() || f > 0), "the shapes of a gate do not fit");
    if d_out.is_empty() {
        return;
    }
    let (task, run) = (task_of_rows(f), kernels::<E>(by).gated_backward);
    let tasks = gate_up.par_chunks_mut(2 * task).zip(d_out.par_chunks_mut(task));
    tasks.for_each(|(gate_up, d_out)| run(level, gate_up, d_out, f));
}

/// What is compiled of an activation.
struct Kernels<E> {
    plain: fn(SimdLevel, &[E], &mut [E]),
    plain_backward: fn(SimdLevel, &mut [E], &mut [E]),
    gated: fn(SimdLevel, &[E], &mut [E], usize),
    gated_backward: fn(SimdLevel, &mut [E], &mut [E], usize),
}

fn kernels<E: Element>(by: Activation) -> Kernels<E> {
    match by {
        Activation::Silu => silu::kernels(),
        Activation::Gelu => gelu::kernels(),
        Activation::GeluTanh => gelu_tanh::kernels(),
        Activation::Relu => relu::kernels(),
    }
}

/// One module for each activation: its value, and its value with its slope.
macro_rules! activations {
    ($($name:ident: $value:expr, $both:expr;)*) => {$(
        mod $name {
            use super::*;

            pub fn kernels<E: Element>() -> Kernels<E> {
                Kernels { plain: plain::<E>, plain_backward: plain_backward::<E>, gated: gated::<E>, gated_backward: gated_backward::<E> }
            }

            multiversion! {
                fn plain<E>(x: &[E], out: &mut [E]) {
                    plain_rows(x, out, $value);
                }
            }

            multiversion! {
                fn plain_backward<E>(x: &mut [E], d_out: &mut [E]) {
                    plain_rows_backward(x, d_out, $both);
                }
            }

            multiversion! {
                fn gated<E>(gate_up: &[E], out: &mut [E], f: usize) {
                    gated_rows(gate_up, out, f, $value);
                }
            }

            multiversion! {
                fn gated_backward<E>(gate_up: &mut [E], d_out: &mut [E], f: usize) {
                    gated_rows_backward(gate_up, d_out, f, $both);
                }
            }
        }
    )*};
}

activations! {
    silu: |x| x * sigmoid(x), silu_and_slope;
    gelu: |x| x * normal_cdf(x), gelu_and_slope;
    gelu_tanh: |x| x * sigmoid(exponent(x)), gelu_tanh_and_slope;
    relu: |x| if x > 0.0 || x.is_nan() { x } else { 0.0 }, relu_and_slope;
}

#[inline(always)]
fn plain_rows<E: Element>(x: &[E], out: &mut [E], value: impl Fn(f32) -> f32) {
    for (x, out) in x.iter().zip(out) {
        *out = E::from_f32(value(x.to_f32()));
    }
}

#[inline(always)]
fn plain_rows_backward<E: Element>(x: &mut [E], d_out: &mut [E], both: impl Fn(f32) -> [f32; 2]) {
    let (blocks, rest) = x.as_chunks_mut::<WIDE>();
    let (d_blocks, rest_d) = d_out.as_chunks_mut::<WIDE>();
    for (x, d_out) in blocks.iter_mut().zip(d_blocks) {
        let (mut new, mut d) = (load(x), load(d_out));
        for i in 0..WIDE {
            let [value, slope] = both(new[i]);
            [new[i], d[i]] = [d[i] * slope, value];
        }
        store(x, &new);
        store(d_out, &d);
    }
    for (x, d) in rest.iter_mut().zip(rest_d) {
        let [value, slope] = both(x.to_f32());
        [*x, *d] = [d.to_f32() * slope, value].map(E::from_f32);
    }
}

#[inline(always)]
fn gated_rows<E: Element>(gate_up: &[E], out: &mut [E], f: usize, value: impl Fn(f32) -> f32) {
    for (x, out) in gate_up.chunks_exact(2 * f).zip(out.chunks_exact_mut(f)) {
        let (gate, up) = x.split_at(f);
        for ((gate, up), out) in gate.iter().zip(up).zip(out) {
            *out = E::from_f32(value(gate.to_f32()) * up.to_f32());
        }
    }
}

#[inline(always)]
fn gated_rows_backward<E: Element>(gate_up: &mut [E], d_out: &mut [E], f: usize, both: impl Fn(f32) -> [f32; 2]) {
    for (x, d_out) in gate_up.chunks_exact_mut(2 * f).zip(d_out.chunks_exact_mut(f)) {
        let (gate, up) = x.split_at_mut(f);
        let (gate, rest_gate) = gate.as_chunks_mut::<WIDE>();
        let (up, rest_up) = up.as_chunks_mut::<WIDE>();
        let (d_out, rest_d) = d_out.as_chunks_mut::<WIDE>();
        for ((gate, up), d_out) in gate.iter_mut().zip(up).zip(d_out) {
            let (g, u, d) = (load(gate), load(up), load(d_out));
            let (mut d_gate, mut d_up, mut out) = (g, u, d);
            for i in 0..WIDE {
                let [value, slope] = both(g[i]);
                [d_gate[i], d_up[i], out[i]] = [d[i] * u[i] * slope, d[i] * value, value * u[i]];
            }
            store(gate, &d_gate);
            store(up, &d_up);
            store(d_out, &out);
        }
        for ((gate, up), d) in rest_gate.iter_mut().zip(rest_up).zip(rest_d) {
            let ([value, slope], u, d_out) = (both(gate.to_f32()), up.to_f32(), d.to_f32());
            [*gate, *up, *d] = [d_out * u * slope, d_out * value, value * u].map(E::from_f32);
        }
    }
}

#[inline(always)]
fn silu_and_slope(x: f32) -> [f32; 2] {
    let s = sigmoid(x);
    let silu = x * s;
    [silu, s + silu - silu * s]
}

#[inline(always)]
fn gelu_and_slope(x: f32) -> [f32; 2] {
    /// `1 / sqrt(2π)`.
    const DENSITY: f32 = 0.398_942_3;
    let p = normal_cdf(x);
    [x * p, p + x * DENSITY * exp(-0.5 * x * x)]
}

#[inline(always)]
fn gelu_tanh_and_slope(x: f32) -> [f32; 2] {
    let s = sigmoid(exponent(x));
    let slope = TWICE * (1.0 + 3.0 * CUBE * x * x);
    [x * s, s + x * s * (1.0 - s) * slope]
}

#[inline(always)]
fn relu_and_slope(x: f32) -> [f32; 2] {
    if x > 0.0 || x.is_nan() { [x, 1.0] } else { [0.0, 0.0] }
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
