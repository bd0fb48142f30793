//! What a kernel does with a strip of scores between two products: softmax, and packing for the next product.

use super::blocks::{left, right};
#[cfg(target_arch = "x86_64")]
use super::pairs;
use super::softmax::{self, Running, Strip};
use crate::Element;
use crate::product::Matrix;
use crate::product::micro::{self, Kernel};

/// Left operands of all queries of a task, rows keys; a strip is some steps of each panel.
pub struct Parts<'a, P> {
    /// Probabilities, and gradients of scores.
    pub weights: &'a mut [P],
    pub d_scores: &'a mut [P],
    /// Numbers of a panel before the strip, and in all.
    pub before: usize,
    pub panel: usize,
    /// Steps of the strip: its queries.
    pub steps: usize,
}

/// A kernel as attention uses it; strips are [`Kernel::COLUMNS`] wide.
pub trait Attend: Kernel + Sized {
    /// [`Kernel::tile`] of two packed panels, of which only the first `rows` rows are needed.
    ///
    /// # Safety
    /// That of [`Kernel::tile`].
    unsafe fn rows(
        rows: usize,
        depth: usize,
        operands: [*const Self::Packed; 2],
        sums: *mut f32,
        stride: usize,
        add: bool,
    ) {
        // SAFETY: the caller's.
        unsafe { Self::tile(depth, Self::panel(operands[0]), rows, operands[1], sums, stride, add) }
    }

    /// Scores to probabilities, not yet divided by their sum, packed as a right operand whose columns are the queries.
    /// What becomes of the scores is left open.
    fn soften(scores: &mut [f32], strip: Strip, running: Running<'_>, weights: &mut [Self::Packed]) {
        let columns = Self::COLUMNS;
        let scores = &mut scores[..strip.keys * columns];
        softmax::soften(Self::LEVEL, columns, scores, strip, running);
        right::<Self, f32>(Matrix::new(scores, strip.keys, columns).t(), [columns, strip.keys], weights, strip.keys);
    }

    /// `to [COLUMNS, width]` becomes the transpose of `sums [width, COLUMNS]`.
    fn turn(sums: &[f32], width: usize, to: &mut [f32]) {
        turn_from(0, sums, Self::COLUMNS, width, to);
    }

    /// The sum of products of two rows.
    fn dot<E: Element>(a: &[E], b: &[E]) -> f32 {
        softmax::dot(Self::LEVEL, a, b)
    }

    /// `dots[t]`: the sum of products of row `t` with `query`; `rows` are [`BLOCK`](super::BLOCK).
    fn dots<E: Element>(rows: &[E], query: &[E], dots: &mut [f32]) {
        softmax::dots(Self::LEVEL, rows, query, dots);
    }

    /// Adds rows of `width` numbers, each times its weight, to `sums`, which are padded; at most a block of rows.
    fn mix<E: Element>(rows: &[E], width: usize, weights: &[f32], sums: &mut [f32]) {
        softmax::mix(Self::LEVEL, rows, width, weights, sums);
    }

    /// Scores, and gradients of probabilities, to probabilities and gradients of scores, packed as left operands whose
    /// rows are keys, and the latter also as a right operand whose columns are queries (`d_strip`). `lse`:
    /// log-sum-exp of each query, base 2; `delta`: what all gradients of its probabilities lose. What becomes of scores
    /// and gradients is left open.
    fn recompute(
        [scores, gradients]: [&mut [f32]; 2],
        strip: Strip,
        [lse, delta]: [&[f32]; 2],
        parts: Parts<'_, Self::Packed>,
        d_strip: &mut [Self::Packed],
    ) {
        let (columns, keys) = (Self::COLUMNS, strip.keys);
        let (scores, gradients) = (&mut scores[..keys * columns], &mut gradients[..keys * columns]);
        softmax::recompute(Self::LEVEL, columns, scores, gradients, strip, lse, delta);
        let Parts { weights, d_scores, before, panel, steps } = parts;
        for (strip, packed) in [(&*scores, weights), (&*gradients, d_scores)] {
            let matrix = Matrix::strided(strip, keys, steps, columns);
            left::<Self, f32>(matrix, [keys, steps], &mut packed[before..], panel / Self::ROWS);
        }
        right::<Self, f32>(Matrix::new(gradients, keys, columns).t(), [columns, keys], d_strip, keys);
    }
}

/// Turns the rows of `sums` from `first` on, number by number.
pub fn turn_from(first: usize, sums: &[f32], columns: usize, width: usize, to: &mut [f32]) {
    for (row, sums) in sums.chunks_exact(columns).enumerate().take(width).skip(first) {
        to[row..].iter_mut().step_by(width).zip(sums).for_each(|(to, from)| *to = *from);
    }
}

impl Attend for micro::Portable {}
#[cfg(target_arch = "x86_64")]
impl Attend for micro::Avx2 {}
#[cfg(target_arch = "x86_64")]
impl Attend for micro::Avx512 {
    fn turn(sums: &[f32], width: usize, to: &mut [f32]) {
        // SAFETY: this kernel runs only where the CPU has AVX-512.
        unsafe { pairs::turn(sums, width, to) }
    }
}
