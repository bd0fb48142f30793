//! The gate, and its gradients.

use half::bf16;
use tunebench_kernels::Element;
use tunebench_kernels::ops::swiglu::{swiglu, swiglu_backward};

use crate::{SHAPES, assert_close, everywhere, f32s, f64s, normal};

fn check<E: Element>([n, f]: [usize; 2]) {
    let (mut x, d): (Vec<E>, Vec<E>) = (normal("x", 2 * n * f), normal("d", n * f));
    // Far from 0 the gate is closed or open.
    for (i, x) in x.iter_mut().enumerate().filter(|(i, _)| i % 7 == 0) {
        *x = E::from_f32(x.to_f32() * [3.0, 30.0, 300.0][i % 3]);
    }
    let [out, gradients] = everywhere(|level| {
        let (mut out, mut gradients) = (vec![E::default(); n * f], x.clone());
        swiglu(level, &x, &mut out, f);
        swiglu_backward(level, &mut gradients, &d, f);
        [f32s(&out), f32s(&gradients)]
    });

    let (x, d) = (f64s(&x), f64s(&d));
    let (mut y, mut dx) = (Vec::new(), Vec::new());
    for (x, d) in x.chunks(2 * f).zip(d.chunks(f)) {
        let (gate, up) = x.split_at(f);
        let s: Vec<f64> = gate.iter().map(|g| 1.0 / (1.0 + (-g).exp())).collect();
        y.extend((0..f).map(|i| gate[i] * s[i] * up[i]));
        dx.extend((0..f).map(|i| d[i] * up[i] * s[i] * (1.0 + gate[i] * (1.0 - s[i]))));
        dx.extend((0..f).map(|i| d[i] * gate[i] * s[i]));
    }
    assert_close::<E>("out", &out, &y, 1e-6);
    assert_close::<E>("gradients", &gradients, &dx, 1e-5);
}

#[test]
fn gates_and_their_gradients() {
    for shape in SHAPES {
        check::<f32>(shape);
        check::<bf16>(shape);
    }
}
