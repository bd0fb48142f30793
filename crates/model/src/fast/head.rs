//! The head: norm, logits, cross-entropy, and the way back, over labels only and a slice of them at a time.

use tunebench_kernels::Store;
use tunebench_kernels::gemm::{PackedRhs, Rhs};
use tunebench_kernels::ops::cross_entropy::{cross_entropy, losses};
use tunebench_kernels::ops::embedding::gather;
use tunebench_kernels::ops::softcap::{softcap, softcap_backward};

use super::batch::Batch;
use super::fused_linear::FusedLinear;
use super::norm::{Norm, NormStats};
use super::pass::{BackwardPass, Pass};
use super::storage::{Storage, resize};
use crate::Error;

/// Labels whose logits exist at once: whole blocks of every kernel's rows, and few enough to stay small.
pub(super) const LABELS_AT_ONCE: usize = 192;
/// Where the head is trained: each slice reads and writes the gradient of all of it, so there are fewer.
pub(super) const LABELS_AT_ONCE_TRAINED: usize = 384;

/// The last norm and the map to logits.
pub(super) struct Head<E> {
    pub norm: Norm,
    /// One linear, `[n, d] -> [n, v]`.
    pub linear: FusedLinear<E>,
    /// `cap · tanh(logit / cap)` in place of each logit.
    pub softcap: Option<f32>,
}

/// Buffers of the head.
#[derive(Default)]
pub(super) struct HeadScratch<E> {
    /// The residual stream at the tokens before labels, and the same normed, `[m, d]`.
    rows: Vec<E>,
    normed: Vec<E>,
    norm: NormStats,
    /// Gradients of the two, `[m, d]`.
    d_normed: Vec<f32>,
    d_rows: Vec<f32>,
    /// Of a slice: logits and their gradient, `[c, v]`; losses, nats; LoRA's hidden values, `[c, R]`.
    logits: Vec<f32>,
    d_logits: Vec<E>,
    losses: Vec<f32>,
    lora_hidden: Vec<E>,
    /// The weight packed for a pass over several slices, where the model does not keep it so.
    fwd: Option<PackedRhs>,
    bwd: Option<PackedRhs>,
}

impl<E: Storage> Head<E> {
    /// Logits after the tokens at `indices` of `x [n, d]`, to `logits [m, v]`.
    pub fn logits(
        &self,
        pass: &Pass<'_, E>,
        x: &[E],
        indices: &[usize],
        s: &mut HeadScratch<E>,
        logits: &mut Vec<f32>,
    ) -> Result<(), Error> {
        self.gather_rows(pass, x, indices, s);
        resize(logits, indices.len() * self.linear.out_features());
        self.scores(pass, &self.linear.fwd(pass), &s.normed, logits, &mut s.lora_hidden)
    }

