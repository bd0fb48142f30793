//! The numbers of an optimizer step.

use tunebench_kernels::optim::adamw::{AdamW, AdamWParams};

use crate::optim::ParamOptions;

/// The numbers of an optimizer step that all tensors share.
#[derive(Clone, Copy, Debug)]
pub struct OptimizerStep {
    pub adamw: AdamWParams,
    /// From 1.
    pub number: u64,
    pub learning_rate: f64,
    /// What gradients are multiplied with: one over the label tokens, times the clipping factor.
    pub gradient_scale: f64,
}

impl OptimizerStep {
    /// The numbers of the step for one tensor.
    pub(super) fn of(&self, options: ParamOptions) -> AdamW {
        let weight_decay = if options.is_decayed { self.adamw.weight_decay } else { 0.0 };
        let params = AdamWParams { weight_decay, ..self.adamw };
        AdamW::new(&params, self.number, self.learning_rate * options.lr_scale, self.gradient_scale)
    }
}
