//! What the optimizer keeps between steps. An engine holds it as it holds its tensors; a checkpoint, by name.

use std::collections::BTreeMap;

/// AdamW's state of all trained tensors, by name.
pub type AdamWStates = BTreeMap<String, AdamWState>;

/// AdamW's state of one tensor, moments of its gradient: PyTorch's `exp_avg` and `exp_avg_sq`. Both are empty before the
/// first step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AdamWState {
    pub first: Vec<f32>,
    pub second: Vec<f32>,
}

impl AdamWState {
    /// Zeros for a tensor of `n` numbers, unless there are moments already.
    pub fn resize(&mut self, n: usize) {
        self.first.resize(n, 0.0);
        self.second.resize(n, 0.0);
    }
}
