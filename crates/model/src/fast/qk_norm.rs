//! RMS norms of queries and of keys, head by head, before their rotation (Qwen3, Gemma 3): forward and backward.

use tunebench_kernels::attention::Heads;
use tunebench_kernels::ops::reduce::copy_columns;
use tunebench_kernels::ops::rms_norm_heads::{
    NormedHeads, rms_norm_heads, rms_norm_heads_backward, rms_norm_heads_weight_gradient,
};
use tunebench_kernels::ops::{HeadColumns, RowColumns};

use super::pass::{BackwardPass, Pass};
use super::storage::{Storage, resize};
use super::trained::Vector;

/// The two norms of a layer.
pub(super) struct QkNorm {
    /// Both `[e]`, shared by all heads.
    pub q: Vector,
    pub k: Vector,
    pub eps: f32,
}

/// What the backward pass reads of the forward pass.
#[derive(Default)]
pub(super) struct QkNormActs<E> {
    /// Queries and keys before their norms, `[n, (h+k) e]`.
    qk: Vec<E>,
    /// One over the root mean square of each, `[n, h]` and `[n, k]`.
    q_rstd: Vec<f32>,
    k_rstd: Vec<f32>,
}

impl QkNorm {
    pub fn is_trained(&self) -> bool {
        self.q.is_trained() || self.k.is_trained()
    }

    /// Norms queries and keys in place, in `qkv [n, (h+2k) e]`; keeps them as they were.
    pub fn forward<E: Storage>(&self, pass: &Pass<'_, E>, heads: Heads, qkv: &mut [E], acts: &mut QkNormActs<E>) {
        let Heads { heads: h, kv_heads: k, head_dim: e } = heads;
        let (row, kept) = ((h + 2 * k) * e, (h + k) * e);
        let n = qkv.len() / row;
        resize(&mut acts.qk, n * kept);
        copy_columns(qkv, RowColumns { row, first: 0, count: kept }, &mut acts.qk);
        for (columns, weight, rstd) in
            [(queries(heads, row), &self.q, &mut acts.q_rstd), (keys(heads, row), &self.k, &mut acts.k_rstd)]
        {
            resize(rstd, n * columns.heads);
            rms_norm_heads(pass.level, qkv, columns, &weight.values(pass.trained), self.eps, rstd);
        }
    }

    /// From the gradient of the normed queries and keys to that of the projections, in place in `d_qkv [n, (h+2k) e]`; and
    /// to those of trained weights.
    pub fn backward<E: Storage>(
        &self,
        back: &mut BackwardPass<'_, E>,
        heads: Heads,
        acts: &QkNormActs<E>,
        d_qkv: &mut [E],
    ) {
        let Heads { heads: h, kv_heads: k, head_dim: e } = heads;
        let (row, kept) = ((h + 2 * k) * e, (h + k) * e);
        let level = back.pass.level;
        for (columns, d_columns, weight, rstd) in [
            (queries(heads, kept), queries(heads, row), &self.q, &acts.q_rstd),
            (keys(heads, kept), keys(heads, row), &self.k, &acts.k_rstd),
        ] {
            let normed = NormedHeads { x: &acts.qk, columns, rstd };
            if let Some(slot) = weight.slot() {
                rms_norm_heads_weight_gradient(level, normed, d_qkv, d_columns, back.gradients.sum(slot));
            }
            rms_norm_heads_backward(level, normed, &weight.values(back.pass.trained), d_qkv, d_columns);
        }
    }
}

/// Queries, in rows of `row` numbers that begin with them.
fn queries(Heads { heads, head_dim, .. }: Heads, row: usize) -> HeadColumns {
    HeadColumns { row, first: 0, heads, head_dim }
}

/// Keys, in rows of `row` numbers that begin with queries and keys.
fn keys(Heads { heads, kv_heads, head_dim }: Heads, row: usize) -> HeadColumns {
    HeadColumns { row, first: heads * head_dim, heads: kv_heads, head_dim }
}
