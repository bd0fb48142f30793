//! How the optimizer treats a tensor, and what it keeps of it between steps: an engine holds it as it holds its tensors; a
//! checkpoint, by name.

use std::collections::BTreeMap;

/// How the optimizer treats one trained tensor, beside the numbers that all share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ParamOptions {
    /// Multiplies the learning rate.
    pub lr_scale: f64,
    /// Whether weight decay pulls it towards zero.
    pub is_decayed: bool,
}

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
