//! Layer norm with weight and bias (Ba et al. 2016, arXiv 1607.06450).
//!
//! Letters in shapes: `n` rows, `d` their width, the length of weight and bias. The bias's gradient is that of any bias
//! ([`bias_gradient`](super::bias::bias_gradient)).

use rayon::prelude::*;

use crate::simd::lanes::{sum, sum3};
use crate::simd::multiversion::multiversion;
use crate::tasks::task_of_rows;
use crate::{Element, SimdLevel, Store};

/// Columns of a task of the weight's gradient: four vectors of AVX-512, which stay in registers.
const STRIPE: usize = 64;

/// What [`layer_norm`] leaves of each row: its mean, and `1 / sqrt(variance + eps)`; both `[n]`.
#[derive(Clone, Copy, Debug)]
pub struct RowStats<'a> {
    pub mean: &'a [f32],
    pub rstd: &'a [f32],
}

/// [`RowStats`] to write.
#[derive(Debug)]
pub struct RowStatsMut<'a> {
    pub mean: &'a mut [f32],
    pub rstd: &'a mut [f32],
}

/// `out = (x - mean) r w + b` of each row, `r = 1 / sqrt(mean((x - mean)²) + eps)`.
///
/// # Shapes
/// `x`, `out` `[n, d]`; `weight`, `bias` `[d]`.
///
/// # Panics
/// When the lengths do not fit.
pub fn layer_norm<E: Element>(
    level: SimdLevel,
    x: &[E],
    [weight, bias]: [&[f32]; 2],
    eps: f32,
    out: &mut [E],
    stats: RowStatsMut<'_>,
) {
    let (d, RowStatsMut { mean, rstd }) = (weight.len(), stats);
    check(d, bias.len(), [x.len(), out.len()], [mean.len(), rstd.len()]);
    if x.is_empty() {
        return;
    }
    let task = task_of_rows(d);
    let stats = mean.par_chunks_mut(task / d).zip(rstd.par_chunks_mut(task / d));
    out.par_chunks_mut(task).zip(stats).zip(x.par_chunks(task)).for_each(|((out, (mean, rstd)), x)| {
        measure(level, x, eps, mean, rstd);
        scale(level, x, weight, bias, RowStats { mean, rstd }, out);
    });
}

/// `out` again, from what [`layer_norm`] has left.
///
/// # Shapes
/// As in [`layer_norm`].
///
/// # Panics
/// When the lengths do not fit.
pub fn layer_norm_recompute<E: Element>(
    level: SimdLevel,
    x: &[E],
    [weight, bias]: [&[f32]; 2],
    stats: RowStats<'_>,
    out: &mut [E],
) {
    let d = weight.len();
    check(d, bias.len(), [x.len(), out.len()], [stats.mean.len(), stats.rstd.len()]);
    if x.is_empty() {
        return;
    }
    let task = task_of_rows(d);
    let stats = stats.mean.par_chunks(task / d).zip(stats.rstd.par_chunks(task / d));
    out.par_chunks_mut(task).zip(stats).zip(x.par_chunks(task)).for_each(|((out, (mean, rstd)), x)| {
        scale(level, x, weight, bias, RowStats { mean, rstd }, out);
    });
}

/// The gradient of the input, set or added: `dx = r (dy w - mean(dy w) - y mean(dy w y))`, `y = (x - mean) r`.
///
/// # Shapes
/// `x`, `dy`, `dx` `[n, d]`; `weight [d]`.
///
/// # Panics
/// When the lengths do not fit.
pub fn layer_norm_backward<E: Element>(
    level: SimdLevel,
    x: &[E],
    weight: &[f32],
    stats: RowStats<'_>,
    dy: &[f32],
    dx: &mut [f32],
    store: Store,
) {
    let d = weight.len();
    check(d, d, [x.len(), dx.len()], [stats.mean.len(), stats.rstd.len()]);
    assert!(dy.len() == x.len(), "the shapes of a norm do not fit");
    if x.is_empty() {
        return;
    }
    let task = task_of_rows(d);
    let stats = stats.mean.par_chunks(task / d).zip(stats.rstd.par_chunks(task / d));
    let read = x.par_chunks(task).zip(dy.par_chunks(task)).zip(stats);
    dx.par_chunks_mut(task).zip(read).for_each(|(dx, ((x, dy), (mean, rstd)))| {
        let stats = RowStats { mean, rstd };
        match store {
            Store::Set => set_backward(level, x, weight, stats, dy, dx),
            Store::Add => add_backward(level, x, weight, stats, dy, dx),
        }
    });
}

