//! What all parts of a model share in one pass over a batch.

use tunebench_kernels::SimdLevel;
use tunebench_kernels::ops::rope::RopeTables;

use super::gradients::Gradients;
use super::prefix::Prefix;
use super::row_adapters::RowAdapters;
use super::trained::TrainedTensor;
use crate::dropout::DropoutKey;

/// A pass over a batch, forward or back.
pub(super) struct Pass<'a, E> {
    pub level: SimdLevel,
    pub trained: &'a [TrainedTensor<E>],
    /// Cumulative lengths of the examples.
    pub seq_ends: &'a [usize],
    pub rope: Rope,
    /// The key of dropout; none outside training.
    pub dropout: Option<&'a DropoutKey>,
    /// What the virtual tokens in front of each example hold.
    pub prefix: Option<&'a Prefix<E>>,
    /// Which adapter each row has, where the model has several.
    pub adapters: Option<&'a RowAdapters>,
}

/// The angles of the tokens' positions, no pairs where these are not rotary.
pub(super) struct Rope {
    pub global: RopeTables,
    /// Those of layers with a window, where they have their own.
    pub local: Option<RopeTables>,
}

impl Rope {
    pub fn of(&self, has_window: bool) -> &RopeTables {
        self.local.as_ref().filter(|_| has_window).unwrap_or(&self.global)
    }
}

/// A backward pass: the pass that it follows, and where gradients are summed.
pub(super) struct BackwardPass<'a, E> {
    pub pass: &'a Pass<'a, E>,
    pub gradients: &'a mut Gradients,
    /// The gradient of the virtual tokens' value, `[c, w]`; empty without any.
    pub d_prefix: &'a mut [f32],
}
