//! The head: norm, scores, cross-entropy, and the way back, over labels only and a slice of them at a time.

use tunebench_kernels::gemm::{PackedRhs, Rhs, Store};
use tunebench_kernels::ops::cross_entropy::{cross_entropy, losses};
use tunebench_kernels::ops::embedding::gather;
use tunebench_kernels::ops::rms_norm::{rms_norm, rms_norm_backward};

use super::batch::Batch;
use super::group::Group;
use super::layer::{Geometry, Norm, room};
use super::linear::Pass;
use super::values::{Gradients, Storage};
use crate::Error;

/// Labels whose scores exist at once: whole blocks of every kernel's rows, and few enough to stay small.
pub(super) const LABELS_AT_ONCE: usize = 192;
/// Where the head is trained: each slice reads and writes the gradient of all of it, so there are fewer.
pub(super) const LABELS_AT_ONCE_TRAINED: usize = 384;

/// Buffers of the head.
pub(super) struct Scratch<E> {
    /// `[m, d]`: the tokens before labels, the same normed, one over their root mean square `[m]`.
    chosen: Vec<E>,
    normed: Vec<E>,
    inverse: Vec<f32>,
    /// `[m, d]`: gradients of the two.
    d_normed: Vec<f32>,
    d_chosen: Vec<f32>,
    /// Of a slice: scores and their gradient, `[c, v]`; losses, nats.
    logits: Vec<f32>,
    d_logits: Vec<E>,
    losses: Vec<f32>,
    low: Vec<E>,
    /// The weight packed for a pass over several slices, where the model does not keep it so.
    forward: Option<PackedRhs>,
    back: Option<PackedRhs>,
}

impl<E> Default for Scratch<E> {
    fn default() -> Self {
        Self {
            chosen: Vec::new(),
            normed: Vec::new(),
            inverse: Vec::new(),
            d_normed: Vec::new(),
            d_chosen: Vec::new(),
            logits: Vec::new(),
            d_logits: Vec::new(),
            losses: Vec::new(),
            low: Vec::new(),
            forward: None,
            back: None,
        }
    }
}

/// The last norm and the map to scores.
pub(super) struct Head<'a, E> {
    pub norm: &'a Norm,
    pub group: &'a Group<E>,
}

impl<E: Storage> Head<'_, E> {
    /// Scores after the tokens at `indices` of `x [n, d]`, to `logits [m, v]`.
    pub fn logits(
        &self,
        pass: &Pass<'_, E>,
        g: &Geometry,
        x: &[E],
        indices: &[usize],
        s: &mut Scratch<E>,
        logits: &mut Vec<f32>,
    ) -> Result<(), Error> {
        self.choose(pass, g, x, indices, s);
        room(logits, indices.len() * self.group.width());
        self.group.forward(pass, &s.normed, logits, Store::Set, &mut s.low)
    }

    /// Sum of the losses of `x [n, d]`, nats.
    pub fn loss(
        &self,
        pass: &Pass<'_, E>,
        g: &Geometry,
        x: &[E],
        batch: &Batch,
        s: &mut Scratch<E>,
    ) -> Result<f64, Error> {
        self.choose(pass, g, x, &batch.from, s);
        let v = self.group.width();
        let linear = &self.group.linears[0];
        let weight = if batch.labels() > LABELS_AT_ONCE && linear.forward.is_none() {
            PackedRhs::renew(&mut s.forward, pass.level, linear.matrix(pass.trained).t()).into()
        } else {
            linear.right(pass.trained)
        };
        let mut sum = 0.0;
        for (normed, labels) in s.normed.chunks(LABELS_AT_ONCE * g.hidden).zip(batch.labels.chunks(LABELS_AT_ONCE)) {
            let c = labels.len();
            room(&mut s.logits, c * v);
            room(&mut s.losses, c);
            self.group.forward_by(&[weight], pass, normed, &mut s.logits, Store::Set, &mut s.low)?;
            losses(pass.level, &s.logits, labels, &mut s.losses);
            sum += total(&s.losses);
        }
        Ok(sum)
    }

    /// Sum of the losses of `x [n, d]`, nats, and its gradient to `dx [n, d]`; none of it if nothing `is_below` that is
    /// trained.
    #[allow(clippy::too_many_arguments)]
    pub fn backward(
        &self,
        pass: &Pass<'_, E>,
        g: &Geometry,
        x: &[E],
        batch: &Batch,
        is_below: bool,
        dx: &mut [f32],
        s: &mut Scratch<E>,
        gradients: &mut Gradients,
    ) -> Result<f64, Error> {
        self.choose(pass, g, x, &batch.from, s);
        let (d, v, m) = (g.hidden, self.group.width(), batch.labels());
        let is_needed = is_below || self.norm.is_trained();
        let linear = &self.group.linears[0];
        let forward: Rhs<'_, E> = match &linear.forward {
            Some(packed) => packed.into(),
            None => PackedRhs::renew(&mut s.forward, pass.level, linear.matrix(pass.trained).t()).into(),
        };
        let back: Rhs<'_, E> = match &linear.back {
            None if is_needed => PackedRhs::renew(&mut s.back, pass.level, linear.matrix(pass.trained)).into(),
            _ => linear.right_back(pass.trained),
        };
        room(&mut s.d_normed, m * d);
        let mut sum = 0.0;
        let at_once = if linear.is_trained() { LABELS_AT_ONCE_TRAINED } else { LABELS_AT_ONCE };
        let slices = s.normed.chunks(at_once * d).zip(batch.labels.chunks(at_once));
        for ((normed, labels), d_normed) in slices.zip(s.d_normed.chunks_mut(at_once * d)) {
            let c = labels.len();
            room(&mut s.logits, c * v);
            room(&mut s.d_logits, c * v);
            room(&mut s.losses, c);
            self.group.forward_by(&[forward], pass, normed, &mut s.logits, Store::Set, &mut s.low)?;
            cross_entropy(pass.level, &s.logits, labels, &mut s.losses, &mut s.d_logits, 1.0);
            sum += total(&s.losses);
            let d_normed = is_needed.then_some(d_normed);
            self.group.backward_by(&[back], pass, normed, &s.d_logits, &s.low, gradients, d_normed)?;
        }
        if is_needed {
            self.norm.backward(pass, &s.chosen, &s.inverse, &s.d_normed, gradients);
        }
        if is_below {
            room(&mut s.d_chosen, m * d);
            let weight = self.norm.values(pass.trained);
            rms_norm_backward(pass.level, &s.chosen, weight, &s.inverse, &s.d_normed, &mut s.d_chosen, Store::Set);
            dx.fill(0.0);
            for (&token, gradient) in batch.from.iter().zip(s.d_chosen.chunks_exact(d)) {
                dx[token * d..][..d].copy_from_slice(gradient);
            }
        }
        Ok(sum)
    }

    /// The rows of `x` that make predictions, and the same normed.
    fn choose(&self, pass: &Pass<'_, E>, g: &Geometry, x: &[E], indices: &[usize], s: &mut Scratch<E>) {
        let (d, m) = (g.hidden, indices.len());
        let rows: Vec<u32> = indices.iter().map(|i| *i as u32).collect();
        room(&mut s.chosen, m * d);
        room(&mut s.normed, m * d);
        room(&mut s.inverse, m);
        gather(x, d, &rows, &mut s.chosen);
        rms_norm(pass.level, &s.chosen, self.norm.values(pass.trained), g.eps, &mut s.normed, &mut s.inverse);
    }
}

/// Sums in f64, in order.
fn total(losses: &[f32]) -> f64 {
    losses.iter().map(|l| f64::from(*l)).sum()
}
