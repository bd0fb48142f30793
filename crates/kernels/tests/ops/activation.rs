//! Activations and gates, and their gradients.

use half::bf16;
use tunebench_kernels::Element;
use tunebench_kernels::ops::activation::{Activation, activate, activate_backward, gate, gate_backward};

use crate::{SHAPES, assert_close, everywhere, f32s, f64s, normal};

const ALL: [Activation; 4] = [Activation::Silu, Activation::Gelu, Activation::GeluTanh, Activation::Relu];

/// `Φ(x)` by Simpson's rule over the density, to 1e-12.
fn normal_cdf(x: f64) -> f64 {
    let (from, steps) = (-12.0f64, 400);
    if x <= from {
        return 0.0;
    }
    if x > 12.0 {
        return 1.0;
    }
    let width = (x - from) / f64::from(steps);
    let density = |i: i32| (-0.5 * (from + width * f64::from(i)).powi(2)).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let inner: f64 = (1..steps).map(|i| density(i) * if i % 2 == 1 { 4.0 } else { 2.0 }).sum();
    (density(0) + inner + density(steps)) * width / 3.0
}

/// Value and slope.
fn right(by: Activation, x: f64) -> [f64; 2] {
    match by {
        Activation::Silu => {
            let s = 1.0 / (1.0 + (-x).exp());
            [x * s, s * (1.0 + x * (1.0 - s))]
        }
        Activation::Gelu => {
            let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
            [x * normal_cdf(x), normal_cdf(x) + x * density]
        }
        Activation::GeluTanh => {
            let root = (2.0 / std::f64::consts::PI).sqrt();
            let tanh = (root * (x + 0.044715 * x * x * x)).tanh();
            let slope = 0.5 * x * (1.0 - tanh * tanh) * root * (1.0 + 3.0 * 0.044715 * x * x);
            [0.5 * x * (1.0 + tanh), 0.5 * (1.0 + tanh) + slope]
        }
        Activation::Relu => [x.max(0.0), f64::from(u8::from(x > 0.0))],
    }
}

/// Standard normal numbers, and some far from 0, where an activation is closed or open, and one at it.
fn inputs<E: Element>(n: usize) -> Vec<E> {
    let mut x: Vec<E> = normal("x", n);
    for (i, x) in x.iter_mut().enumerate().filter(|(i, _)| i % 7 == 0) {
        *x = E::from_f32(x.to_f32() * [3.0, 30.0, 300.0, 0.0][i % 4]);
    }
    x
}

/// What the way back leaves is what the way forward made.
fn assert_same_bits<E: Element>(again: &[E], out: &[E]) {
    let bits = |x: &[E]| -> Vec<u32> { f32s(x).into_iter().map(f32::to_bits).collect() };
    assert_eq!(bits(again), bits(out));
}

fn check<E: Element>(by: Activation) {
    let (x, d): (Vec<E>, Vec<E>) = (inputs(3001), normal("d", 3001));
    let [out, gradient] = everywhere(|level| {
        let (mut out, mut gradient, mut again) = (x.clone(), x.clone(), d.clone());
        activate(level, by, &x, &mut out);
        activate_backward(level, by, &mut gradient, &mut again);
        assert_same_bits(&again, &out);
        [f32s(&out), f32s(&gradient)]
    });
    let (value, slope): (Vec<f64>, Vec<f64>) =
        f64s(&x).iter().zip(f64s(&d)).map(|(x, d)| (right(by, *x)[0], d * right(by, *x)[1])).unzip();
    assert_close::<E>("activated", &out, &value, 1e-6);
    assert_close::<E>("gradient", &gradient, &slope, 1e-5);
}

fn check_gate<E: Element>(by: Activation, [n, f]: [usize; 2]) {
    let (x, d): (Vec<E>, Vec<E>) = (inputs(2 * n * f), normal("d", n * f));
    let [out, gradients] = everywhere(|level| {
        let (mut out, mut gradients, mut again) = (vec![E::default(); n * f], x.clone(), d.clone());
        gate(level, by, &x, &mut out, f);
        gate_backward(level, by, &mut gradients, &mut again, f);
        assert_same_bits(&again, &out);
        [f32s(&out), f32s(&gradients)]
    });
    let (x, d) = (f64s(&x), f64s(&d));
    let (mut y, mut dx) = (Vec::new(), Vec::new());
    for (x, d) in x.chunks(2 * f).zip(d.chunks(f)) {
        let (gate, up) = x.split_at(f);
        let both: Vec<[f64; 2]> = gate.iter().map(|g| right(by, *g)).collect();
        y.extend((0..f).map(|i| both[i][0] * up[i]));
        dx.extend((0..f).map(|i| d[i] * up[i] * both[i][1]));
        dx.extend((0..f).map(|i| d[i] * both[i][0]));
    }
    assert_close::<E>("out", &out, &y, 1e-6);
    assert_close::<E>("gradients", &gradients, &dx, 1e-5);
}

#[test]
fn activations_and_their_gradients() {
    for by in ALL {
        check::<f32>(by);
        check::<bf16>(by);
    }
}

#[test]
fn gates_and_their_gradients() {
    for (by, shape) in ALL.into_iter().flat_map(|by| SHAPES.map(|shape| (by, shape))) {
        check_gate::<f32>(by, shape);
        check_gate::<bf16>(by, shape);
    }
}

#[test]
fn numbers_that_are_none_are_not_hidden() {
    for by in ALL {
        let [out, gradient] = everywhere(|level| {
            let (mut out, mut gradient) = (vec![0f32; 3], vec![f32::NAN; 3]);
            activate(level, by, &[f32::NAN; 3], &mut out);
            activate_backward(level, by, &mut gradient, &mut [1.0; 3]);
            gradient.iter_mut().for_each(|g| *g = f32::from(u8::from(g.is_nan())));
            [out.iter().map(|x| f32::from(u8::from(x.is_nan()))).collect(), gradient]
        });
        assert_eq!(out, [1.0; 3], "{by:?}");
        assert!(by == Activation::Relu || gradient == [1.0; 3], "{by:?}");
    }
}
