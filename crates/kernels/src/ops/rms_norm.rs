//! RMS norm: rows divided by their root mean square (Zhang and Sennrich 2019, "Root mean square layer normalization").
//!
//! Letters in shapes: `n` rows, `d` their width, the length of the weight.

use rayon::prelude::*;

use crate::simd::lanes::{sum, sum3};
use crate::simd::multiversion::multiversion;
use crate::tasks::task_of_rows;
use crate::{Element, SimdLevel, Store};

/// Columns of a task of the weight's gradient: four vectors of AVX-512, which stay in registers.
const STRIPE: usize = 64;

/// `out = x r w` and `rstd = r`, where `r = 1 / sqrt(mean(x²) + eps)` of a row (the reciprocal standard deviation, as
/// layer norm calls it).
///
/// # Shapes
/// `x`, `out` `[n, d]`; `weight [d]`; `rstd [n]`.
///
/// # Panics
/// When the lengths do not fit.
pub fn rms_norm<E: Element>(level: SimdLevel, x: &[E], weight: &[f32], eps: f32, out: &mut [E], rstd: &mut [f32]) {
    let d = weight.len();
    assert!(x.len() == rstd.len() * d && out.len() == x.len(), "the shapes of a norm do not fit");
    if x.is_empty() {
        return;
    }
    let task = task_of_rows(d);
    let tasks = out.par_chunks_mut(task).zip(rstd.par_chunks_mut(task / d)).zip(x.par_chunks(task));
    tasks.for_each(|((out, rstd), x)| {
        rstds(level, x, eps, rstd);
        scale(level, x, weight, rstd, out);
    });
}

/// `out = x r w`, from the `r` that [`rms_norm`] has left.
///
/// # Shapes
/// `x`, `out` `[n, d]`; `weight [d]`; `rstd [n]`.
///
/// # Panics
/// When the lengths do not fit.
pub fn rms_norm_recompute<E: Element>(level: SimdLevel, x: &[E], weight: &[f32], rstd: &[f32], out: &mut [E]) {
    let d = weight.len();
    assert!(x.len() == rstd.len() * d && out.len() == x.len(), "the shapes of a norm do not fit");
    if x.is_empty() {
        return;
    }
    let task = task_of_rows(d);
    let tasks = out.par_chunks_mut(task).zip(rstd.par_chunks(task / d)).zip(x.par_chunks(task));
    tasks.for_each(|((out, rstd), x)| scale(level, x, weight, rstd, out));
}

/// The gradient of [`rms_norm`]'s input: `dx = r (dy w - x r² mean(dy w x))`, or that added to `dx`.
///
/// # Shapes
/// `x`, `dy`, `dx` `[n, d]`; `weight [d]`; `rstd [n]`, as [`rms_norm`] has left it.
///
/// # Panics
/// When the lengths do not fit.
pub fn rms_norm_backward<E: Element>(
    level: SimdLevel,
    x: &[E],
    weight: &[f32],
    rstd: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    store: Store,
) {
    let d = weight.len();
    let fits = x.len() == rstd.len() * d && dy.len() == x.len() && dx.len() == x.len();
    assert!(fits, "the shapes of a norm do not fit");
    if x.is_empty() {
        return;
    }
    let task = task_of_rows(d);
    let read = x.par_chunks(task).zip(dy.par_chunks(task)).zip(rstd.par_chunks(task / d));
    dx.par_chunks_mut(task).zip(read).for_each(|(dx, ((x, dy), rstd))| match store {
        Store::Set => set_backward(level, x, weight, rstd, dy, dx),
        Store::Add => add_backward(level, x, weight, rstd, dy, dx),
    });
}

