//! One decoder layer, forward and backward: attention and MLP, each between its norms, added to the residual stream.

use tunebench_kernels::Store;
use tunebench_kernels::ops::reduce::{add, copy, narrow};

use super::attention::{Attention, AttentionActs, AttentionScratch, KeyValues};
use super::fused_linear::FusedLinear;
use super::linear::Linear;
use super::mlp::{Mlp, MlpActs, MlpScratch};
use super::norm::{Norm, NormStats};
use super::pass::{BackwardPass, Pass};
use super::storage::{Storage, resize};
use crate::Error;

/// One decoder layer.
pub(super) struct Layer<E> {
    pub attention_norms: Norms,
    pub attention: Attention<E>,
    pub mlp_norms: Norms,
    pub mlp: Mlp<E>,
    pub mlp_reads: MlpInput,
}

/// The norms of attention or of the MLP.
pub(super) struct Norms {
    /// Of what it reads.
    pub before: Norm,
    /// Of what it adds to the residual stream, where the decoder has one.
    pub after: Option<Norm>,
}

/// What the norm in front of the MLP reads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum MlpInput {
    /// The residual stream after attention.
    Attended,
    /// That before it, as attention does: the two stand side by side.
    Layer,
}

/// What the backward pass reads of a layer's forward pass.
#[derive(Default)]
pub(super) struct Activations<E> {
    /// The residual stream: the layer's input, and after attention; `[n, d]`.
    pub x: Vec<E>,
    mid_residual: Vec<E>,
    attention_norms: NormsActs<E>,
    attention: AttentionActs<E>,
    mlp_norms: NormsActs<E>,
    mlp: MlpActs<E>,
}

/// Of the norms around attention or the MLP.
#[derive(Default)]
struct NormsActs<E> {
    before: NormStats,
    /// What the norm behind it reads, `[n, d]`; empty without one.
    added: Vec<E>,
    after: NormStats,
}

/// Buffers that every layer uses in turn.
#[derive(Default)]
pub(super) struct Scratch<E> {
    /// A norm's output and its gradient, `[n, d]`.
    normed: Vec<E>,
    d_normed: Vec<f32>,
    /// The gradient of what a part adds to the residual stream, rounded for products, `[n, d]`.
    d_added: Vec<E>,
    attention: AttentionScratch<E>,
    mlp: MlpScratch<E>,
}

impl Norms {
    fn is_trained(&self) -> bool {
        self.before.is_trained() || self.after.as_ref().is_some_and(Norm::is_trained)
    }

    /// `out = residual + after(part(before(x)))`, all `[n, d]`. `part` adds what it yields of its input; `normed` is for what
    /// norms yield.
    fn around<E: Storage>(
        &self,
        pass: &Pass<'_, E>,
        [x, residual]: [&[E]; 2],
        acts: &mut NormsActs<E>,
        normed: &mut Vec<E>,
        out: &mut Vec<E>,
        part: impl FnOnce(&[E], &mut [E]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.before.forward(pass, x, normed, &mut acts.before);
        resize(out, residual.len());
        let Some(after) = &self.after else {
            copy(residual, out);
            return part(normed, out);
        };
        resize(&mut acts.added, residual.len());
        acts.added.fill(E::default());
        part(normed, &mut acts.added)?;
        after.forward(pass, &acts.added, normed, &mut acts.after);
        add(pass.level, residual, normed, out);
        Ok(())
    }

    /// From the gradient `dy [n, d]` of the residual stream to that of what the part yields, rounded, in `d_added [n, d]`.
    fn after_backward<E: Storage>(
        &self,
        back: &mut BackwardPass<'_, E>,
        acts: &NormsActs<E>,
        dy: &[f32],
        d_normed: &mut [f32],
        d_added: &mut [E],
    ) {
        let Some(after) = &self.after else { return narrow(back.pass.level, dy, d_added) };
        after.weight_backward(back, &acts.added, &acts.after, dy);
        after.input_backward(back.pass, &acts.added, &acts.after, dy, d_normed, Store::Set);
        narrow(back.pass.level, d_normed, d_added);
    }
}

impl<E: Storage> Layer<E> {
    pub fn linears_mut(&mut self) -> [&mut FusedLinear<E>; 4] {
        [&mut self.attention.qkv, &mut self.attention.o, &mut self.mlp.gate_up, &mut self.mlp.down]
    }

