//! One decoder layer, forward and backward: norm and attention, norm and MLP, each added to the residual stream.

use tunebench_kernels::Store;
use tunebench_kernels::ops::reduce::narrow;

use super::attention::{Attention, AttentionActs, AttentionScratch, KeyValues};
use super::fused_linear::FusedLinear;
use super::mlp::{Mlp, MlpActs, MlpScratch};
use super::norm::RmsNorm;
use super::pass::{BackwardPass, Pass};
use super::storage::{Storage, resize};
use crate::Error;

/// One decoder layer.
pub(super) struct Layer<E> {
    pub attention_norm: RmsNorm,
    pub attention: Attention<E>,
    pub mlp_norm: RmsNorm,
    pub mlp: Mlp<E>,
}

/// What the backward pass reads of a layer's forward pass.
#[derive(Default)]
pub(super) struct Activations<E> {
    /// The residual stream: the layer's input, and after attention; `[n, d]`.
    pub x: Vec<E>,
    mid_residual: Vec<E>,
    attention: AttentionActs<E>,
    mlp: MlpActs<E>,
}

/// Buffers that every layer uses in turn.
#[derive(Default)]
pub(super) struct Scratch<E> {
    /// A norm's output and its gradient, `[n, d]`.
    normed: Vec<E>,
    d_normed: Vec<f32>,
    /// The gradient of the residual stream, rounded for products, `[n, d]`.
    d_residual: Vec<E>,
    attention: AttentionScratch<E>,
    mlp: MlpScratch<E>,
}

impl<E: Storage> Layer<E> {
    pub fn linears_mut(&mut self) -> [&mut FusedLinear<E>; 4] {
        [&mut self.attention.qkv, &mut self.attention.o, &mut self.mlp.gate_up, &mut self.mlp.down]
    }

    pub fn is_trained(&self) -> bool {
        let is_norm_trained = self.attention_norm.is_trained() || self.mlp_norm.is_trained();
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
        let Activations { x, mid_residual, attention, mlp } = acts;
        let normed = &mut scratch.normed;
        self.attention_norm.forward(pass, x, normed, &mut attention.rstd);
        self.attention.forward(pass, normed, attention, keys_values, x, mid_residual)?;
        self.mlp_norm.forward(pass, mid_residual, normed, &mut mlp.rstd);
        self.mlp.forward(pass, normed, mlp, &mut scratch.mlp, mid_residual, out)
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
        let Activations { x, mid_residual, attention, mlp } = acts;
        let Scratch { normed, d_normed, d_residual, attention: attention_scratch, mlp: mlp_scratch } = scratch;
        resize(d_residual, dx.len());
        resize(d_normed, dx.len());

        narrow(pass.level, dx, d_residual);
        self.mlp_norm.recompute(pass, mid_residual, &mlp.rstd, normed);
        self.mlp.backward(back, normed, mlp, d_residual, mlp_scratch, d_normed)?;
        self.mlp_norm.weight_backward(back, mid_residual, &mlp.rstd, d_normed);
        self.mlp_norm.input_backward(pass, mid_residual, &mlp.rstd, d_normed, dx, Store::Add);

        narrow(pass.level, dx, d_residual);
        self.attention_norm.recompute(pass, x, &attention.rstd, normed);
        let is_norm_reached = !is_lowest || self.attention_norm.is_trained();
        let d_input = is_norm_reached.then_some(d_normed.as_mut_slice());
        self.attention.backward(back, normed, attention, d_residual, attention_scratch, d_input)?;
        if is_norm_reached {
            self.attention_norm.weight_backward(back, x, &attention.rstd, d_normed);
        }
        if !is_lowest {
            self.attention_norm.input_backward(pass, x, &attention.rstd, d_normed, dx, Store::Add);
        }
        Ok(())
    }
}
