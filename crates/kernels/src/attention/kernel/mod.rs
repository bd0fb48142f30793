//! What a level does with a tile of scores between two products, and with cached rows.

#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512_bf16;
#[cfg(target_arch = "x86_64")]
mod bf16_dots;
mod portable;

use super::operands::{pack_lhs, pack_rhs};
use super::score_tile::{OnlineSoftmax, ScoreTile};
use super::{dots, softmax};
use crate::Element;
use crate::gemm::Matrix;
use crate::gemm::kernel::{CTile, Kernel};
use crate::prefetch::Ahead;

/// Tokens of a block of a paged cache.
pub const BLOCK: usize = 32;

/// Numbers that sums of values are padded to.
pub const PADDED: usize = 32;

/// Left operands of all queries of a task, rows keys; a strip is some steps of each panel.
pub struct PackedScores<'a, P> {
    /// Probabilities, and gradients of scores.
    pub probs: &'a mut [P],
    pub d_scores: &'a mut [P],
    /// Numbers of a panel before the strip, and in all.
    pub before: usize,
    pub panel: usize,
    /// Steps of the strip: its queries.
    pub steps: usize,
}

/// A kernel as attention uses it; strips are [`Kernel::NR`] queries wide.
pub trait AttentionKernel: Kernel + Sized {
    /// [`Kernel::microkernel`] of two packed panels, of which only the first `rows` rows are needed.
    ///
    /// # Safety
    /// That of [`Kernel::microkernel`].
    unsafe fn multiply(rows: usize, k: usize, [a, b]: [*const Self::Packed; 2], c: *mut f32, ldc: usize, add: bool) {
        // SAFETY: the caller's.
        unsafe {
            let c = CTile { first: c, ldc, rows, cols: Self::NR, add };
            Self::microkernel(k, &Self::panel(a), b, &c, Ahead::NONE)
        }
    }

    /// Scores to probabilities, not yet divided by their sum, packed as a right operand whose columns are the queries.
    /// What becomes of the scores is left open.
    fn online_softmax(scores: &mut [f32], tile: ScoreTile, state: OnlineSoftmax<'_>, probs: &mut [Self::Packed]) {
        let scores = &mut scores[..tile.keys * Self::NR];
        softmax::online_softmax(Self::LEVEL, Self::NR, scores, tile, state);
        pack_rhs::<Self, f32>(Matrix::new(scores, tile.keys, Self::NR).t(), [Self::NR, tile.keys], probs, tile.keys);
    }

    /// `to [NR, head_dim]` becomes the transpose of `sums [head_dim, NR]`.
    fn transpose(sums: &[f32], head_dim: usize, to: &mut [f32]) {
        transpose_from(0, sums, Self::NR, head_dim, to);
    }

    /// The sum of products of two rows.
    fn dot<E: Element>(a: &[E], b: &[E]) -> f32 {
        dots::dot(Self::LEVEL, a, b)
    }

    /// `to[t]`: the sum of products of row `t` with `query`; `rows` are [`BLOCK`].
    fn qk_dots<E: Element>(rows: &[E], query: &[E], to: &mut [f32]) {
        dots::qk_dots(Self::LEVEL, rows, query, to);
    }

    /// Adds rows of `width` numbers, each times its weight, to `sums`, which are padded ([`PADDED`]); at most a block of
    /// rows.
    fn weighted_sum<E: Element>(rows: &[E], width: usize, weights: &[f32], sums: &mut [f32]) {
        dots::weighted_sum(Self::LEVEL, rows, width, weights, sums);
    }

    /// Scores, and gradients of probabilities, to probabilities and gradients of scores, packed as left operands whose
    /// rows are keys, and the latter also as a right operand whose columns are queries (`d_strip`). `lse`:
    /// log-sum-exp of each query, base 2; `delta`: what all gradients of its probabilities lose. What becomes of scores
    /// and gradients is left open.
    fn softmax_backward(
        [scores, gradients]: [&mut [f32]; 2],
        tile: ScoreTile,
        [lse, delta]: [&[f32]; 2],
        packed: PackedScores<'_, Self::Packed>,
        d_strip: &mut [Self::Packed],
    ) {
        let (nr, keys) = (Self::NR, tile.keys);
        let (scores, gradients) = (&mut scores[..keys * nr], &mut gradients[..keys * nr]);
        softmax::softmax_backward(Self::LEVEL, nr, scores, gradients, tile, lse, delta);
        let PackedScores { probs, d_scores, before, panel, steps } = packed;
        for (tile, packed) in [(&*scores, probs), (&*gradients, d_scores)] {
            let matrix = Matrix::strided(tile, keys, steps, nr);
            pack_lhs::<Self, f32>(matrix, [keys, steps], &mut packed[before..], panel / Self::MR);
        }
        pack_rhs::<Self, f32>(Matrix::new(gradients, keys, nr).t(), [nr, keys], d_strip, keys);
    }
}

/// Transposes the rows of `sums [head_dim, columns]` from `first` on, number by number.
fn transpose_from(first: usize, sums: &[f32], columns: usize, head_dim: usize, to: &mut [f32]) {
    for (row, sums) in sums.chunks_exact(columns).enumerate().take(head_dim).skip(first) {
        to[row..].iter_mut().step_by(head_dim).zip(sums).for_each(|(to, from)| *to = *from);
    }
}
