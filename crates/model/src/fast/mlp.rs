//! The MLP of a layer, with a gate (Shazeer 2020) or without: forward and backward.

use tunebench_kernels::SimdLevel;
use tunebench_kernels::Store;
use tunebench_kernels::ops::activation::{Activation, activate, activate_backward, gate, gate_backward};

use super::fused_linear::FusedLinear;
use super::pass::{BackwardPass, Pass};
use super::storage::{Storage, resize};
use crate::Error;

/// `down(act(gate(x)) · up(x))`, or without a gate `down(act(up(x)))`.
pub(super) struct Mlp<E> {
    /// The outputs of the gate before those of up; without a gate up alone.
    pub gate_up: FusedLinear<E>,
    pub down: FusedLinear<E>,
    pub activation: Activation,
}

/// What the backward pass reads of the forward pass.
#[derive(Default)]
pub(super) struct MlpActs<E> {
    /// `[n, 2f]`, or `[n, f]` without a gate; the backward pass puts its gradient there.
    pub gate_up: Vec<E>,
    /// LoRA's hidden values at the projections, `[n, R]`.
    pub gate_up_lora: Vec<E>,
    pub down_lora: Vec<E>,
}

/// Buffers that the MLP of every layer uses in turn.
#[derive(Default)]
pub(super) struct MlpScratch<E> {
    /// What `down` reads, or the gradient of that, `[n, f]`.
    hidden: Vec<E>,
}

impl<E: Storage> Mlp<E> {
    pub fn is_trained(&self) -> bool {
        self.gate_up.is_trained() || self.down.is_trained()
    }

    /// `out += mlp(x)`, both `[n, d]`, where `x` is the normed residual stream.
    pub fn forward(
        &self,
        pass: &Pass<'_, E>,
        x: &[E],
        acts: &mut MlpActs<E>,
        scratch: &mut MlpScratch<E>,
        out: &mut [E],
    ) -> Result<(), Error> {
        let n = x.len() / self.gate_up.in_features();
        let MlpActs { gate_up, gate_up_lora, down_lora } = acts;
        resize(gate_up, n * self.gate_up.out_features());
        self.gate_up.forward(pass, &self.gate_up.fwd(pass), x, gate_up, Store::Set, gate_up_lora)?;
        self.activate(pass.level, gate_up, &mut scratch.hidden);
        self.down.forward(pass, &self.down.fwd(pass), &scratch.hidden, out, Store::Add, down_lora)
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
        let (pass, f) = (back.pass, self.down.in_features());
        let hidden = &mut scratch.hidden;
        let d_lora = self.down.lora_hidden_backward(pass, dy);
        // A graph reads what products read only for gradients of their own, behind.
        let from_graphs = if self.down.has_graph() {
            self.activate(pass.level, &acts.gate_up, hidden);
            self.down.graphs_backward(back, hidden, dy)?
        } else {
            None
        };
        resize(hidden, acts.gate_up.len() / self.gate_up.out_features() * f);
        self.down.input_backward(pass, &self.down.bwd(pass)?, dy, &d_lora, from_graphs, hidden);
        // The gradients of gate and up take their place, and what `down` reads that of its gradient.
        match self.is_gated() {
            true => gate_backward(pass.level, self.activation, &mut acts.gate_up, hidden, f),
            false => activate_backward(pass.level, self.activation, &mut acts.gate_up, hidden),
        }
        self.down.products_backward(back, hidden, dy, &acts.down_lora, &d_lora);
        self.gate_up.backward(back, &self.gate_up.bwd(pass)?, x, &acts.gate_up, &acts.gate_up_lora, Some(dx))
    }

    fn activate(&self, level: SimdLevel, gate_up: &[E], hidden: &mut Vec<E>) {
        let f = self.down.in_features();
        resize(hidden, gate_up.len() / self.gate_up.out_features() * f);
        match self.is_gated() {
            true => gate(level, self.activation, gate_up, hidden, f),
            false => activate(level, self.activation, gate_up, hidden),
        }
    }

    fn is_gated(&self) -> bool {
        self.gate_up.out_features() == 2 * self.down.in_features()
    }
}
