//! What all parts of a model share in one pass over a batch.

use tunebench_kernels::SimdLevel;
use tunebench_kernels::ops::rope::RopeTables;

use super::gradients::Gradients;
use super::prefix::Prefix;
use super::trained::TrainedTensor;
use crate::dropout::DropoutKey;

/// A pass over a batch, forward or back.
pub(super) struct Pass<'a, E> {
    pub level: SimdLevel,
    pub trained: &'a [TrainedTensor<E>],
    /// Cumulative lengths of the examples.
    pub seq_ends: &'a [usize],
    /// Of the tokens' positions.
    pub rope: RopeTables,
    /// The key of dropout; none outside training.
    pub dropout: Option<&'a DropoutKey>,
    /// What the virtual tokens in front of each example hold.
    pub prefix: Option<&'a Prefix<E>>,
}

/// A backward pass: the pass that it follows, and where gradients are summed.
pub(super) struct BackwardPass<'a, E> {
    pub pass: &'a Pass<'a, E>,
    pub gradients: &'a mut Gradients,
    /// The gradient of the virtual tokens' value, `[c, w]`; empty without any.
    pub d_prefix: &'a mut [f32],
}
