//! The gradient of every node of a recorded graph, backwards over its values.

use super::array::Array;
use super::evaluate::Values;
use super::forward::{normal_below, normal_density, sigmoid};
use super::graph::{Graph, Node};
use super::op::Op;

impl Graph {
    /// One gradient a node, of the sum of `upstream · output`; none where no gradient arrives. `values` are those of
    /// [`Graph::values`] at `at`.
    pub fn gradients(&self, values: &[Array], at: &Values, upstream: &Array) -> Vec<Option<Array>> {
        let mut gradients: Vec<Option<Array>> = vec![None; self.nodes.len()];
        gradients[self.output] = Some(upstream.clone());
        for (index, node) in self.nodes.iter().enumerate().rev() {
            let Some(gradient) = &gradients[index] else { continue };
            let inputs: Vec<&Array> = node.inputs.iter().map(|&i| &values[i]).collect();
            let shares = shares(node, &inputs, &values[index], gradient, at);
            for (&input, share) in node.inputs.iter().zip(shares) {
                gradients[input] = Some(match gradients[input].take() {
                    Some(sum) => sum.zip(&share, |a, b| a + b),
                    None => share,
                });
            }
        }
        gradients
    }
}

/// What each input of a node gets of its gradient `g`; `y` is the node's value. Empty where gradients end.
fn shares(node: &Node, inputs: &[&Array], y: &Array, g: &Array, at: &Values) -> Vec<Array> {
    let x = |k: usize| inputs[k];
    // Along axes that were broadcast, gradients add up.
    let back = |k: usize, gradient: Array| gradient.summed(&x(k).shape);
    let wide = |k: usize| x(k).broadcast(&y.shape);
    let slope = |f: fn(f64) -> f64| vec![g.zip(x(0), |g, x| g * f(x))];
    let slope_by_value = |f: fn(f64) -> f64| vec![g.zip(y, |g, y| g * f(y))];
    match &node.op {
        Op::Input | Op::Held(_) | Op::Weight | Op::Param { .. } | Op::Detach => vec![],
        Op::Base => vec![g.matmul(&at.weight)],
        Op::Matmul => vec![g.matmul(&x(1).transposed()), x(0).transposed().matmul(g)],
        Op::Add => vec![back(0, g.clone()), back(1, g.clone())],
        Op::Sub => vec![back(0, g.clone()), back(1, g.map(|g| -g))],
        Op::Mul => vec![back(0, g.zip(&wide(1), |g, b| g * b)), back(1, g.zip(&wide(0), |g, a| g * a))],
        Op::Div => {
            let by_a = g.zip(&wide(1), |g, b| g / b);
            let by_b = by_a.zip(y, |g, y| -g * y);
            vec![back(0, by_a), back(1, by_b)]
        }
        Op::Scale { by } => vec![g.map(|g| g * by)],
        Op::Sum { .. } => vec![g.broadcast(&x(0).shape)],
        Op::Mean { axis } => {
            let n = x(0).shape[*axis] as f64;
            vec![g.broadcast(&x(0).shape).map(|g| g / n)]
        }
        // At the zero vector the gradient is zero.
        Op::Norm { .. } => {
            let ratio = g.zip(y, |g, y| if y == 0.0 { 0.0 } else { g / y });
            vec![ratio.broadcast(&x(0).shape).zip(x(0), |r, x| r * x)]
        }
        Op::Transpose => vec![g.transposed()],
        Op::Reshape { .. } => vec![g.with_shape(&x(0).shape)],
        Op::Offset { .. } | Op::Cast { .. } | Op::Dropout { .. } => vec![g.clone()],
        Op::Gelu => slope(|x| normal_below(x) + x * normal_density(x)),
        Op::Silu => slope(|x| sigmoid(x) * (1.0 + x * (1.0 - sigmoid(x)))),
        Op::Relu => slope(|x| if x > 0.0 { 1.0 } else { 0.0 }),
        Op::Sigmoid => slope_by_value(|y| y * (1.0 - y)),
        Op::Tanh => slope_by_value(|y| 1.0 - y * y),
        Op::Exp => slope_by_value(|y| y),
        Op::Sqrt => slope_by_value(|y| 0.5 / y),
    }
}
