//! Rows of an embedding table: read for tokens, and given their gradients.
//!
//! Letters in shapes: `n` tokens, `d` width, `v` vocabulary.

use rayon::prelude::*;

use crate::quant::QuantTensor;
use crate::simd::multiversion::multiversion;
use crate::tasks::task_of_rows;
use crate::{Element, SimdLevel};

/// `out[i] = table[tokens[i]]`.
///
/// # Shapes
/// `table [v, d]`; `tokens [n]`; `out [n, d]`.
///
/// # Panics
/// When the lengths do not fit, or a token is not below `v`.
pub fn gather<E: Element>(table: &[E], d: usize, tokens: &[u32], out: &mut [E]) {
    assert!(out.len() == tokens.len() * d, "the shapes of tokens and their rows do not fit");
    if out.is_empty() {
        return;
    }
    let task = task_of_rows(d);
    out.par_chunks_mut(task).zip(tokens.par_chunks(task / d)).for_each(|(out, tokens)| {
        for (out, &token) in out.chunks_exact_mut(d).zip(tokens) {
            out.copy_from_slice(&table[token as usize * d..][..d]);
        }
    });
}

/// [`gather`] of a quantised table, rounded to `E`.
///
/// # Panics
/// As [`gather`].
pub fn gather_quantised<E: Element>(level: SimdLevel, table: &QuantTensor, tokens: &[u32], out: &mut [E]) {
    let [_, d] = table.dims();
    assert!(out.len() == tokens.len() * d, "the shapes of tokens and their rows do not fit");
    if out.is_empty() {
        return;
    }
    let task = task_of_rows(d);
    out.par_chunks_mut(task).zip(tokens.par_chunks(task / d)).for_each(|(out, tokens)| {
        for (out, &token) in out.chunks_exact_mut(d).zip(tokens) {
            table.unpack_row(level, token as usize, out);
        }
    });
}

/// `table[tokens[i]] += gradient[i]`, for equal tokens in their order.
///
/// # Shapes
/// `gradient [n, d]`; `tokens [n]`; `table [v, d]`.
///
/// # Panics
/// When the lengths do not fit, or a token is not below `v`.
pub fn scatter_add(level: SimdLevel, gradient: &[f32], d: usize, tokens: &[u32], table: &mut [f32]) {
    assert!(gradient.len() == tokens.len() * d, "the shapes of tokens and their gradients do not fit");
    if gradient.is_empty() {
        return;
    }
    let mut order: Vec<usize> = (0..tokens.len()).collect();
    order.sort_by_key(|&i| tokens[i]); // stable
    // Each row that changes, with the indices of its token.
    let mut rows: Vec<(&mut [f32], &[usize])> = Vec::new();
    let (mut rest, mut passed) = (table, 0);
    for indices in order.chunk_by(|&i, &j| tokens[i] == tokens[j]) {
        let from = tokens[indices[0]] as usize * d;
        let (row, after) = rest.split_at_mut(from - passed + d);
        rows.push((&mut row[from - passed..], indices));
        (rest, passed) = (after, from + d);
    }
    let add = |(row, indices): (&mut [f32], &[usize])| add_rows(level, gradient, d, indices, row);
    if gradient.len() <= task_of_rows(d) {
        rows.into_iter().for_each(add);
    } else {
        rows.into_par_iter().for_each(add);
    }
}

multiversion! {
    fn add_rows(gradient: &[f32], d: usize, indices: &[usize], row: &mut [f32]) {
        for &i in indices {
            for (sum, g) in row.iter_mut().zip(&gradient[i * d..][..d]) {
                *sum += g;
            }
        }
    }
}