    /// Has the system begin to read its weights, where they are in a file and not in memory.
    pub fn will_need(&self) {
        for linear in [&self.attention.qkv, &self.attention.o, &self.mlp.gate_up, &self.mlp.down] {
            linear.linears().iter().for_each(Linear::will_need);
        }
    }

    pub fn is_trained(&self) -> bool {
        let is_norm_trained = self.attention_norms.is_trained() || self.mlp_norms.is_trained();
        is_norm_trained || self.attention.is_trained() || self.mlp.is_trained()
    }

    /// From `acts.x [n, d]` to the next layer's input `out [n, d]`, leaving in `acts` what backward reads.
    pub fn forward(
        &self,
        pass: &Pass<'_, E>,
        acts: &mut Activations<E>,
        scratch: &mut Scratch<E>,
        keys_values: &mut impl KeyValues<E>,
        out: &mut Vec<E>,
    ) -> Result<(), Error> {
        let Activations { x, mid_residual, attention_norms, attention, mlp_norms, mlp } = acts;
        let Scratch { normed, attention: attention_scratch, mlp: mlp_scratch, .. } = scratch;
        let attend = |normed: &[E], added: &mut [E]| {
            self.attention.forward(pass, normed, attention, attention_scratch, keys_values, added)
        };
        self.attention_norms.around(pass, [x, x], attention_norms, normed, mid_residual, attend)?;
        let feed = |normed: &[E], added: &mut [E]| self.mlp.forward(pass, normed, mlp, mlp_scratch, added);
        let read = if self.mlp_reads == MlpInput::Layer { &*x } else { &*mid_residual };
        self.mlp_norms.around(pass, [read, mid_residual], mlp_norms, normed, out, feed)
    }

    /// From the gradient `dx [n, d]` of the layer's output to that of its input, in place; unless `is_lowest`, when
    /// nothing below is trained and the input's gradient is not completed.
    pub fn backward(
        &self,
        back: &mut BackwardPass<'_, E>,
        acts: &mut Activations<E>,
        scratch: &mut Scratch<E>,
        dx: &mut [f32],
        is_lowest: bool,
    ) -> Result<(), Error> {
        let pass = back.pass;
        let Activations { x, mid_residual, attention_norms, attention, mlp_norms, mlp } = acts;
        let Scratch { normed, d_normed, d_added, attention: attention_scratch, mlp: mlp_scratch } = scratch;
        resize(d_added, dx.len());
        resize(d_normed, dx.len());

        let (norm, stats) = (&self.mlp_norms.before, &mlp_norms.before);
        let are_side_by_side = self.mlp_reads == MlpInput::Layer;
        let read = if are_side_by_side { &*x } else { &*mid_residual };
        self.mlp_norms.after_backward(back, mlp_norms, dx, d_normed, d_added);
        norm.recompute(pass, read, stats, normed);
        self.mlp.backward(back, normed, mlp, d_added, mlp_scratch, d_normed)?;
        norm.weight_backward(back, read, stats, d_normed);
        norm.input_backward(pass, read, stats, d_normed, dx, Store::Add);

        // Side by side, attention adds to what the MLP adds to, and `d_added` is the gradient of that still.
        if !are_side_by_side {
            self.attention_norms.after_backward(back, attention_norms, dx, d_normed, d_added);
        }
        let (norm, stats) = (&self.attention_norms.before, &attention_norms.before);
        norm.recompute(pass, x, stats, normed);
        let is_norm_reached = !is_lowest || norm.is_trained();
        let d_input = is_norm_reached.then_some(d_normed.as_mut_slice());
        self.attention.backward(back, normed, attention, d_added, attention_scratch, d_input)?;
        if is_norm_reached {
            norm.weight_backward(back, x, stats, d_normed);
        }
        if !is_lowest {
            norm.input_backward(pass, x, stats, d_normed, dx, Store::Add);
        }
        Ok(())
    }
}
