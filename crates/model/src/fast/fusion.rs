//! LoRA, found in a recorded graph: `base(x) + s · dropout(x) Aᵀ Bᵀ`, however its factors are ordered.

use tunebench_spec::graph::DType;
use tunebench_spec::{Graph, Op, ParamSpec};

/// What of a graph the fused path needs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LoraForm {
    /// Parameter `[r, in]`.
    pub a: String,
    /// Parameter `[out, r]`.
    pub b: String,
    pub rank: usize,
    pub scale: f64,
    /// Node of the graph and probability.
    pub dropout: Option<(usize, f64)>,
}

/// The form of `graph` when it is LoRA over f32 parameters and nothing else.
pub(super) fn lora(graph: &Graph, params: &[ParamSpec]) -> Option<LoraForm> {
    let &[left, right] = inputs(graph, graph.output, &Op::Add)? else { return None };
    let is_base = |i: usize| inputs(graph, i, &Op::Base).is_some_and(|x| graph.nodes[x[0]].op == Op::Input);
    let low = match (is_base(left), is_base(right)) {
        (true, false) => right,
        (false, true) => left,
        _ => return None,
    };
    let (mut scale, mut at) = (1.0, low);
    at = skip_scales(graph, at, &mut scale);
    let &[inner, b] = inputs(graph, at, &Op::Matmul)? else { return None };
    let inner = skip_scales(graph, inner, &mut scale);
    let &[x, a] = inputs(graph, inner, &Op::Matmul)? else { return None };
    let x = skip_scales(graph, x, &mut scale);
    let (a, b) = (turned_param(graph, a)?, turned_param(graph, b)?);
    let dropout = match &graph.nodes[x].op {
        Op::Input => None,
        Op::Dropout { p } if graph.nodes[graph.nodes[x].inputs[0]].op == Op::Input => Some((x, *p)),
        _ => return None,
    };
    let spec = |name: &str| params.iter().find(|p| p.name == name);
    let (a_spec, b_spec) = (spec(a)?, spec(b)?);
    let is_plain = params.len() == 2 && a != b && [a_spec, b_spec].iter().all(|p| p.dtype == DType::F32);
    let rank = *a_spec.shape.first()?;
    is_plain.then(|| LoraForm { a: a.into(), b: b.into(), rank, scale, dropout })
}

/// The inputs of node `i` if it is this operation.
fn inputs<'a>(graph: &'a Graph, i: usize, op: &Op) -> Option<&'a [usize]> {
    let node = graph.nodes.get(i)?;
    (node.op == *op).then_some(node.inputs.as_slice())
}

fn skip_scales(graph: &Graph, mut i: usize, scale: &mut f64) -> usize {
    while let Some(node) = graph.nodes.get(i) {
        let (Op::Scale { by }, [x]) = (&node.op, node.inputs.as_slice()) else { break };
        *scale *= by;
        i = *x;
    }
    i
}

fn turned_param(graph: &Graph, i: usize) -> Option<&str> {
    let &[param] = inputs(graph, i, &Op::Transpose)? else { return None };
    match &graph.nodes.get(param)?.op {
        Op::Param { name } => Some(name),
        _ => None,
    }
}
