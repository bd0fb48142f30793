//! The gated MLP of a layer, SwiGLU (Shazeer 2020): forward and backward.

use tunebench_kernels::SimdLevel;
use tunebench_kernels::Store;
use tunebench_kernels::ops::reduce::copy;
use tunebench_kernels::ops::swiglu::{swiglu, swiglu_backward};

use super::fused_linear::FusedLinear;
use super::pass::{BackwardPass, Pass};
use super::storage::{Storage, resize};
use crate::Error;

/// `down(silu(gate(x)) · up(x))`.
pub(super) struct Mlp<E> {
    pub gate_up: FusedLinear<E>,
    pub down: FusedLinear<E>,
}

/// What the backward pass reads of the forward pass.
#[derive(Default)]
pub(super) struct MlpActs<E> {
    /// Of the norm in front, `[n]`.
    pub rstd: Vec<f32>,
    /// `[n, 2f]`; the backward pass puts its gradient there.
    pub gate_up: Vec<E>,
    /// LoRA's hidden values at the projections, `[n, R]`.
    pub gate_up_lora: Vec<E>,
    pub down_lora: Vec<E>,
}

/// Buffers that the MLP of every layer uses in turn.
#[derive(Default)]
pub(super) struct MlpScratch<E> {
    /// `silu(gate(x)) · up(x)` and its gradient, `[n, f]`.
    hidden: Vec<E>,
    d_hidden: Vec<E>,
}

impl<E: Storage> Mlp<E> {
    pub fn is_trained(&self) -> bool {
        self.gate_up.is_trained() || self.down.is_trained()
    }

    /// `out = residual + mlp(x)`, all `[n, d]`, where `x` is the normed residual stream.
    pub fn forward(
        &self,
        pass: &Pass<'_, E>,
        x: &[E],
        acts: &mut MlpActs<E>,
        scratch: &mut MlpScratch<E>,
        residual: &[E],
        out: &mut Vec<E>,
    ) -> Result<(), Error> {
        let n = x.len() / self.gate_up.in_features();
        let MlpActs { gate_up, gate_up_lora, down_lora, .. } = acts;
        resize(gate_up, n * self.gate_up.out_features());
        self.gate_up.forward(pass, &self.gate_up.fwd(pass)?, x, gate_up, Store::Set, gate_up_lora)?;
        self.activate(pass.level, gate_up, &mut scratch.hidden);
        resize(out, residual.len());
        copy(residual, out);
        self.down.forward(pass, &self.down.fwd(pass)?, &scratch.hidden, out, Store::Add, down_lora)
    }

    /// From the gradient `dy [n, d]` of what was added to the residual stream to that of the input `x`, set in
    /// `dx [n, d]`, and to the gradients of what is trained here.
    pub fn backward(
        &self,
        back: &mut BackwardPass<'_, E>,
        x: &[E],
        acts: &mut MlpActs<E>,
        dy: &[E],
        scratch: &mut MlpScratch<E>,
        dx: &mut [f32],
    ) -> Result<(), Error> {
        let pass = back.pass;
        let MlpScratch { hidden, d_hidden } = scratch;
        resize(hidden, acts.gate_up.len() / 2);
        resize(d_hidden, acts.gate_up.len() / 2);
        if self.down.is_trained() {
            self.activate(pass.level, &acts.gate_up, hidden);
        }
        self.down.backward(back, &self.down.bwd(pass)?, hidden, dy, &acts.down_lora, Some(d_hidden.as_mut_slice()))?;
        // The gradient of gate and up takes their place.
        swiglu_backward(pass.level, &mut acts.gate_up, d_hidden, self.down.in_features());
        self.gate_up.backward(back, &self.gate_up.bwd(pass)?, x, &acts.gate_up, &acts.gate_up_lora, Some(dx))
    }

    fn activate(&self, level: SimdLevel, gate_up: &[E], hidden: &mut Vec<E>) {
        resize(hidden, gate_up.len() / 2);
        swiglu(level, gate_up, hidden, self.down.in_features());
    }
}
