//! From tokens to the residual stream, and the way back: rows of a table, scaled, with learned positions, normed, where the
//! decoder has these.

use std::mem::swap;

use tunebench_kernels::Store;
use tunebench_kernels::ops::embedding::{gather, scatter_add};
use tunebench_kernels::ops::reduce::{add, scale};

use super::batch::Batch;
use super::frozen_matrix::FrozenMatrix;
use super::norm::{Norm, NormStats};
use super::pass::{BackwardPass, Pass};
use super::prefix::Prefix;
use super::storage::{Storage, resize};
use super::trained::Slot;

/// What the first layer reads of tokens at positions.
pub(super) struct Embedding<E> {
    /// `[v, d]`.
    pub tokens: Table<E>,
    /// Numbers of a row, `d`.
    pub width: usize,
    pub scale: Option<f32>,
    pub positions: Option<PositionTable<E>>,
    pub norm: Option<Norm>,
}

/// Rows to be looked up.
pub(super) enum Table<E> {
    Frozen(FrozenMatrix<E>),
    Trained(Slot),
}

/// A row for each position, `[positions, d]`; that of the first is row `offset`.
pub(super) struct PositionTable<E> {
    pub table: Table<E>,
    pub offset: u32,
}

/// What the backward pass reads of the forward pass, and a buffer of it.
#[derive(Default)]
pub(super) struct EmbeddingActs<E> {
    /// What the norm reads, `[n, d]`; empty without one.
    x: Vec<E>,
    norm: NormStats,
    d_x: Vec<f32>,
}

impl<E: Storage> Table<E> {
    pub fn is_trained(&self) -> bool {
        self.slot().is_some()
    }

    fn slot(&self) -> Option<Slot> {
        match self {
            Self::Frozen(_) => None,
            Self::Trained(slot) => Some(*slot),
        }
    }

    /// The rows of these numbers, each `d` wide, to `out [n, d]`.
    fn gather(&self, pass: &Pass<'_, E>, d: usize, rows: &[u32], out: &mut [E]) {
        match self {
            Self::Frozen(matrix) => matrix.gather(pass.level, d, rows, out),
            Self::Trained(slot) => gather(pass.trained[*slot].rounded(), d, rows, out),
        }
    }
}

impl<E: Storage> PositionTable<E> {
    fn rows(&self, batch: &Batch) -> Vec<u32> {
        batch.positions().iter().map(|position| position + self.offset).collect()
    }
}

impl<E: Storage> Embedding<E> {
    pub fn is_trained(&self) -> bool {
        self.is_trained_below_norm() || self.norm.as_ref().is_some_and(Norm::is_trained)
    }

    fn is_trained_below_norm(&self) -> bool {
        self.tokens.is_trained() || self.positions.as_ref().is_some_and(|positions| positions.table.is_trained())
    }

    /// The first layer's input `x [n, d]`; the rows of virtual tokens by their value.
    pub fn forward(&self, pass: &Pass<'_, E>, batch: &Batch, acts: &mut EmbeddingActs<E>, x: &mut Vec<E>) {
        let d = self.width;
        resize(x, batch.len() * d);
        self.tokens.gather(pass, d, batch.tokens(), x);
        if let Some(by) = self.scale {
            scale(pass.level, x, by);
        }
        if let Some(prefix) = pass.prefix {
            prefix.put_embeddings(pass.seq_ends, d, x);
        }
        if let Some(positions) = &self.positions {
            let (mut rows, tokens) = (vec![E::default(); x.len()], x.clone());
            positions.table.gather(pass, d, &positions.rows(batch), &mut rows);
            add(pass.level, &tokens, &rows, x);
        }
        if let Some(norm) = &self.norm {
            swap(&mut acts.x, x);
            norm.forward(pass, &acts.x, x, &mut acts.norm);
        }
    }

    /// From the gradient `dx [n, d]` of the first layer's input, which is overwritten, to those of what is trained here, and
    /// to that of the virtual tokens.
    pub fn backward(
        &self,
        back: &mut BackwardPass<'_, E>,
        batch: &Batch,
        acts: &mut EmbeddingActs<E>,
        dx: &mut Vec<f32>,
    ) {
        let (level, d) = (back.pass.level, self.width);
        if let Some(norm) = &self.norm {
            norm.weight_backward(back, &acts.x, &acts.norm, dx);
            if !self.is_trained_below_norm() && back.pass.prefix.is_none_or(Prefix::is_in_layers) {
                return;
            }
            resize(&mut acts.d_x, dx.len());
            norm.input_backward(back.pass, &acts.x, &acts.norm, dx, &mut acts.d_x, Store::Set);
            swap(&mut acts.d_x, dx);
        }
        if let Some((positions, slot)) = self.positions.as_ref().and_then(|p| Some((p, p.table.slot()?))) {
            scatter_add(level, dx, d, &positions.rows(batch), back.gradients.sum(slot));
        }
        if let Some(prefix) = back.pass.prefix {
            prefix.take_embeddings(back.pass.seq_ends, d, dx, back.d_prefix);
        }
        let Some(slot) = self.tokens.slot() else { return };
        if let Some(by) = self.scale {
            scale(level, dx, by);
        }
        scatter_add(level, dx, d, batch.tokens(), back.gradients.sum(slot));
    }
}
