//! From tokens to the residual stream, and the way back.

use std::sync::Arc;

use tunebench_kernels::ops::embedding::{gather, scatter_add};

use super::batch::Batch;
use super::linear::LinearWeight;
use super::pass::{BackwardPass, Pass};
use super::storage::{Storage, resize};
use super::trained::Slot;

/// The embedding matrix `[v, d]`.
pub(super) enum Embedding<E> {
    Frozen(Arc<Vec<E>>),
    Trained(Slot),
}

impl<E: Storage> Embedding<E> {
    pub fn is_trained(&self) -> bool {
        matches!(self, Self::Trained(_))
    }

    /// The same matrix as the weight of a tied head.
    pub fn tied(&self) -> LinearWeight<E> {
        match self {
            Self::Frozen(values) => LinearWeight::Plain(values.clone()),
            Self::Trained(slot) => LinearWeight::Trained(*slot),
        }
    }

    /// Rows of `d` numbers to `x [n, d]`, those of virtual tokens by their value.
    pub fn forward(&self, pass: &Pass<'_, E>, batch: &Batch, d: usize, x: &mut Vec<E>) {
        let table = match self {
            Self::Frozen(values) => values.as_slice(),
            Self::Trained(slot) => pass.trained[*slot].rounded(),
        };
        resize(x, batch.len() * d);
        gather(table, d, batch.tokens(), x);
        if let Some(prefix) = pass.prefix {
            prefix.put_embeddings(pass.seq_ends, d, x);
        }
    }

    /// From `dx [n, d]` to the gradient of the virtual tokens, and to that of the matrix if it is trained.
    pub fn backward(&self, back: &mut BackwardPass<'_, E>, batch: &Batch, d: usize, dx: &mut [f32]) {
        if let Some(prefix) = back.pass.prefix {
            prefix.take_embeddings(back.pass.seq_ends, d, dx, back.d_prefix);
        }
        if let Self::Trained(slot) = self {
            scatter_add(back.pass.level, dx, d, batch.tokens(), back.gradients.sum(*slot));
        }
    }
}
