//! A soft cap of logits, and its gradient.

use half::bf16;
use tunebench_kernels::Element;
use tunebench_kernels::ops::softcap::{softcap, softcap_backward};

use crate::{assert_close, everywhere, f32s, f64s, normal};

fn check<E: Element>(cap: f32) {
    let (mut x, d): (Vec<f32>, Vec<E>) = (normal("x", 20_003), normal("d", 20_003));
    for (i, x) in x.iter_mut().enumerate() {
        *x *= [0.01, 1.0, 40.0, 1e4][i % 4];
    }
    let [out, gradient] = everywhere(|level| {
        let (mut out, mut gradient) = (x.clone(), d.clone());
        softcap(level, &mut out, cap);
        softcap_backward(level, &out, cap, &mut gradient);
        [out, f32s(&gradient)]
    });
    let cap = f64::from(cap);
    let y: Vec<f64> = x.iter().map(|x| cap * (f64::from(*x) / cap).tanh()).collect();
    let dx: Vec<f64> = y.iter().zip(f64s(&d)).map(|(y, d)| d * (1.0 - (y / cap).powi(2))).collect();
    assert_close::<f32>("capped", &out, &y, 1e-6);
    assert_close::<E>("gradient", &gradient, &dx, 3e-6);
}

#[test]
fn caps_and_their_gradients() {
    for cap in [1.0, 30.0] {
        check::<f32>(cap);
        check::<bf16>(cap);
    }
}
