//! Norms of rows and their gradients.

use half::bf16;
use tunebench_kernels::ops::rms_norm::{rms_norm, rms_norm_backward, rms_norm_recompute, rms_norm_weight_gradient};
use tunebench_kernels::{Element, Store};

use crate::{SHAPES, assert_close, everywhere, f32s, f64s, normal};

const EPS: f64 = 1e-5;

fn check<E: Element>([n, d]: [usize; 2]) {
    let (x, weight): (Vec<E>, Vec<f32>) = (normal("x", n * d), normal("w", d));
    let (dy, before): (Vec<f32>, Vec<f32>) = (normal("dy", n * d), normal("before", n * d));
    let [out, rstd, recomputed, set, added, dw] = everywhere(|level| {
        let (mut out, mut recomputed) = (vec![E::default(); n * d], vec![E::default(); n * d]);
        let (mut rstd, mut set, mut added) = (vec![0.0; n], vec![9.0; n * d], before.clone());
        let mut dw = weight.clone();
        rms_norm(level, &x, &weight, EPS as f32, &mut out, &mut rstd);
        rms_norm_recompute(level, &x, &weight, &rstd, &mut recomputed);
        rms_norm_backward(level, &x, &weight, &rstd, &dy, &mut set, Store::Set);
        rms_norm_backward(level, &x, &weight, &rstd, &dy, &mut added, Store::Add);
        rms_norm_weight_gradient(level, &x, &rstd, &dy, &mut dw);
        [f32s(&out), rstd, f32s(&recomputed), set, added, dw]
    });
    assert_eq!(out, recomputed);

    let (x, w, dy, before) = (f64s(&x), f64s(&weight), f64s(&dy), f64s(&before));
    let (mut y, mut dx, mut dw64, mut r64) = (Vec::new(), Vec::new(), w.clone(), Vec::new());
    for (x, dy) in x.chunks(d).zip(dy.chunks(d)) {
        let r = 1.0 / (x.iter().map(|x| x * x).sum::<f64>() / d as f64 + EPS).sqrt();
        let mean = (0..d).map(|i| dy[i] * w[i] * x[i]).sum::<f64>() / d as f64;
        r64.push(r);
        for i in 0..d {
            y.push(x[i] * r * w[i]);
            dx.push(r * (dy[i] * w[i] - x[i] * r * r * mean));
            dw64[i] += dy[i] * x[i] * r;
        }
    }
    assert_close::<f32>("rstd", &rstd, &r64, 1e-6);
    assert_close::<E>("out", &out, &y, 1e-6);
    // A row of one element cancels in the gradient, so what is allowed is of the size of its parts.
    let tolerance = 1e-6 * (1.0 + r64.iter().fold(0.0, |a: f64, r| a.max(*r)));
    assert_close::<f32>("dx", &set, &dx, tolerance);
    let sums: Vec<f64> = dx.iter().zip(&before).map(|(a, b)| a + b).collect();
    assert_close::<f32>("dx added", &added, &sums, tolerance);
    assert_close::<f32>("dw", &dw, &dw64, 1e-5);
}

#[test]
fn norms_and_their_gradients() {
    for shape in SHAPES {
        check::<f32>(shape);
        check::<bf16>(shape);
    }
}
