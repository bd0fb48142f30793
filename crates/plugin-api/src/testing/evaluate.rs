//! A tuner's `forward` at one site, computed: its output, and gradients to the input and to each parameter.

use std::collections::BTreeMap;

use super::array::Array;
use super::graph::{Graph, record};
use super::op::Op;
use super::shapes::fixed;
use crate::{Dim, Error, Result, Site, Tuner};

/// What a site computes over.
#[derive(Clone, Debug, PartialEq)]
pub struct Values {
    /// `[t, in]`, for any number `t` of tokens.
    pub x: Array,
    /// The base weight, `[out, in]`.
    pub weight: Array,
    /// By name, with the shapes of the plan.
    pub params: BTreeMap<String, Array>,
}

/// What a site yields.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// `[t, out]`.
    pub output: Array,
    /// With respect to the input, `[t, in]`.
    pub x_gradient: Array,
    /// With respect to each parameter, by name.
    pub gradients: BTreeMap<String, Array>,
}

/// Records `forward` at a site and computes it in f64, with the gradients of the sum of `upstream · output`;
/// `upstream` is `[t, out]`. As in an evaluation nothing is dropped.
///
/// # Errors
/// When the tuner refuses or an operation does not fit, as in a study; or when a value has not the site's shape.
pub fn evaluate<T: Tuner>(tuner: &T, site: &Site, values: &Values, upstream: &Array) -> Result<Evaluation> {
    let (out, width) = (site.weight.out_features(), site.weight.in_features());
    let tokens = values.x.shape.first().copied().unwrap_or_default();
    let has_shape = |what: &str, array: &Array, shape: &[usize]| match array.shape == shape {
        true => Array::new(shape, array.data.clone()).map(|_| ()),
        false => Err(Error::new(format!("{what} is {:?}, expected {shape:?}", array.shape))),
    };
    has_shape("x", &values.x, &[tokens, width])?;
    has_shape("the weight", &values.weight, &[out, width])?;
    has_shape("the upstream gradient", upstream, &[tokens, out])?;
    for param in &site.params {
        has_shape(&format!("parameter `{}`", param.name), values.param(&param.name)?, &param.shape)?;
    }
    forward(tuner, site)?.evaluated(values, upstream)
}

/// `forward` at a site, recorded.
pub(super) fn forward<T: Tuner>(tuner: &T, site: &Site) -> Result<Graph> {
    let expected = [&[Dim::Tokens][..], &fixed(&[site.weight.out_features()])].concat();
    record(site, &expected, |ops, x| tuner.forward(ops, site, x))
}

impl Values {
    pub(super) fn param(&self, name: &str) -> Result<&Array> {
        self.params.get(name).ok_or_else(|| Error::new(format!("no value for parameter `{name}`")))
    }
}

impl Graph {
    /// The output at `at`, and the gradients behind it; zero where none arrives.
    pub fn evaluated(&self, at: &Values, upstream: &Array) -> Result<Evaluation> {
        let mut values = self.values(at)?;
        let gradients = self.gradients(&values, at, upstream);
        let mut x_gradient = Array::zeros(&at.x.shape);
        let zeros = at.params.iter().map(|(name, value)| (name.clone(), Array::zeros(&value.shape)));
        let mut sums: BTreeMap<String, Array> = zeros.collect();
        for (node, gradient) in self.nodes.iter().zip(gradients) {
            let sum = match &node.op {
                Op::Input => Some(&mut x_gradient),
                Op::Param { name } => sums.get_mut(name),
                _ => None,
            };
            if let (Some(sum), Some(gradient)) = (sum, gradient) {
                *sum = sum.zip(&gradient, |a, b| a + b);
            }
        }
        Ok(Evaluation { output: values.swap_remove(self.output), x_gradient, gradients: sums })
    }
}
