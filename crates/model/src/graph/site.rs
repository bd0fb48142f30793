//! Runs recorded graphs with candle operations: an adapted weight's forward, its merge, its parameters' beginnings.
//!
//! Graphs may come from a file: `check` is passed before anything runs.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor, Var};
use candle_nn::ops::sigmoid;
use tunebench_spec::graph::DType as Precision;
use tunebench_spec::shapes::{self, SiteShape};
use tunebench_spec::{Decoder, Dim, Graph, Init, Node, Op, ParamSpec, VirtualTokens};

use crate::Error;
use crate::dropout::{DropoutKey, DropoutNode, Shape, SiteId};
use crate::graph::attach::seeded;
use crate::graph::ops;

/// Above any real graph; one from a file that is larger is refused.
const MOST_NODES: usize = 4096;
/// Elements of a value without a token axis, and for each token of one with.
const MOST_ELEMENTS: usize = 1 << 31;
const MOST_ELEMENTS_PER_TOKEN: usize = 1 << 24;

/// What a graph computes over.
pub(crate) struct Inputs<'a> {
    /// `[n, in]`; none where there is no input (merge, initial values).
    pub x: Option<&'a Tensor>,
    /// `[out, in]`; none where there is no weight (virtual tokens).
    pub weight: Option<&'a Tensor>,
    /// By parameter name.
    pub params: &'a BTreeMap<String, Tensor>,
    pub dropout: Dropout<'a>,
}

/// Whether dropout drops.
#[derive(Clone, Copy)]
pub(crate) enum Dropout<'a> {
    Off,
    /// By the draws of this key, at this site.
    On(&'a DropoutKey, SiteId),
}

impl<'a> Dropout<'a> {
    /// By the draws of this key at this site, if there is one.
    pub fn of(key: Option<&'a DropoutKey>, site: SiteId) -> Self {
        key.map_or(Self::Off, |key| Self::On(key, site))
    }
}

/// What a site by itself yields, f32.
#[derive(Debug)]
pub struct Evaluation {
    /// `[n, out]`.
    pub output: Tensor,
    /// With respect to the input, `[n, in]`; none where none arrives.
    pub x_gradient: Option<Tensor>,
    /// With respect to each parameter that gets one, by name.
    pub gradients: BTreeMap<String, Tensor>,
}

/// Runs `graph` alone, without a model around it, and the gradients of the sum of `upstream · output`. Nothing is
/// dropped.
///
/// # Shapes
/// `x [n, in]`, `weight [out, in]`, `upstream [n, out]`.
///
/// # Errors
/// [`Error::Graph`] when the graph does not fit these shapes.
pub fn evaluate(
    graph: &Graph,
    x: &Tensor,
    weight: &Tensor,
    params: &BTreeMap<String, Tensor>,
    upstream: &Tensor,
) -> Result<Evaluation, Error> {
    let (out, width) = weight.dims2()?;
    let spec = |(name, value): (&String, &Tensor)| ParamSpec {
        name: name.clone(),
        shape: value.dims().to_vec(),
        dtype: Precision::F32,
        init: Init::Zeros,
        lr_scale: 1.0,
    };
    let specs: Vec<ParamSpec> = params.iter().map(spec).collect();
    check("a site", [out, width], graph, &specs, &[Dim::TOKENS, Dim::Fixed(out)])?;
    let x = Var::from_tensor(x)?;
    let vars = params.iter().map(|(name, value)| Ok((name.clone(), Var::from_tensor(value)?)));
    let vars = vars.collect::<Result<BTreeMap<_, _>, Error>>()?;
    let params = vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
    let output = run(graph, &Inputs { x: Some(&x), weight: Some(weight), params: &params, dropout: Dropout::Off })?
        .contiguous()?;
    let found = seeded(&output, upstream.clone())?.backward()?;
    let gradients = vars.iter().filter_map(|(name, var)| Some((name.clone(), found.get(var)?.clone())));
    Ok(Evaluation { output: output.detach(), x_gradient: found.get(&x).cloned(), gradients: gradients.collect() })
}

