//! RMS norm of each attention head inside wider rows, as Qwen3 norms queries and keys.
//!
//! The norm is in place, since queries, keys and values lie side by side in one row. Its backward pass needs the heads as
//! they were before: whoever trains keeps them ([`copy_columns`](super::reduce::copy_columns)). They could be recovered from
//! the rotated output, by the inverse rotation and division by the weight, but not where a weight is small or 0, and
//! rounding to bf16 twice on the way.
//!
//! Letters in shapes: `n` tokens, `h` heads, `e` numbers of a head.

use rayon::prelude::*;

use super::columns::HeadColumns;
use crate::simd::lanes::{sum, sum3};
use crate::simd::multiversion::multiversion;
use crate::tasks::task_of_rows;
use crate::{Element, SimdLevel};

/// Heads as they were before their norm, where they were kept, and what the norm left: `rstd [n, h]`.
#[derive(Clone, Copy, Debug)]
pub struct NormedHeads<'a, E> {
    pub x: &'a [E],
    pub columns: HeadColumns,
    pub rstd: &'a [f32],
}

/// `x = x r w` for each head, in place, and `rstd = r`, where `r = 1 / sqrt(mean(x²) + eps)` of the head's numbers.
///
/// # Shapes
/// `x [n, row]`, of which `columns` says the heads; `weight [e]`; `rstd [n, h]`.
///
/// # Panics
/// When the lengths do not fit.
pub fn rms_norm_heads<E: Element>(
    level: SimdLevel,
    x: &mut [E],
    columns: HeadColumns,
    weight: &[f32],
    eps: f32,
    rstd: &mut [f32],
) {
    check(columns, x.len(), rstd.len());
    assert!(weight.len() == columns.head_dim, "the shapes of a norm do not fit");
    if rstd.is_empty() {
        return;
    }
    let rows = rows_of_task(columns);
    let tasks = x.par_chunks_mut(rows * columns.row).zip(rstd.par_chunks_mut(rows * columns.heads));
    tasks.for_each(|(x, rstd)| norm_rows(level, x, columns, weight, eps, rstd));
}

/// From the gradient of [`rms_norm_heads`]' output to that of its input, in place: `d = r (d w - x r² mean(d w x))` for
/// each head.
///
/// # Shapes
/// `d [n, row]`, of which `columns` says the heads, as many and as wide as those of `normed`; `weight [e]`.
///
/// # Panics
/// When the lengths do not fit.
pub fn rms_norm_heads_backward<E: Element>(
    level: SimdLevel,
    normed: NormedHeads<'_, E>,
    weight: &[f32],
    d: &mut [E],
    columns: HeadColumns,
) {
    check_both(&normed, columns, d.len());
    assert!(weight.len() == columns.head_dim, "the shapes of a norm do not fit");
    if normed.rstd.is_empty() {
        return;
    }
    let rows = rows_of_task(columns);
    let read = normed.x.par_chunks(rows * normed.columns.row).zip(normed.rstd.par_chunks(rows * columns.heads));
    d.par_chunks_mut(rows * columns.row).zip(read).for_each(|(d, (x, rstd))| {
        rows_backward(level, NormedHeads { x, rstd, ..normed }, weight, d, columns);
    });
}

/// `dw += Σ dy x r` over tokens and heads: in tasks of a fixed size, and over the tasks in their order. It reads `dy`, the
/// gradient of the output, so it comes before [`rms_norm_heads_backward`].
///
/// # Shapes
/// `dy [n, row]`, of which `columns` says the heads, as many and as wide as those of `normed`; `dw [e]`.
///
/// # Panics
/// When the lengths do not fit.
pub fn rms_norm_heads_weight_gradient<E: Element>(
    level: SimdLevel,
    normed: NormedHeads<'_, E>,
    dy: &[E],
    columns: HeadColumns,
    dw: &mut [f32],
) {
    check_both(&normed, columns, dy.len());
    assert!(dw.len() == columns.head_dim, "the shapes of a norm do not fit");
    if normed.rstd.is_empty() {
        return;
    }
    let rows = rows_of_task(columns);
    let read = normed.x.par_chunks(rows * normed.columns.row).zip(normed.rstd.par_chunks(rows * columns.heads));
    let sums = dy.par_chunks(rows * columns.row).zip(read).map(|(dy, (x, rstd))| {
        let mut sums = vec![0f32; columns.head_dim];
        add_rows(level, NormedHeads { x, rstd, ..normed }, dy, columns, &mut sums);
        sums
    });
    for sums in sums.collect::<Vec<_>>() {
        dw.iter_mut().zip(sums).for_each(|(dw, sum)| *dw += sum);
    }
}

