//! Norms over the hidden width, forward and backward.

use tunebench_kernels::Store;
use tunebench_kernels::ops::RowColumns;
use tunebench_kernels::ops::bias::bias_gradient;
use tunebench_kernels::ops::layer_norm::{
    RowStats, RowStatsMut, layer_norm, layer_norm_backward, layer_norm_recompute, layer_norm_weight_gradient,
};
use tunebench_kernels::ops::rms_norm::{rms_norm, rms_norm_backward, rms_norm_recompute, rms_norm_weight_gradient};

use super::pass::{BackwardPass, Pass};
use super::storage::{Storage, resize};
use super::trained::Vector;

/// A norm with its weight, `[d]`.
pub(super) struct Norm {
    pub weight: Vector,
    pub kind: NormKind,
    pub eps: f32,
}

/// What kind of norm it is, and what it has beside its weight.
pub(super) enum NormKind {
    /// `x / rms(x) · w` (Zhang and Sennrich 2019).
    Rms,
    /// `(x - mean) / std · w + b` (Ba et al. 2016), with its bias `[d]`.
    Layer { bias: Vector },
}

/// What the backward pass reads of the forward pass, of each row.
#[derive(Default)]
pub(super) struct NormStats {
    /// Of a layer norm, `[n]`.
    mean: Vec<f32>,
    /// One over the root mean square or the standard deviation, `[n]`.
    rstd: Vec<f32>,
}

impl NormStats {
    fn rows(&self) -> RowStats<'_> {
        RowStats { mean: &self.mean, rstd: &self.rstd }
    }
}

impl Norm {
    pub fn is_trained(&self) -> bool {
        let is_bias_trained = match &self.kind {
            NormKind::Rms => false,
            NormKind::Layer { bias } => bias.is_trained(),
        };
        self.weight.is_trained() || is_bias_trained
    }

    /// From `x [n, d]` to `out [n, d]`; keeps `stats` for the backward pass.
    pub fn forward<E: Storage>(&self, pass: &Pass<'_, E>, x: &[E], out: &mut Vec<E>, stats: &mut NormStats) {
        let weight = &*self.weight.values(pass.trained);
        resize(out, x.len());
        resize(&mut stats.rstd, x.len() / weight.len());
        match &self.kind {
            NormKind::Rms => rms_norm(pass.level, x, weight, self.eps, out, &mut stats.rstd),
            NormKind::Layer { bias } => {
                resize(&mut stats.mean, stats.rstd.len());
                let rows = RowStatsMut { mean: &mut stats.mean, rstd: &mut stats.rstd };
                layer_norm(pass.level, x, [weight, &bias.values(pass.trained)], self.eps, out, rows);
            }
        }
    }

    /// The output again, from what the forward pass kept.
    pub fn recompute<E: Storage>(&self, pass: &Pass<'_, E>, x: &[E], stats: &NormStats, out: &mut Vec<E>) {
        let weight = &*self.weight.values(pass.trained);
        resize(out, x.len());
        match &self.kind {
            NormKind::Rms => rms_norm_recompute(pass.level, x, weight, &stats.rstd, out),
            NormKind::Layer { bias } => {
                layer_norm_recompute(pass.level, x, [weight, &bias.values(pass.trained)], stats.rows(), out);
            }
        }
    }

    /// Adds the gradients of what is trained here, from the input, what the forward pass kept, and the output's gradient.
    pub fn weight_backward<E: Storage>(&self, back: &mut BackwardPass<'_, E>, x: &[E], stats: &NormStats, dy: &[f32]) {
        let level = back.pass.level;
        if let Some(slot) = self.weight.slot() {
            let target = back.gradients.sum(slot);
            match &self.kind {
                NormKind::Rms => rms_norm_weight_gradient(level, x, &stats.rstd, dy, target),
                NormKind::Layer { .. } => layer_norm_weight_gradient(level, x, stats.rows(), dy, target),
            }
        }
        if let NormKind::Layer { bias } = &self.kind
            && let Some(slot) = bias.slot()
        {
            let target = back.gradients.sum(slot);
            let columns = RowColumns { row: target.len(), first: 0, count: target.len() };
            bias_gradient(level, dy, columns, target);
        }
    }

    /// The input's gradient, set in or added to `dx [n, d]`.
    pub fn input_backward<E: Storage>(
        &self,
        pass: &Pass<'_, E>,
        x: &[E],
        stats: &NormStats,
        dy: &[f32],
        dx: &mut [f32],
        store: Store,
    ) {
        let weight = &*self.weight.values(pass.trained);
        match &self.kind {
            NormKind::Rms => rms_norm_backward(pass.level, x, weight, &stats.rstd, dy, dx, store),
            NormKind::Layer { .. } => layer_norm_backward(pass.level, x, weight, stats.rows(), dy, dx, store),
        }
    }
}