/// What `graph` yields at the site of the weight called `name`, `[out, in]`, for `x [n, in]` where it reads an input: `[n, out]`,
/// or without one whatever shape it was recorded with. Nothing is dropped.
///
/// # Errors
/// [`Error::Graph`] when the graph does not fit these shapes, or reads what is not there.
pub fn compute(
    name: &str,
    linear: [usize; 2],
    graph: &Graph,
    x: Option<&Tensor>,
    weight: Option<&Tensor>,
    specs: &[ParamSpec],
    params: &BTreeMap<String, Tensor>,
) -> Result<Tensor, Error> {
    let expected = graph.nodes.get(graph.output).map(|node| node.shape.clone()).unwrap_or_default();
    check(name, linear, graph, specs, &expected)?;
    Ok(run(graph, &Inputs { x, weight, params, dropout: Dropout::Off })?.contiguous()?)
}

/// Whether `graph` can run at the site of `weight [out, in]` over `params` and yields `expected`.
///
/// # Errors
/// [`Error::Graph`] names the weight and the node.
pub(crate) fn check(
    weight: &str,
    [out_features, in_features]: [usize; 2],
    graph: &Graph,
    params: &[ParamSpec],
    expected: &[Dim],
) -> Result<(), Error> {
    check_at(weight, &SiteShape { out_features, in_features, params: shapes_by_name(params) }, graph, expected)
}

/// As [`check`], for the graph of virtual tokens, which has neither input nor weight.
pub(crate) fn check_virtual(graph: &Graph, tokens: &VirtualTokens, model: &Decoder) -> Result<(), Error> {
    let site = SiteShape::without_weight(shapes_by_name(&tokens.params));
    check_at(VirtualTokens::NAME, &site, graph, &tokens.shape(model))
}

fn shapes_by_name(params: &[ParamSpec]) -> Vec<(&str, &[usize])> {
    params.iter().map(|p| (p.name.as_str(), p.shape.as_slice())).collect()
}

fn check_at(weight: &str, site: &SiteShape<'_>, graph: &Graph, expected: &[Dim]) -> Result<(), Error> {
    let fault = |fault: String| Error::Graph { weight: weight.into(), fault };
    if graph.nodes.len() > MOST_NODES {
        return Err(fault(format!("{} operations; at most {MOST_NODES} are run", graph.nodes.len())));
    }
    shapes::check(graph, site, expected).map_err(fault)?;
    for (i, node) in graph.nodes.iter().enumerate() {
        let fixed = node.shape.iter().try_fold(1usize, |n, dim| match dim {
            Dim::Fixed(d) => n.checked_mul(*d),
            Dim::Tokens(_) => Some(n),
        });
        let most = if node.shape.contains(&Dim::TOKENS) { MOST_ELEMENTS_PER_TOKEN } else { MOST_ELEMENTS };
        if fixed.is_none_or(|n| n > most) || node.shape.len() > 4 {
            return Err(fault(format!("node {i} yields {}, which is too large", shapes_of(&node.shape))));
        }
    }
    Ok(())
}

/// As [`check`], for a graph that has no input to read.
pub(crate) fn check_without_input(
    weight: &str,
    linear: [usize; 2],
    graph: &Graph,
    params: &[ParamSpec],
    expected: &[usize],
) -> Result<(), Error> {
    if graph.nodes.iter().any(|n| n.op == Op::Input) {
        let fault = "reads the site's input where there is none (merge, initial values)".into();
        return Err(Error::Graph { weight: weight.into(), fault });
    }
    let expected: Vec<Dim> = expected.iter().copied().map(Dim::Fixed).collect();
    check(weight, linear, graph, params, &expected)
}

/// The value of a graph that has passed [`check`].
pub(crate) fn run(graph: &Graph, inputs: &Inputs<'_>) -> Result<Tensor, Error> {
    let mut values: Vec<Tensor> = Vec::with_capacity(graph.nodes.len());
    for (i, node) in graph.nodes.iter().enumerate() {
        let value = apply(i, node, &values, inputs)?;
        values.push(value);
    }
    Ok(values.swap_remove(graph.output))
}