fn rows_of_task(columns: HeadColumns) -> usize {
    let width = columns.columns().count;
    task_of_rows(width) / width
}

fn check(columns: HeadColumns, length: usize, rstd: usize) {
    let rows = columns.columns().rows(length);
    let fits = columns.columns().fits(length) && rstd == rows * columns.heads && (rstd == 0 || columns.head_dim > 0);
    assert!(fits, "the shapes of a norm do not fit");
}

fn check_both<E>(normed: &NormedHeads<'_, E>, columns: HeadColumns, length: usize) {
    check(columns, length, normed.rstd.len());
    check(normed.columns, normed.x.len(), normed.rstd.len());
    let is_alike = (columns.heads, columns.head_dim) == (normed.columns.heads, normed.columns.head_dim);
    assert!(is_alike, "the shapes of a norm do not fit");
}

multiversion! {
    fn norm_rows<E>(x: &mut [E], columns: HeadColumns, weight: &[f32], eps: f32, rstd: &mut [f32]) {
        let e = columns.head_dim;
        for (x, rstd) in x.chunks_exact_mut(columns.row).zip(rstd.chunks_exact_mut(columns.heads)) {
            for (x, rstd) in columns.columns().of_mut(x).chunks_exact_mut(e).zip(rstd) {
                let squares = sum(x, |x| x.to_f32() * x.to_f32());
                let r = 1.0 / (squares / e as f32 + eps).sqrt();
                for (x, w) in x.iter_mut().zip(weight) {
                    *x = E::from_f32(x.to_f32() * r * w);
                }
                *rstd = r;
            }
        }
    }
}

multiversion! {
    fn rows_backward<E>(normed: NormedHeads<'_, E>, weight: &[f32], d: &mut [E], columns: HeadColumns) {
        let e = columns.head_dim;
        let NormedHeads { x, columns: from, rstd } = normed;
        let rows = x.chunks_exact(from.row).zip(rstd.chunks_exact(columns.heads)).zip(d.chunks_exact_mut(columns.row));
        for ((x, rstd), d) in rows {
            let heads = from.columns().of(x).chunks_exact(e).zip(columns.columns().of_mut(d).chunks_exact_mut(e));
            for ((x, d), &r) in heads.zip(rstd) {
                let c = sum3(x, d, weight, |x, d, w| d.to_f32() * w * x.to_f32()) / e as f32 * (r * r);
                for ((x, w), d) in x.iter().zip(weight).zip(d) {
                    *d = E::from_f32((d.to_f32() * w - x.to_f32() * c) * r);
                }
            }
        }
    }
}

multiversion! {
    fn add_rows<E>(normed: NormedHeads<'_, E>, dy: &[E], columns: HeadColumns, sums: &mut [f32]) {
        let e = columns.head_dim;
        let NormedHeads { x, columns: from, rstd } = normed;
        let rows = x.chunks_exact(from.row).zip(rstd.chunks_exact(columns.heads)).zip(dy.chunks_exact(columns.row));
        for ((x, rstd), dy) in rows {
            let heads = from.columns().of(x).chunks_exact(e).zip(columns.columns().of(dy).chunks_exact(e));
            for ((x, dy), &r) in heads.zip(rstd) {
                for ((sum, x), dy) in sums.iter_mut().zip(x).zip(dy) {
                    *sum += dy.to_f32() * (x.to_f32() * r);
                }
            }
        }
    }
}