/// `dw += Σ dy x r` over the rows.
///
/// # Shapes
/// `x`, `dy` `[n, d]`; `rstd [n]`, as [`rms_norm`] has left it; `dw [d]`.
///
/// # Panics
/// When the lengths do not fit.
pub fn rms_norm_weight_gradient<E: Element>(level: SimdLevel, x: &[E], rstd: &[f32], dy: &[f32], dw: &mut [f32]) {
    assert!(x.len() == rstd.len() * dw.len() && dy.len() == x.len(), "the shapes of a norm do not fit");
    let d = dw.len();
    // Stripes of columns: a column is summed in the order of its rows by one thread.
    let stripe = |(i, dw): (usize, &mut [f32])| columns(level, x, rstd, dy, d, i * STRIPE, dw);
    if x.len() <= task_of_rows(d) {
        dw.chunks_mut(STRIPE).enumerate().for_each(stripe);
    } else {
        dw.par_chunks_mut(STRIPE).enumerate().for_each(stripe);
    }
}

multiversion! {
    fn rstds<E>(x: &[E], eps: f32, rstd: &mut [f32]) {
        let d = x.len() / rstd.len();
        for (x, r) in x.chunks_exact(d).zip(rstd) {
            let squares = sum(x, |x| x.to_f32() * x.to_f32());
            *r = 1.0 / (squares / d as f32 + eps).sqrt();
        }
    }
}

multiversion! {
    fn scale<E>(x: &[E], weight: &[f32], rstd: &[f32], out: &mut [E]) {
        let d = weight.len();
        for ((x, out), &r) in x.chunks_exact(d).zip(out.chunks_exact_mut(d)).zip(rstd) {
            for ((x, w), out) in x.iter().zip(weight).zip(out) {
                *out = E::from_f32(x.to_f32() * r * w);
            }
        }
    }
}

multiversion! {
    fn set_backward<E>(x: &[E], weight: &[f32], rstd: &[f32], dy: &[f32], dx: &mut [f32]) {
        rows_backward(x, weight, rstd, dy, dx, |dx, new| *dx = new);
    }
}

multiversion! {
    fn add_backward<E>(x: &[E], weight: &[f32], rstd: &[f32], dy: &[f32], dx: &mut [f32]) {
        rows_backward(x, weight, rstd, dy, dx, |dx, new| *dx += new);
    }
}

#[inline(always)]
fn rows_backward<E: Element>(
    x: &[E],
    weight: &[f32],
    rstd: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    store: impl Fn(&mut f32, f32),
) {
    let d = weight.len();
    let rows = x.chunks_exact(d).zip(dy.chunks_exact(d)).zip(dx.chunks_exact_mut(d)).zip(rstd);
    for (((x, dy), dx), &r) in rows {
        let c = sum3(x, dy, weight, |x, dy, w| dy * w * x.to_f32()) / d as f32 * (r * r);
        for (((x, dy), w), dx) in x.iter().zip(dy).zip(weight).zip(dx) {
            store(dx, (dy * w - x.to_f32() * c) * r);
        }
    }
}

multiversion! {
    /// Adds to `dw` what columns from `from` on, at most [`STRIPE`], have summed.
    fn columns<E>(x: &[E], rstd: &[f32], dy: &[f32], d: usize, from: usize, dw: &mut [f32]) {
        let mut sums = [0f32; STRIPE];
        let (to, width) = (from + dw.len(), dw.len());
        for ((x, dy), &r) in x.chunks_exact(d).zip(dy.chunks_exact(d)).zip(rstd) {
            let (x, dy) = (&x[from..to], &dy[from..to]);
            // A length known beforehand keeps the sums in registers.
            if let (Some(x), Some(dy)) = (x.first_chunk::<STRIPE>(), dy.first_chunk::<STRIPE>()) {
                for i in 0..STRIPE {
                    sums[i] += dy[i] * (x[i].to_f32() * r);
                }
            } else {
                for ((sum, x), dy) in sums[..width].iter_mut().zip(x).zip(dy) {
                    *sum += dy * (x.to_f32() * r);
                }
            }
        }
        for (dw, sum) in dw.iter_mut().zip(sums) {
            *dw += sum;
        }
    }
}
