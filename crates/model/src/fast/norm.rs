//! RMS norm over the hidden width, forward and backward.

use tunebench_kernels::Store;
use tunebench_kernels::ops::rms_norm::{rms_norm, rms_norm_backward, rms_norm_recompute, rms_norm_weight_gradient};

use super::pass::{BackwardPass, Pass};
use super::storage::{Storage, resize};
use super::trained::Vector;

/// `x / rms(x) · w` (Zhang and Sennrich 2019).
pub(super) struct RmsNorm {
    /// `[d]`.
    pub weight: Vector,
    pub eps: f32,
}

impl RmsNorm {
    pub fn is_trained(&self) -> bool {
        self.weight.is_trained()
    }

    /// From `x [n, d]` to `out [n, d]`; keeps `rstd [n]`, one over the root mean square, for the backward pass.
    pub fn forward<E: Storage>(&self, pass: &Pass<'_, E>, x: &[E], out: &mut Vec<E>, rstd: &mut Vec<f32>) {
        let weight = self.weight.values(pass.trained);
        resize(out, x.len());
        resize(rstd, x.len() / weight.len());
        rms_norm(pass.level, x, weight, self.eps, out, rstd);
    }

    /// The output again, from what the forward pass kept.
    pub fn recompute<E: Storage>(&self, pass: &Pass<'_, E>, x: &[E], rstd: &[f32], out: &mut Vec<E>) {
        resize(out, x.len());
        rms_norm_recompute(pass.level, x, self.weight.values(pass.trained), rstd, out);
    }

    /// Adds the gradient of a trained weight, from the input, what the forward pass kept, and the output's gradient.
    pub fn weight_backward<E: Storage>(&self, back: &mut BackwardPass<'_, E>, x: &[E], rstd: &[f32], dy: &[f32]) {
        if let Some(slot) = self.weight.slot() {
            rms_norm_weight_gradient(back.pass.level, x, rstd, dy, back.gradients.sum(slot));
        }
    }

    /// The input's gradient, set in or added to `dx [n, d]`.
    pub fn input_backward<E: Storage>(
        &self,
        pass: &Pass<'_, E>,
        x: &[E],
        rstd: &[f32],
        dy: &[f32],
        dx: &mut [f32],
        store: Store,
    ) {
        rms_norm_backward(pass.level, x, self.weight.values(pass.trained), rstd, dy, dx, store);
    }
}
