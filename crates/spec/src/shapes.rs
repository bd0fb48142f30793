//! Shape rules of the host operations: what each [`Op`] yields, or why it cannot be applied.
//!
//! The token axis may be mapped over but never reduced or contracted: a site that mixed tokens would let an
//! answer see its own future and other examples.

use crate::graph::{Dim, Graph, Op, show_shape};

/// The linear weight that a graph stands for, `[out, in]`, and its parameters.
#[derive(Clone, Debug)]
pub struct SiteShape<'a> {
    pub out_features: usize,
    pub in_features: usize,
    /// Name and shape of each parameter.
    pub params: Vec<(&'a str, &'a [usize])>,
}

impl<'a> SiteShape<'a> {
    /// Where a graph is made of parameters alone: no input and no weight.
    pub fn without_weight(params: Vec<(&'a str, &'a [usize])>) -> Self {
        Self { out_features: 0, in_features: 0, params }
    }

    /// Whether there is no weight; those there are have features.
    fn has_no_weight(&self) -> bool {
        self.out_features == 0 && self.in_features == 0
    }
}

/// The shape that `op` yields at a site for inputs of these shapes.
///
/// # Errors
/// A sentence with the operation and the shapes.
pub fn infer(op: &Op, inputs: &[&[Dim]], site: &SiteShape<'_>) -> Result<Vec<Dim>, String> {
    let name = name_of(op);
    let arity = arity_of(op);
    if inputs.len() != arity {
        return Err(format!("`{name}` takes {arity} inputs, {} given", inputs.len()));
    }
    let first = inputs.first().copied().unwrap_or_default();
    match op {
        Op::Input | Op::Base | Op::Weight if site.has_no_weight() => {
            Err(format!("`{name}`: there is no input and no weight here; only parameters and what is made of them"))
        }
        Op::Input => Ok(vec![Dim::TOKENS, Dim::Fixed(site.in_features)]),
        Op::Base => match first {
            [rows, Dim::Fixed(width)] if *width == site.in_features => Ok(vec![*rows, Dim::Fixed(site.out_features)]),
            _ => Err(format!("`base` takes [.., {}], given {}", site.in_features, show_shape(first))),
        },
        Op::Weight => Ok(vec![Dim::Fixed(site.out_features), Dim::Fixed(site.in_features)]),
        Op::Param { name } => match site.params.iter().find(|p| p.0 == name) {
            Some((_, shape)) => Ok(shape.iter().copied().map(Dim::Fixed).collect()),
            None => {
                let known: Vec<&str> = site.params.iter().map(|p| p.0).collect();
                Err(format!("the plan gives this site no parameter `{name}`; it has: {}", known.join(", ")))
            }
        },
        Op::Matmul => matmul(first, inputs.get(1).copied().unwrap_or_default()),
        Op::Add | Op::Sub | Op::Mul | Op::Div => broadcast(name, first, inputs.get(1).copied().unwrap_or_default()),
        Op::Sum { axis } | Op::Mean { axis } | Op::Norm { axis } => reduce(name, first, *axis),
        Op::Transpose => match first {
            [a, b] => Ok(vec![*b, *a]),
            _ => Err(format!("`transpose` takes two axes, given {}", show_shape(first))),
        },
        Op::Reshape { shape } => reshape(first, shape),
        Op::Scale { by } | Op::Offset { by } if !by.is_finite() => Err(format!("`{name}` by {by} is not a number")),
        Op::Dropout { p } if !(0.0..1.0).contains(p) => Err(format!("`dropout` needs 0 <= p < 1, given {p}")),
        _ => Ok(first.to_vec()),
    }
}

/// Whether a graph, perhaps from a file, is one that can run at a site and yields `expected`.
///
/// # Errors
/// A sentence with the node, its operation and the shapes.
pub fn check(graph: &Graph, site: &SiteShape<'_>, expected: &[Dim]) -> Result<(), String> {
    if !graph.is_well_formed() {
        return Err("the graph reads nodes that are not before it".into());
    }
    for (i, node) in graph.nodes.iter().enumerate() {
        let inputs: Vec<&[Dim]> = node.inputs.iter().map(|&j| graph.nodes[j].shape.as_slice()).collect();
        let shape = infer(&node.op, &inputs, site).map_err(|e| format!("node {i}: {e}"))?;
        if shape != node.shape {
            return Err(format!("node {i} yields {}, not {}", show_shape(&shape), show_shape(&node.shape)));
        }
    }
    let found = &graph.nodes[graph.output].shape;
    if found != expected {
        return Err(format!("the result is {}, expected {}", show_shape(found), show_shape(expected)));
    }
    Ok(())
}