fn apply(i: usize, node: &Node, values: &[Tensor], inputs: &Inputs<'_>) -> Result<Tensor, Error> {
    let arg = |k: usize| node.inputs.get(k).and_then(|&j| values.get(j)).ok_or_else(|| missing(&format!("node {i}")));
    let value = match &node.op {
        Op::Input => inputs.x.cloned().ok_or_else(|| missing("the input"))?,
        Op::Weight => inputs.weight.ok_or_else(|| missing("the weight"))?.to_dtype(DType::F32)?,
        Op::Param { name } => inputs.params.get(name).cloned().ok_or_else(|| missing(name))?,
        Op::Base => {
            let weight = inputs.weight.ok_or_else(|| missing("the weight"))?;
            ops::linear(&arg(0)?.contiguous()?.to_dtype(weight.dtype())?, weight)?.to_dtype(DType::F32)?
        }
        Op::Matmul => arg(0)?.matmul(arg(1)?)?,
        Op::Add => arg(0)?.broadcast_add(arg(1)?)?,
        Op::Sub => arg(0)?.broadcast_sub(arg(1)?)?,
        Op::Mul => arg(0)?.broadcast_mul(arg(1)?)?,
        Op::Div => arg(0)?.broadcast_div(arg(1)?)?,
        Op::Scale { by } => (arg(0)? * *by)?,
        Op::Offset { by } => (arg(0)? + *by)?,
        Op::Sum { axis } => arg(0)?.sum_keepdim(*axis)?,
        Op::Mean { axis } => arg(0)?.mean_keepdim(*axis)?,
        Op::Norm { axis } => ops::norm(arg(0)?, *axis)?,
        Op::Transpose => arg(0)?.t()?,
        Op::Reshape { .. } => arg(0)?.reshape(lengths(&node.shape, inputs.x))?,
        Op::Cast { dtype } => rounded(arg(0)?, *dtype)?,
        Op::Dropout { p } => dropped(arg(0)?, *p, i, &node.shape, inputs)?,
        Op::Gelu => gelu(arg(0)?)?,
        Op::Silu => arg(0)?.silu()?,
        Op::Relu => arg(0)?.relu()?,
        Op::Sigmoid => sigmoid(arg(0)?)?,
        Op::Tanh => arg(0)?.tanh()?,
        Op::Exp => arg(0)?.exp()?,
        Op::Sqrt => arg(0)?.sqrt()?,
        Op::Detach => arg(0)?.detach(),
    };
    Ok(value)
}

/// `x` rounded to another precision, in f32 still: candle multiplies no bf16 on the CPU. The gradient passes.
///
/// # Errors
/// When candle cannot convert it.
pub fn rounded(x: &Tensor, precision: Precision) -> candle_core::Result<Tensor> {
    match precision {
        Precision::F32 => Ok(x.clone()),
        Precision::F16 => x.to_dtype(DType::F16)?.to_dtype(DType::F32),
        Precision::BF16 => x.to_dtype(DType::BF16)?.to_dtype(DType::F32),
    }
}

fn dropped(x: &Tensor, p: f64, node: usize, shape: &[Dim], inputs: &Inputs<'_>) -> Result<Tensor, Error> {
    let Dropout::On(key, site) = inputs.dropout else { return Ok(x.clone()) };
    let dims = lengths(shape, inputs.x);
    let shape = if shape.first() == Some(&Dim::TOKENS) { Shape::Tokens(&dims) } else { Shape::Fixed(&dims) };
    let mask = key.mask(p, &shape, DropoutNode { site, node }, x.device())?;
    Ok(ops::masked(x, mask)?)
}

/// `x Φ(x)` by the error function, PyTorch's default.
fn gelu(x: &Tensor) -> candle_core::Result<Tensor> {
    let phi = (((x * std::f64::consts::FRAC_1_SQRT_2)?.erf()? + 1.0)? * 0.5)?;
    x * phi
}

/// The lengths of a shape for the tokens at hand.
fn lengths(shape: &[Dim], x: Option<&Tensor>) -> Vec<usize> {
    let tokens = x.and_then(|x| x.dims().first().copied()).unwrap_or(1);
    let length = |dim: &Dim| match dim {
        Dim::Fixed(d) => *d,
        Dim::Tokens(_) => tokens,
    };
    shape.iter().map(length).collect()
}

fn missing(what: &str) -> Error {
    Error::Graph { weight: "a site".into(), fault: format!("{what} is not there") }
}

fn shapes_of(shape: &[Dim]) -> String {
    tunebench_spec::graph::show_shape(shape)
}
