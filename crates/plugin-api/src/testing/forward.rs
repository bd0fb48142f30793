//! The value of every node of a recorded graph, in f64.
//!
//! Nothing is dropped, and a cast passes values on as they are: what is checked here is the maths, not its rounding.

use super::array::Array;
use super::evaluate::Values;
use super::graph::{Graph, Node};
use super::op::Op;
use crate::{Dim, Result};

impl Graph {
    /// One value a node, for the input, weight and parameters of `at`.
    pub fn values(&self, at: &Values) -> Result<Vec<Array>> {
        let mut values: Vec<Array> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let value = apply(node, &values, at)?;
            values.push(value);
        }
        Ok(values)
    }

    /// The value of the output.
    pub fn value(&self, at: &Values) -> Result<Array> {
        Ok(self.values(at)?.swap_remove(self.output))
    }
}

fn apply(node: &Node, values: &[Array], at: &Values) -> Result<Array> {
    let arg = |k: usize| &values[node.inputs[k]];
    let shape: Vec<usize> = node.shape.iter().map(|dim| length(*dim, at)).collect();
    let element_wise = |f: fn(f64, f64) -> f64| arg(0).broadcast(&shape).zip(&arg(1).broadcast(&shape), f);
    Ok(match &node.op {
        Op::Input => at.x.clone(),
        Op::Held(value) => value.clone(),
        Op::Base => arg(0).matmul(&at.weight.transposed()),
        Op::Weight => at.weight.clone(),
        Op::Param { name } => at.param(name)?.clone(),
        Op::Matmul => arg(0).matmul(arg(1)),
        Op::Add => element_wise(|a, b| a + b),
        Op::Sub => element_wise(|a, b| a - b),
        Op::Mul => element_wise(|a, b| a * b),
        Op::Div => element_wise(|a, b| a / b),
        Op::Scale { by } => arg(0).map(|v| v * by),
        Op::Offset { by } => arg(0).map(|v| v + by),
        Op::Sum { .. } => arg(0).summed(&shape),
        Op::Mean { axis } => {
            let n = arg(0).shape[*axis] as f64;
            arg(0).summed(&shape).map(|sum| sum / n)
        }
        Op::Norm { .. } => arg(0).map(|v| v * v).summed(&shape).map(f64::sqrt),
        Op::Transpose => arg(0).transposed(),
        Op::Reshape { .. } => arg(0).with_shape(&shape),
        Op::Cast { .. } | Op::Dropout { .. } | Op::Detach => arg(0).clone(),
        Op::Gelu => arg(0).map(|v| v * normal_below(v)),
        Op::Silu => arg(0).map(|v| v * sigmoid(v)),
        Op::Relu => arg(0).map(|v| v.max(0.0)),
        Op::Sigmoid => arg(0).map(sigmoid),
        Op::Tanh => arg(0).map(f64::tanh),
        Op::Exp => arg(0).map(f64::exp),
        Op::Sqrt => arg(0).map(f64::sqrt),
    })
}

fn length(dim: Dim, at: &Values) -> usize {
    match dim {
        Dim::Fixed(n) => n,
        Dim::Tokens => at.x.shape[0],
    }
}

pub fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `Φ(x)`, the share of a standard normal below `x`: ½ + φ(x) Σ x^(2n+1) / (1·3·5 ⋯ (2n+1))
/// (Abramowitz and Stegun, 26.2.11). All terms have one sign, so nothing cancels.
pub fn normal_below(x: f64) -> f64 {
    if x.abs() > 9.0 {
        return if x > 0.0 { 1.0 } else { 0.0 };
    }
    let (mut term, mut sum, mut odd) = (x, x, 1.0);
    while term.abs() > 1e-17 * sum.abs() {
        odd += 2.0;
        term *= x * x / odd;
        sum += term;
    }
    0.5 + normal_density(x) * sum
}

/// `φ(x)`.
pub fn normal_density(x: f64) -> f64 {
    (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt()
}