/// `dw += Σ dy (x - mean) r` over the rows, in their order.
///
/// # Shapes
/// `x`, `dy` `[n, d]`; `dw [d]`.
///
/// # Panics
/// When the lengths do not fit.
pub fn layer_norm_weight_gradient<E: Element>(
    level: SimdLevel,
    x: &[E],
    stats: RowStats<'_>,
    dy: &[f32],
    dw: &mut [f32],
) {
    let d = dw.len();
    check(d, d, [x.len(), dy.len()], [stats.mean.len(), stats.rstd.len()]);
    // Stripes of columns: a column is summed in the order of its rows by one thread.
    let stripe = |(i, dw): (usize, &mut [f32])| columns(level, x, stats, dy, [d, i * STRIPE], dw);
    if x.len() <= task_of_rows(d) {
        dw.chunks_mut(STRIPE).enumerate().for_each(stripe);
    } else {
        dw.par_chunks_mut(STRIPE).enumerate().for_each(stripe);
    }
}

fn check(d: usize, bias: usize, [x, y]: [usize; 2], [mean, rstd]: [usize; 2]) {
    assert!(bias == d && x == mean * d && y == x && mean == rstd, "the shapes of a norm do not fit");
}

multiversion! {
    fn measure<E>(x: &[E], eps: f32, mean: &mut [f32], rstd: &mut [f32]) {
        let d = x.len() / mean.len();
        for ((x, mean), r) in x.chunks_exact(d).zip(mean).zip(rstd) {
            let m = sum(x, |x| x.to_f32()) / d as f32;
            let squares = sum(x, |x| (x.to_f32() - m) * (x.to_f32() - m));
            *mean = m;
            *r = 1.0 / (squares / d as f32 + eps).sqrt();
        }
    }
}

multiversion! {
    fn scale<E>(x: &[E], weight: &[f32], bias: &[f32], stats: RowStats<'_>, out: &mut [E]) {
        let d = weight.len();
        let rows = x.chunks_exact(d).zip(out.chunks_exact_mut(d)).zip(stats.mean).zip(stats.rstd);
        for (((x, out), &m), &r) in rows {
            for (((x, w), b), out) in x.iter().zip(weight).zip(bias).zip(out) {
                *out = E::from_f32((x.to_f32() - m) * r * w + b);
            }
        }
    }
}

multiversion! {
    fn set_backward<E>(x: &[E], weight: &[f32], stats: RowStats<'_>, dy: &[f32], dx: &mut [f32]) {
        rows_backward(x, weight, stats, dy, dx, |dx, new| *dx = new);
    }
}

multiversion! {
    fn add_backward<E>(x: &[E], weight: &[f32], stats: RowStats<'_>, dy: &[f32], dx: &mut [f32]) {
        rows_backward(x, weight, stats, dy, dx, |dx, new| *dx += new);
    }
}

#[inline(always)]
fn rows_backward<E: Element>(
    x: &[E],
    weight: &[f32],
    stats: RowStats<'_>,
    dy: &[f32],
    dx: &mut [f32],
    store: impl Fn(&mut f32, f32),
) {
    let d = weight.len();
    let rows = x.chunks_exact(d).zip(dy.chunks_exact(d)).zip(dx.chunks_exact_mut(d)).zip(stats.mean).zip(stats.rstd);
    for ((((x, dy), dx), &m), &r) in rows {
        let mean = sum3(x, dy, weight, |_, dy, w| dy * w) / d as f32;
        let slope = sum3(x, dy, weight, |x, dy, w| dy * w * ((x.to_f32() - m) * r)) / d as f32;
        for (((x, dy), w), dx) in x.iter().zip(dy).zip(weight).zip(dx) {
            store(dx, (dy * w - mean - (x.to_f32() - m) * r * slope) * r);
        }
    }
}

multiversion! {
    /// Adds to `dw` what columns from `from` on, at most [`STRIPE`], have summed.
    fn columns<E>(x: &[E], stats: RowStats<'_>, dy: &[f32], at: [usize; 2], dw: &mut [f32]) {
        let [d, from] = at;
        let mut sums = [0f32; STRIPE];
        let rows = x.chunks_exact(d).zip(dy.chunks_exact(d)).zip(stats.mean).zip(stats.rstd);
        for (((x, dy), &m), &r) in rows {
            let columns = x[from..from + dw.len()].iter().zip(&dy[from..from + dw.len()]);
            for (sum, (x, dy)) in sums.iter_mut().zip(columns) {
                *sum += dy * ((x.to_f32() - m) * r);
            }
        }
        for (dw, sum) in dw.iter_mut().zip(sums) {
            *dw += sum;
        }
    }
}
