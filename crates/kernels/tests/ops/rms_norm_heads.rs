//! Norms of heads inside wider rows, and their gradients.

use half::bf16;
use tunebench_kernels::Element;
use tunebench_kernels::ops::HeadColumns;
use tunebench_kernels::ops::rms_norm_heads::{
    NormedHeads, rms_norm_heads, rms_norm_heads_backward, rms_norm_heads_weight_gradient,
};

use crate::{assert_close, everywhere, f32s, f64s, normal};

const EPS: f64 = 1e-6;

/// Tokens, numbers of a row, the first column of a head, heads, and a head's numbers.
const CASES: [[usize; 5]; 7] = [
    [0, 8, 0, 2, 4],
    [1, 1, 0, 1, 1],
    [3, 50, 5, 2, 20],
    [40, 960, 576, 3, 64],
    [300, 512, 0, 2, 128],
    [2, 700, 100, 1, 579],
    [2, 7, 0, 0, 4],
];

fn check<E: Element>([n, row, first, heads, head_dim]: [usize; 5]) {
    let columns = HeadColumns { row, first, heads, head_dim };
    let (x, d, weight): (Vec<E>, Vec<E>, Vec<f32>) =
        (normal("x", n * row), normal("d", n * row), normal("w", head_dim));
    // Kept in rows of their own, as an engine does.
    let width = heads * head_dim;
    let kept: Vec<E> = x.chunks(row).flat_map(|row| row[first..first + width].to_vec()).collect();
    let kept_columns = HeadColumns { row: width, first: 0, heads, head_dim };
    let [out, rstd, dx, dw] = everywhere(|level| {
        let (mut out, mut rstd, mut dx, mut dw) = (x.clone(), vec![9.0; n * heads], d.clone(), weight.clone());
        rms_norm_heads(level, &mut out, columns, &weight, EPS as f32, &mut rstd);
        let normed = NormedHeads { x: &kept, columns: kept_columns, rstd: &rstd };
        rms_norm_heads_weight_gradient(level, normed, &dx, columns, &mut dw);
        rms_norm_heads_backward(level, normed, &weight, &mut dx, columns);
        [f32s(&out), rstd, f32s(&dx), dw]
    });

    let (w, mut right_out, mut right_dx) = (f64s(&weight), f64s(&x), f64s(&d));
    let (mut right_dw, mut right_rstd) = (w.clone(), Vec::new());
    for (x, d) in right_out.chunks_mut(row).zip(right_dx.chunks_mut(row)) {
        let heads = x[first..first + width].chunks_mut(head_dim).zip(d[first..first + width].chunks_mut(head_dim));
        for (x, d) in heads {
            let r = 1.0 / (x.iter().map(|x| x * x).sum::<f64>() / head_dim as f64 + EPS).sqrt();
            let mean = (0..head_dim).map(|i| d[i] * w[i] * x[i]).sum::<f64>() / head_dim as f64;
            right_rstd.push(r);
            for i in 0..head_dim {
                right_dw[i] += d[i] * x[i] * r;
                d[i] = r * (d[i] * w[i] - x[i] * r * r * mean);
                x[i] = x[i] * r * w[i];
            }
        }
    }
    assert_close::<f32>("rstd", &rstd, &right_rstd, 1e-6);
    assert_close::<E>("out", &out, &right_out, 1e-6);
    // A head of one number cancels in the gradient, so what is allowed is of the size of its parts.
    let tolerance = 1e-6 * (1.0 + right_rstd.iter().fold(0.0, |a: f64, r| a.max(*r)));
    assert_close::<E>("dx", &dx, &right_dx, tolerance);
    assert_close::<f32>("dw", &dw, &right_dw, 1e-5);
}

#[test]
fn norms_of_heads_and_their_gradients() {
    for case in CASES {
        check::<f32>(case);
        check::<bf16>(case);
    }
}
