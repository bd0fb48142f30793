//! GELU, and its gradient.

use half::bf16;
use tunebench_kernels::Element;
use tunebench_kernels::ops::gelu::{Gelu, gelu, gelu_backward};

use crate::{assert_close, everywhere, f32s, f64s, normal};

/// `Φ(x)` by Simpson's rule over the density, to 1e-12.
fn normal_cdf(x: f64) -> f64 {
    let (from, steps) = (-12.0f64, 4000);
    if x <= from {
        return 0.0;
    }
    let width = (x - from) / f64::from(steps);
    let density = |i: i32| (-0.5 * (from + width * f64::from(i)).powi(2)).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let inner: f64 = (1..steps).map(|i| density(i) * if i % 2 == 1 { 4.0 } else { 2.0 }).sum();
    (density(0) + inner + density(steps)) * width / 3.0
}

/// Value and slope.
fn right(kind: Gelu, x: f64) -> [f64; 2] {
    match kind {
        Gelu::Erf => {
            let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
            [x * normal_cdf(x), normal_cdf(x) + x * density]
        }
        Gelu::Tanh => {
            let root = (2.0 / std::f64::consts::PI).sqrt();
            let tanh = (root * (x + 0.044715 * x * x * x)).tanh();
            let slope = 0.5 * x * (1.0 - tanh * tanh) * root * (1.0 + 3.0 * 0.044715 * x * x);
            [0.5 * x * (1.0 + tanh), 0.5 * (1.0 + tanh) + slope]
        }
    }
}

fn check<E: Element>(kind: Gelu) {
    let (mut x, d): (Vec<E>, Vec<E>) = (normal("x", 3001), normal("d", 3001));
    // Far from 0 it is closed or open.
    for (i, x) in x.iter_mut().enumerate().filter(|(i, _)| i % 7 == 0) {
        *x = E::from_f32(x.to_f32() * [3.0, 10.0, 300.0][i % 3]);
    }
    let [out, gradient] = everywhere(|level| {
        let (mut out, mut gradient) = (x.clone(), d.clone());
        gelu(level, kind, &x, &mut out);
        gelu_backward(level, kind, &x, &mut gradient);
        [f32s(&out), f32s(&gradient)]
    });
    let (value, slope): (Vec<f64>, Vec<f64>) =
        f64s(&x).iter().zip(f64s(&d)).map(|(x, d)| (right(kind, *x)[0], d * right(kind, *x)[1])).unzip();
    assert_close::<E>("gelu", &out, &value, 1e-6);
    assert_close::<E>("gradient", &gradient, &slope, 2e-6);
}

#[test]
fn gelus_and_their_gradients() {
    for kind in [Gelu::Erf, Gelu::Tanh] {
        check::<f32>(kind);
        check::<bf16>(kind);
    }
}
