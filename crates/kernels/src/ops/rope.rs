//! Rotary positions (Su et al. 2021, "RoFormer"): each half-split pair `(x_i, x_{i+e/2})` of a head is rotated by the
//! angle of its position.

use rayon::prelude::*;

use super::columns::HeadColumns;
use crate::simd::lanes::{load, store};
use crate::simd::multiversion::{LANES, multiversion};
use crate::tasks::task_of_rows;
use crate::{Element, SimdLevel};

/// Which way pairs are rotated. The transpose of a rotation, as the backward pass needs it, is its inverse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    Forward,
    Inverse,
}

/// Cosines and sines of the angles of `n` tokens, both `[n, pairs]`: pair `i` are the numbers `i` and `pairs + i` of a head.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RopeTables {
    /// Pairs that are rotated, the first `2 pairs` numbers of a head.
    pub pairs: usize,
    pub cos: Vec<f32>,
    pub sin: Vec<f32>,
}

/// Cosines and sines of the angles `position · frequency`, rounded to f32 before their sine is taken, as transformers
/// does; both times `factor`, which YaRN and LongRoPE have other than 1.
///
/// # Shapes
/// `frequencies [pairs]`, `positions [n]`.
pub fn tables(frequencies: &[f32], factor: f32, positions: &[u32]) -> RopeTables {
    let count = positions.len() * frequencies.len();
    let (mut cos, mut sin) = (vec![0.0; count], vec![0.0; count]);
    if count > 0 {
        let (task, pairs) = (task_of_rows(frequencies.len()), frequencies.len());
        let tasks = cos.par_chunks_mut(task).zip(sin.par_chunks_mut(task)).zip(positions.par_chunks(task / pairs));
        tasks.for_each(|((cos, sin), positions)| {
            let angles = positions.iter().flat_map(|&p| frequencies.iter().map(move |f| p as f32 * f));
            for ((cos, sin), angle) in cos.iter_mut().zip(sin).zip(angles) {
                let (s, c) = angle.sin_cos();
                (*sin, *cos) = (s * factor, c * factor);
            }
        });
    }
    RopeTables { pairs: frequencies.len(), cos, sin }
}

/// Rotates the pairs of some heads of each row, `(a, b)` to `(a cos - b sin, b cos + a sin)`; what of a head is in no pair
/// stays as it is.
///
/// # Shapes
/// `x [n, row]`, of which `columns` says the heads; `tables` of `n` tokens.
///
/// # Panics
/// When the lengths do not fit.
pub fn rope<E: Element>(level: SimdLevel, x: &mut [E], columns: HeadColumns, tables: &RopeTables, rotation: Rotation) {
    let RopeTables { pairs, cos, sin } = tables;
    let (HeadColumns { row, heads, head_dim, .. }, pairs) = (columns, *pairs);
    let fits = 2 * pairs <= head_dim && columns.columns().fits(x.len()) && cos.len() == sin.len();
    assert!(fits && cos.len() * row == x.len() * pairs, "the shapes of rotary positions do not fit");
    if x.is_empty() || pairs == 0 || heads == 0 {
        return;
    }
    let task = task_of_rows(row);
    let table = task / row * pairs;
    let sign = if rotation == Rotation::Forward { 1.0 } else { -1.0 };
    let tasks = x.par_chunks_mut(task).zip(cos.par_chunks(table)).zip(sin.par_chunks(table));
    tasks.for_each(|((x, cos), sin)| rows(level, x, columns, pairs, cos, sin, sign));
}

multiversion! {
    fn rows<E>(x: &mut [E], columns: HeadColumns, pairs: usize, cos: &[f32], sin: &[f32], sign: f32) {
        for ((x, cos), sin) in x.chunks_exact_mut(columns.row).zip(cos.chunks_exact(pairs)).zip(sin.chunks_exact(pairs)) {
            let ((cos, rest_cos), (sin, rest_sin)) = (cos.as_chunks::<LANES>(), sin.as_chunks::<LANES>());
            for head in columns.columns().of_mut(x).chunks_exact_mut(columns.head_dim) {
                let (first, second) = head[..2 * pairs].split_at_mut(pairs);
                let (first, rest_first) = first.as_chunks_mut::<LANES>();
                let (second, rest_second) = second.as_chunks_mut::<LANES>();
                for (((first, second), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                    let (a, b) = (load(first), load(second));
                    let (mut c, mut d) = (a, b);
                    for i in 0..LANES {
                        [c[i], d[i]] = rotated(a[i], b[i], cos[i], sign * sin[i]);
                    }
                    store(first, &c);
                    store(second, &d);
                }
                let rest = rest_first.iter_mut().zip(rest_second).zip(rest_cos).zip(rest_sin);
                for (((first, second), cos), sin) in rest {
                    let [c, d] = rotated(first.to_f32(), second.to_f32(), *cos, sign * sin);
                    (*first, *second) = (E::from_f32(c), E::from_f32(d));
                }
            }
        }
    }
}

#[inline(always)]
fn rotated(a: f32, b: f32, cos: f32, sin: f32) -> [f32; 2] {
    [a * cos - b * sin, b * cos + a * sin]
}
