//! Rotary positions (Su et al. 2021, "RoFormer"): each half-split pair `(x_i, x_{i+e/2})` of a head is turned by the
//! angle of its position.

use rayon::prelude::*;

use crate::lanes::{load, store};
use crate::split::task_of_rows;
use crate::vectorised::{LANES, vectorised};
use crate::{Element, Level};

/// Which way pairs are turned. The transpose of a rotation, as the backward pass needs it, turns back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Forward,
    Back,
}

/// Cosines and sines of the angles `position · frequency`, rounded to f32 before their sine is taken, as transformers
/// does.
///
/// # Shapes
/// `frequencies [e/2]`, `positions [n]` -> both `[n, e/2]`.
pub fn tables(frequencies: &[f32], positions: &[u32]) -> (Vec<f32>, Vec<f32>) {
    let count = positions.len() * frequencies.len();
    let (mut cos, mut sin) = (vec![0.0; count], vec![0.0; count]);
    if count > 0 {
        let (task, pairs) = (task_of_rows(frequencies.len()), frequencies.len());
        let tasks = cos.par_chunks_mut(task).zip(sin.par_chunks_mut(task)).zip(positions.par_chunks(task / pairs));
        tasks.for_each(|((cos, sin), positions)| {
            let angles = positions.iter().flat_map(|&p| frequencies.iter().map(move |f| p as f32 * f));
            for ((cos, sin), angle) in cos.iter_mut().zip(sin).zip(angles) {
                (*sin, *cos) = angle.sin_cos();
            }
        });
    }
    (cos, sin)
}

/// Turns the pairs of the first `heads` heads of each row, `(a, b)` to `(a cos - b sin, b cos + a sin)`.
///
/// # Shapes
/// `x [n, row]`, whose first `heads · width` columns are heads; `cos`, `sin` `[n, width/2]`.
///
/// # Panics
/// When the lengths do not fit.
#[allow(clippy::too_many_arguments)] // the lengths are the shape
pub fn rope<E: Element>(
    level: Level,
    x: &mut [E],
    row: usize,
    heads: usize,
    width: usize,
    cos: &[f32],
    sin: &[f32],
    turn: Turn,
) {
    let pairs = width / 2;
    let fits = width == 2 * pairs && heads * width <= row && cos.len() == sin.len();
    assert!(fits && cos.len() * row == x.len() * pairs, "the shapes of rotary positions do not fit");
    if x.is_empty() || pairs == 0 || heads == 0 {
        return;
    }
    let task = task_of_rows(row);
    let table = task / row * pairs;
    let sign = if turn == Turn::Forward { 1.0 } else { -1.0 };
    let tasks = x.par_chunks_mut(task).zip(cos.par_chunks(table)).zip(sin.par_chunks(table));
    tasks.for_each(|((x, cos), sin)| rows(level, x, row, heads, pairs, cos, sin, sign));
}

vectorised! {
    fn rows<E>(x: &mut [E], row: usize, heads: usize, pairs: usize, cos: &[f32], sin: &[f32], sign: f32) {
        for ((x, cos), sin) in x.chunks_exact_mut(row).zip(cos.chunks_exact(pairs)).zip(sin.chunks_exact(pairs)) {
            let ((cos, rest_cos), (sin, rest_sin)) = (cos.as_chunks::<LANES>(), sin.as_chunks::<LANES>());
            for head in x[..heads * 2 * pairs].chunks_exact_mut(2 * pairs) {
                let (first, second) = head.split_at_mut(pairs);
                let (first, rest_first) = first.as_chunks_mut::<LANES>();
                let (second, rest_second) = second.as_chunks_mut::<LANES>();
                for (((first, second), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                    let (a, b) = (load(first), load(second));
                    let (mut c, mut d) = (a, b);
                    for i in 0..LANES {
                        [c[i], d[i]] = turned(a[i], b[i], cos[i], sign * sin[i]);
                    }
                    store(first, &c);
                    store(second, &d);
                }
                let rest = rest_first.iter_mut().zip(rest_second).zip(rest_cos).zip(rest_sin);
                for (((first, second), cos), sin) in rest {
                    let [c, d] = turned(first.to_f32(), second.to_f32(), *cos, sign * sin);
                    (*first, *second) = (E::from_f32(c), E::from_f32(d));
                }
            }
        }
    }
}

#[inline(always)]
fn turned(a: f32, b: f32, cos: f32, sin: f32) -> [f32; 2] {
    [a * cos - b * sin, b * cos + a * sin]
}
