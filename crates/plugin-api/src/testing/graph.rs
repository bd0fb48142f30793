//! Records what a tuner does to opaque handles, checking shapes as it goes. No number exists yet.

use std::cell::RefCell;

use super::op::Op;
use super::shapes::{infer, show};
use crate::abi::Handle;
use crate::tuner::HostOps;
use crate::{Dim, Error, Ops, Result, Site, Tensor};

/// An operation, the earlier nodes it reads, and the shape it yields.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub op: Op,
    pub inputs: Vec<usize>,
    pub shape: Vec<Dim>,
}

/// A recorded computation; `output` is the node whose value it yields.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    pub nodes: Vec<Node>,
    pub output: usize,
}

/// A site needs a handful of operations; a tuner in an endless loop is stopped here.
const MOST_NODES: usize = 4096;

struct Recorder<'a> {
    site: &'a Site,
    n_params: usize,
    nodes: RefCell<Vec<Node>>,
}

impl Recorder<'_> {
    fn push(&self, op: Op, inputs: Vec<usize>) -> std::result::Result<Handle, String> {
        let mut nodes = self.nodes.borrow_mut();
        if nodes.len() >= MOST_NODES {
            return Err(format!("more than {MOST_NODES} operations at one site"));
        }
        let shapes: Vec<&[Dim]> = inputs.iter().map(|&i| nodes[i].shape.as_slice()).collect();
        let shape = infer(&op, &shapes, self.site, self.n_params)?;
        nodes.push(Node { op, inputs, shape });
        Ok(Handle(nodes.len() as u64 - 1))
    }
}

impl HostOps for Recorder<'_> {
    fn has_op(&self, name: &str, version: u32) -> bool {
        Op::is_known(name, version)
    }

    fn call(&self, name: &str, version: u32, inputs: &[Handle], attributes: &str) -> Result<Handle> {
        if !Op::is_known(name, version) {
            return Err(Error::new(format!("there is no operation `{name}` in version {version}")));
        }
        let inputs = inputs.iter().map(|handle| handle.0 as usize).collect();
        Op::parse(name, attributes).and_then(|op| self.push(op, inputs)).map_err(Error::new)
    }
}

/// What `call` does at a site with an input: it must yield `expected`.
pub fn record(
    site: &Site,
    expected: &[Dim],
    call: impl for<'o> FnOnce(&'o Ops<'o>, Tensor<'o>) -> Result<Tensor<'o>>,
) -> Result<Graph> {
    let recorder = Recorder { site, n_params: site.params.len(), nodes: RefCell::default() };
    let x = recorder.push(Op::Input, vec![])?;
    let graph = traced(recorder, expected, |ops| call(ops, ops.wrap(x)).map(Some))?;
    graph.ok_or_else(|| Error::new("nothing was recorded"))
}

/// As [`record`], where there is no input and only the first `n_params` parameters.
pub fn record_without_input(
    site: &Site,
    n_params: usize,
    expected: &[Dim],
    call: impl for<'o> FnOnce(&'o Ops<'o>) -> Result<Option<Tensor<'o>>>,
) -> Result<Option<Graph>> {
    traced(Recorder { site, n_params, nodes: RefCell::default() }, expected, call)
}

fn traced(
    recorder: Recorder<'_>,
    expected: &[Dim],
    call: impl for<'o> FnOnce(&'o Ops<'o>) -> Result<Option<Tensor<'o>>>,
) -> Result<Option<Graph>> {
    let output = {
        let ops = Ops::new(&recorder);
        let result = call(&ops).map(|output| output.map(|tensor| tensor.handle().0 as usize));
        // The first fault of an operation, whatever the tuner made of it.
        match ops.fault() {
            Some(fault) => return Err(fault),
            None => result?,
        }
    };
    let Some(output) = output else { return Ok(None) };
    let nodes = recorder.nodes.into_inner();
    let found = &nodes[output].shape;
    if found != expected {
        return Err(Error::new(format!("the result is {}, expected {}", show(found), show(expected))));
    }
    Ok(Some(Graph { nodes, output }))
}
