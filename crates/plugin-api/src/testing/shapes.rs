//! Shape rules of the host's operations, in the host's words: what each yields, or why it cannot be applied.
//!
//! The token axis may be mapped over but never reduced or contracted: a site that mixed tokens would let an answer
//! see its own future and other examples.

use super::op::Op;
use crate::{Dim, Site};

/// `[t, 64]` for messages.
pub fn show(shape: &[Dim]) -> String {
    let dims: Vec<String> = shape
        .iter()
        .map(|dim| match dim {
            Dim::Fixed(n) => n.to_string(),
            Dim::Tokens => "t".into(),
        })
        .collect();
    format!("[{}]", dims.join(", "))
}

/// A shape without a token axis.
pub fn fixed(lengths: &[usize]) -> Vec<Dim> {
    lengths.iter().copied().map(Dim::Fixed).collect()
}

/// The shape that `op` yields at a site for inputs of these shapes; only the site's first `n_params` parameters are
/// there.
pub fn infer(op: &Op, inputs: &[&[Dim]], site: &Site, n_params: usize) -> Result<Vec<Dim>, String> {
    let (out, width) = (site.weight.out_features(), site.weight.in_features());
    let name = op.name();
    if inputs.len() != op.arity() {
        return Err(format!("`{name}` takes {} inputs, {} given", op.arity(), inputs.len()));
    }
    let first = inputs.first().copied().unwrap_or_default();
    let second = inputs.get(1).copied().unwrap_or_default();
    match op {
        Op::Input | Op::Base | Op::Weight if out == 0 && width == 0 => {
            Err(format!("`{name}`: there is no input and no weight here; only parameters and what is made of them"))
        }
        Op::Input => Ok(vec![Dim::Tokens, Dim::Fixed(width)]),
        Op::Base => match first {
            [rows, Dim::Fixed(n)] if *n == width => Ok(vec![*rows, Dim::Fixed(out)]),
            _ => Err(format!("`base` takes [.., {width}], given {}", show(first))),
        },
        Op::Weight => Ok(fixed(&[out, width])),
        Op::Param { name } => {
            let params = &site.params[..n_params];
            params.iter().find(|p| p.name == *name).map(|p| fixed(&p.shape)).ok_or_else(|| {
                let known: Vec<&str> = params.iter().map(|p| p.name.as_str()).collect();
                format!("the plan gives this site no parameter `{name}`; it has: {}", known.join(", "))
            })
        }
        Op::Matmul => match (first, second) {
            ([m, Dim::Fixed(k)], [Dim::Fixed(k2), n]) if k == k2 => Ok(vec![*m, *n]),
            _ => Err(format!("`matmul` takes [m, k] and [k, n], given {} and {}", show(first), show(second))),
        },
        Op::Add | Op::Sub | Op::Mul | Op::Div => broadcast(name, first, second),
        Op::Sum { axis } | Op::Mean { axis } | Op::Norm { axis } => reduce(name, first, *axis),
        Op::Transpose => match first {
            [a, b] => Ok(vec![*b, *a]),
            _ => Err(format!("`transpose` takes two axes, given {}", show(first))),
        },
        Op::Reshape { shape } => reshape(first, shape),
        Op::Scale { by } | Op::Offset { by } if !by.is_finite() => Err(format!("`{name}` by {by} is not a number")),
        Op::Dropout { p } if !(0.0..1.0).contains(p) => Err(format!("`dropout` needs 0 <= p < 1, given {p}")),
        _ => Ok(first.to_vec()),
    }
}

fn broadcast(name: &str, a: &[Dim], b: &[Dim]) -> Result<Vec<Dim>, String> {
    let one = Dim::Fixed(1);
    let rank = a.len().max(b.len());
    let at = |shape: &[Dim], i: usize| (i + shape.len()).checked_sub(rank).map_or(one, |j| shape[j]);
    let axis = |i| match (at(a, i), at(b, i)) {
        (x, y) if x == y || y == one => Ok(x),
        (x, y) if x == one => Ok(y),
        _ => Err(format!("`{name}` cannot broadcast {} with {}", show(a), show(b))),
    };
    (0..rank).map(axis).collect()
}

fn reduce(name: &str, shape: &[Dim], axis: usize) -> Result<Vec<Dim>, String> {
    match shape.get(axis) {
        Some(Dim::Fixed(_)) => {
            let mut reduced = shape.to_vec();
            reduced[axis] = Dim::Fixed(1);
            Ok(reduced)
        }
        Some(Dim::Tokens) => Err(format!("`{name}` along the token axis of {} would mix tokens", show(shape))),
        None => Err(format!("`{name}` along axis {axis} of {}: no such axis", show(shape))),
    }
}

fn reshape(from: &[Dim], to: &[Dim]) -> Result<Vec<Dim>, String> {
    let fault = || format!("`reshape` of {} to {} changes the number of elements", show(from), show(to));
    // How often the token axis is there, and the elements beside it.
    let count = |shape: &[Dim]| {
        shape.iter().try_fold((0usize, 1usize), |(tokens, n), dim| match dim {
            Dim::Fixed(d) => Some((tokens, n.checked_mul(*d)?)),
            Dim::Tokens => Some((tokens + 1, n)),
        })
    };
    if count(from).ok_or_else(fault)? != count(to).ok_or_else(fault)? {
        return Err(fault());
    }
    // Only while tokens stay the first axis is each token's part its own.
    let leads = |shape: &[Dim]| !shape.contains(&Dim::Tokens) || shape.first() == Some(&Dim::Tokens);
    if !(leads(from) && leads(to)) {
        return Err("`reshape` needs the token axis first; transpose before".into());
    }
    Ok(to.to_vec())
}
