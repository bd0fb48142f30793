//! The feed-forward part of a layer.

use candle_core::Tensor;
use tunebench_spec::Decoder;
use tunebench_spec::decoder::Activation;
use tunebench_spec::names::Role;

use crate::Error;
use crate::graph::ops;
use crate::reference::build::Builder;
use crate::reference::linear::Linear;
use crate::reference::weight::Pass;

pub(crate) struct Mlp {
    inner: Inner,
    down: Linear,
    activation: Activation,
}

/// What leads to the intermediate width.
enum Inner {
    Plain {
        up: Linear,
    },
    Gated {
        gate: Linear,
        up: Linear,
    },
    /// Both in one, the gate's rows first.
    Fused {
        gate_up: Linear,
        width: usize,
    },
}

impl Mlp {
    pub fn new(build: &mut Builder<'_>, shape: &Decoder, index: usize) -> Result<Self, Error> {
        let mut linear = |role| build.linear(shape, role, index);
        let inner = match (shape.mlp.gated, shape.mlp.fused_gate_up) {
            (_, true) => Inner::Fused { gate_up: linear(Role::GateUp)?, width: shape.mlp.intermediate_size },
            (true, false) => Inner::Gated { gate: linear(Role::Gate)?, up: linear(Role::Up)? },
            (false, false) => Inner::Plain { up: linear(Role::Up)? },
        };
        Ok(Self { inner, down: linear(Role::Down)?, activation: shape.mlp.activation })
    }

    /// # Shapes
    /// `x [n, d] -> [n, d]`.
    pub fn forward(&self, x: &Tensor, pass: Pass<'_>) -> Result<Tensor, Error> {
        let hidden = match &self.inner {
            Inner::Plain { up } => ops::activate(&up.apply(x, pass)?, self.activation)?,
            Inner::Gated { gate, up } => {
                let up = up.apply(x, pass)?;
                self.gated(&gate.apply(x, pass)?, &up)?
            }
            Inner::Fused { gate_up, width } => {
                let both = gate_up.apply(x, pass)?;
                let part = |from| both.narrow(1, from, *width)?.contiguous();
                self.gated(&part(0)?, &part(*width)?)?
            }
        };
        self.down.apply(&hidden, pass)
    }

    fn gated(&self, gate: &Tensor, up: &Tensor) -> Result<Tensor, Error> {
        match self.activation {
            Activation::Silu => Ok(ops::swiglu(gate, up)?),
            activation => Ok((ops::activate(gate, activation)? * up)?),
        }
    }

    pub fn is_trained(&self) -> bool {
        let inner = match &self.inner {
            Inner::Plain { up } => up.is_trained(),
            Inner::Gated { gate, up } => gate.is_trained() || up.is_trained(),
            Inner::Fused { gate_up, .. } => gate_up.is_trained(),
        };
        inner || self.down.is_trained()
    }
}