    /// Logits of normed rows `[c, d]` by `weights`, as [`FusedLinear::forward`] takes them, to `logits [c, v]`.
    fn scores(
        &self,
        pass: &Pass<'_, E>,
        weights: &[Rhs<'_, E>],
        normed: &[E],
        logits: &mut [f32],
        lora_hidden: &mut Vec<E>,
    ) -> Result<(), Error> {
        self.linear.forward(pass, weights, normed, logits, Store::Set, lora_hidden)?;
        if let Some(cap) = self.softcap {
            softcap(pass.level, logits, cap);
        }
        Ok(())
    }

    /// Shows the losses of `x [n, d]`, nats, one by one.
    pub fn each_loss(
        &self,
        pass: &Pass<'_, E>,
        x: &[E],
        batch: &Batch,
        each: &mut (dyn FnMut(f64) + Send),
        s: &mut HeadScratch<E>,
    ) -> Result<(), Error> {
        let (indices, labels) = batch.targets();
        self.gather_rows(pass, x, indices, s);
        let (d, v) = (self.linear.in_features(), self.linear.out_features());
        let linear = &self.linear.linears()[0];
        let weight = match linear.unpacked(pass.trained) {
            Some(weight) if labels.len() > LABELS_AT_ONCE => {
                PackedRhs::renew(&mut s.fwd, pass.level, weight.t()).into()
            }
            _ => linear.fwd(pass.trained),
        };
        for (normed, labels) in s.normed.chunks(LABELS_AT_ONCE * d).zip(labels.chunks(LABELS_AT_ONCE)) {
            resize(&mut s.logits, labels.len() * v);
            resize(&mut s.losses, labels.len());
            self.scores(pass, &[weight], normed, &mut s.logits, &mut s.lora_hidden)?;
            losses(pass.level, &s.logits, labels, &mut s.losses);
            s.losses.iter().for_each(|loss| each(f64::from(*loss)));
        }
        Ok(())
    }

    /// Sum of the losses of `x [n, d]`, nats; and its gradient, set in `dx [n, d]` if it is given.
    pub fn backward(
        &self,
        back: &mut BackwardPass<'_, E>,
        x: &[E],
        batch: &Batch,
        s: &mut HeadScratch<E>,
        dx: Option<&mut [f32]>,
    ) -> Result<f64, Error> {
        let (pass, (indices, labels)) = (back.pass, batch.targets());
        self.gather_rows(pass, x, indices, s);
        let (d, v) = (self.linear.in_features(), self.linear.out_features());
        let is_norm_reached = dx.is_some() || self.norm.is_trained();
        let linear = &self.linear.linears()[0];
        let (fwd, bwd) = match linear.unpacked(pass.trained) {
            Some(weight) if is_norm_reached => (
                PackedRhs::renew(&mut s.fwd, pass.level, weight.t()).into(),
                PackedRhs::renew(&mut s.bwd, pass.level, weight).into(),
            ),
            Some(weight) => (PackedRhs::renew(&mut s.fwd, pass.level, weight.t()).into(), weight.into()),
            None => (linear.fwd(pass.trained), linear.bwd(pass.trained)?),
        };
        resize(&mut s.d_normed, indices.len() * d);
        let mut sum = 0.0;
        let at_once = if linear.is_trained() { LABELS_AT_ONCE_TRAINED } else { LABELS_AT_ONCE };
        let slices = s.normed.chunks(at_once * d).zip(labels.chunks(at_once));
        for ((normed, labels), d_normed) in slices.zip(s.d_normed.chunks_mut(at_once * d)) {
            resize(&mut s.logits, labels.len() * v);
            resize(&mut s.d_logits, labels.len() * v);
            resize(&mut s.losses, labels.len());
            self.scores(pass, &[fwd], normed, &mut s.logits, &mut s.lora_hidden)?;
            cross_entropy(pass.level, &s.logits, labels, &mut s.losses, &mut s.d_logits, 1.0);
            if let Some(cap) = self.softcap {
                softcap_backward(pass.level, &s.logits, cap, &mut s.d_logits);
            }
            sum += total(&s.losses);
            let d_normed = is_norm_reached.then_some(d_normed);
            self.linear.backward(back, &[bwd], normed, &s.d_logits, &s.lora_hidden, d_normed)?;
        }
        if is_norm_reached {
            self.norm.weight_backward(back, &s.rows, &s.norm, &s.d_normed);
        }
        if let Some(dx) = dx {
            resize(&mut s.d_rows, indices.len() * d);
            self.norm.input_backward(pass, &s.rows, &s.norm, &s.d_normed, &mut s.d_rows, Store::Set);
            dx.fill(0.0);
            for (&token, gradient) in indices.iter().zip(s.d_rows.chunks_exact(d)) {
                dx[token * d..][..d].copy_from_slice(gradient);
            }
        }
        Ok(sum)
    }

    /// The rows of `x [n, d]` at `indices`, and the same normed.
    fn gather_rows(&self, pass: &Pass<'_, E>, x: &[E], indices: &[usize], s: &mut HeadScratch<E>) {
        let d = self.linear.in_features();
        let indices: Vec<u32> = indices.iter().map(|i| *i as u32).collect();
        resize(&mut s.rows, indices.len() * d);
        gather(x, d, &indices, &mut s.rows);
        self.norm.forward(pass, &s.rows, &mut s.normed, &mut s.norm);
    }
}

/// Sums in f64, in order.
fn total(losses: &[f32]) -> f64 {
    losses.iter().map(|l| f64::from(*l)).sum()
}
