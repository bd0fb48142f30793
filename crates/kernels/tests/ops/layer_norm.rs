//! Layer norms and their gradients.

use half::bf16;
use tunebench_kernels::ops::layer_norm::{
    RowStats, RowStatsMut, layer_norm, layer_norm_backward, layer_norm_recompute, layer_norm_weight_gradient,
};
use tunebench_kernels::{Element, Store};

use crate::{SHAPES, assert_close, everywhere, f32s, f64s, normal};

const EPS: f64 = 1e-2;

fn check<E: Element>([n, d]: [usize; 2]) {
    let (x, weight, bias): (Vec<E>, Vec<f32>, Vec<f32>) = (normal("x", n * d), normal("w", d), normal("b", d));
    let (dy, before): (Vec<f32>, Vec<f32>) = (normal("dy", n * d), normal("before", n * d));
    let [out, recomputed, mean, rstd, set, added, dw] = everywhere(|level| {
        let (mut out, mut recomputed) = (x.clone(), x.clone());
        let (mut mean, mut rstd, mut set, mut added) = (vec![9.0; n], vec![9.0; n], vec![9.0; n * d], before.clone());
        let mut dw = weight.clone();
        let params = [weight.as_slice(), &bias];
        let stats = RowStatsMut { mean: &mut mean, rstd: &mut rstd };
        layer_norm(level, &x, params, EPS as f32, &mut out, stats);
        let stats = RowStats { mean: &mean, rstd: &rstd };
        layer_norm_recompute(level, &x, params, stats, &mut recomputed);
        layer_norm_backward(level, &x, &weight, stats, &dy, &mut set, Store::Set);
        layer_norm_backward(level, &x, &weight, stats, &dy, &mut added, Store::Add);
        layer_norm_weight_gradient(level, &x, stats, &dy, &mut dw);
        [f32s(&out), f32s(&recomputed), mean, rstd, set, added, dw]
    });
    assert_eq!(out, recomputed);

    let (x, w, b, dy, before) = (f64s(&x), f64s(&weight), f64s(&bias), f64s(&dy), f64s(&before));
    let (mut y, mut dx, mut dw64, mut m64, mut r64) = (Vec::new(), Vec::new(), w.clone(), Vec::new(), Vec::new());
    for (x, dy) in x.chunks(d).zip(dy.chunks(d)) {
        let of_mean = |of: &dyn Fn(usize) -> f64| (0..d).map(of).sum::<f64>() / d as f64;
        let m = of_mean(&|i| x[i]);
        let r = 1.0 / (of_mean(&|i| (x[i] - m).powi(2)) + EPS).sqrt();
        let (g, slope) = (of_mean(&|i| dy[i] * w[i]), of_mean(&|i| dy[i] * w[i] * (x[i] - m) * r));
        m64.push(m);
        r64.push(r);
        for i in 0..d {
            y.push((x[i] - m) * r * w[i] + b[i]);
            dx.push(r * (dy[i] * w[i] - g - (x[i] - m) * r * slope));
            dw64[i] += dy[i] * (x[i] - m) * r;
        }
    }
    assert_close::<f32>("mean", &mean, &m64, 1e-6);
    assert_close::<f32>("rstd", &rstd, &r64, 2e-6);
    // What stays of a row is the difference of numbers of its size, `r` times; so in the gradient too.
    let tolerance = 2e-6 * (1.0 + r64.iter().fold(0.0, |a: f64, r| a.max(*r)));
    assert_close::<E>("out", &out, &y, tolerance);
    assert_close::<f32>("dx", &set, &dx, tolerance);
    let sums: Vec<f64> = dx.iter().zip(&before).map(|(a, b)| a + b).collect();
    assert_close::<f32>("dx added", &added, &sums, tolerance);
    assert_close::<f32>("dw", &dw, &dw64, 1e-5);
}

#[test]
fn layer_norms_and_their_gradients() {
    for shape in SHAPES {
        check::<f32>(shape);
        check::<bf16>(shape);
    }
}