/// The name by which plugins call an operation.
pub fn name_of(op: &Op) -> &'static str {
    match op {
        Op::Input => "input",
        Op::Base => "base",
        Op::Weight => "weight",
        Op::Param { .. } => "param",
        Op::Matmul => "matmul",
        Op::Add => "add",
        Op::Sub => "sub",
        Op::Mul => "mul",
        Op::Div => "div",
        Op::Scale { .. } => "scale",
        Op::Offset { .. } => "offset",
        Op::Sum { .. } => "sum",
        Op::Mean { .. } => "mean",
        Op::Norm { .. } => "norm",
        Op::Transpose => "transpose",
        Op::Reshape { .. } => "reshape",
        Op::Cast { .. } => "cast",
        Op::Dropout { .. } => "dropout",
        Op::Gelu => "gelu",
        Op::Silu => "silu",
        Op::Relu => "relu",
        Op::Sigmoid => "sigmoid",
        Op::Tanh => "tanh",
        Op::Exp => "exp",
        Op::Sqrt => "sqrt",
        Op::Detach => "detach",
    }
}

fn arity_of(op: &Op) -> usize {
    match op {
        Op::Input | Op::Weight | Op::Param { .. } => 0,
        Op::Matmul | Op::Add | Op::Sub | Op::Mul | Op::Div => 2,
        _ => 1,
    }
}

fn matmul(a: &[Dim], b: &[Dim]) -> Result<Vec<Dim>, String> {
    match (a, b) {
        ([m, Dim::Fixed(k)], [Dim::Fixed(k2), n]) if k == k2 => Ok(vec![*m, *n]),
        _ => Err(format!("`matmul` takes [m, k] and [k, n], given {} and {}", show_shape(a), show_shape(b))),
    }
}

fn broadcast(name: &str, a: &[Dim], b: &[Dim]) -> Result<Vec<Dim>, String> {
    let one = Dim::Fixed(1);
    let rank = a.len().max(b.len());
    let at = |shape: &[Dim], i: usize| (i + shape.len()).checked_sub(rank).map_or(one, |j| shape[j]);
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (x, y) if x == y || y == one => Ok(x),
            (x, y) if x == one => Ok(y),
            _ => Err(format!("`{name}` cannot broadcast {} with {}", show_shape(a), show_shape(b))),
        })
        .collect()
}

fn reduce(name: &str, shape: &[Dim], axis: usize) -> Result<Vec<Dim>, String> {
    match shape.get(axis) {
        Some(Dim::Fixed(_)) => {
            let mut reduced = shape.to_vec();
            reduced[axis] = Dim::Fixed(1);
            Ok(reduced)
        }
        Some(Dim::Tokens(_)) => Err(format!("`{name}` along the token axis of {} would mix tokens", show_shape(shape))),
        None => Err(format!("`{name}` along axis {axis} of {}: no such axis", show_shape(shape))),
    }
}

fn reshape(from: &[Dim], to: &[Dim]) -> Result<Vec<Dim>, String> {
    let fault = || format!("`reshape` of {} to {} changes the number of elements", show_shape(from), show_shape(to));
    let count = |shape: &[Dim]| {
        shape.iter().try_fold((0usize, 1usize), |(tokens, n), dim| match dim {
            Dim::Fixed(d) => Some((tokens, n.checked_mul(*d)?)),
            Dim::Tokens(_) => Some((tokens + 1, n)),
        })
    };
    if count(from).ok_or_else(fault)? != count(to).ok_or_else(fault)? {
        return Err(fault());
    }
    // Only while tokens stay the first axis is each token's part its own.
    let leads = |shape: &[Dim]| !shape.contains(&Dim::TOKENS) || shape.first() == Some(&Dim::TOKENS);
    if !(leads(from) && leads(to)) {
        return Err("`reshape` needs the token axis first; transpose before".into());
    }
    Ok(to.to_vec())
}
