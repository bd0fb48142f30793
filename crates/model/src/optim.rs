//! What the optimizer keeps of each trained tensor between steps; both engines and the checkpoint use it.

/// AdamW's state of one tensor: PyTorch's `exp_avg` and `exp_avg_sq`. Both are empty before the first step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AdamWState {
    /// First moments: the running mean of the gradient.
    pub first: Vec<f32>,
    /// Second moments: the running mean of its square.
    pub second: Vec<f32>,
}

impl AdamWState {
    /// Zeros for a tensor of `n` numbers, unless there are moments already.
    pub fn resize(&mut self, n: usize) {
        self.first.resize(n, 0.0);
        self.second.resize(n, 0.0);
    }
}
