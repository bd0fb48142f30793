//! Graphs recorded as the host would.

use tunebench_spec::graph::{DType as Precision, Dim, Graph, Node, Op};
use tunebench_spec::shapes::{SiteShape, infer};
use tunebench_spec::{Init, ParamSpec};

/// A graph in the making, at one site.
pub struct Record<'a> {
    pub site: SiteShape<'a>,
    nodes: Vec<Node>,
}

impl<'a> Record<'a> {
    pub fn new([out_features, in_features]: [usize; 2], params: &'a [ParamSpec]) -> Self {
        let params = params.iter().map(|p| (p.name.as_str(), p.shape.as_slice())).collect();
        Self { site: SiteShape { out_features, in_features, params }, nodes: vec![] }
    }

    pub fn op(&mut self, op: Op, inputs: &[usize]) -> usize {
        let shapes: Vec<&[Dim]> = inputs.iter().map(|&i| self.nodes[i].shape.as_slice()).collect();
        let shape = infer(&op, &shapes, &self.site).unwrap();
        self.nodes.push(Node { op, inputs: inputs.to_vec(), shape });
        self.nodes.len() - 1
    }

    pub fn param(&mut self, name: &str) -> usize {
        self.op(Op::Param { name: name.into() }, &[])
    }

    pub fn finish(self, output: usize) -> Graph {
        Graph { nodes: self.nodes, output }
    }
}

/// A parameter in f32 at the base learning rate.
pub fn param(name: &str, shape: &[usize], init: Init) -> ParamSpec {
    ParamSpec { name: name.into(), shape: shape.to_vec(), dtype: Precision::F32, init, lr_scale: 1.0 }
}
