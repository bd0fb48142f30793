//! Records what a tuner does to opaque handles as a [`Graph`], checking shapes as it goes. No tensor exists yet.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use abi_stable::std_types::{RErr, ROk, RSlice, RStr};
use tunebench_plugin_api::abi::{AbiError, AbiOps, AbiResult, Handle, code};
use tunebench_spec::graph::show_shape;
use tunebench_spec::shapes::{SiteShape, infer};
use tunebench_spec::{Dim, Graph, Node, Op};

use crate::operations;

/// One recording. Handles carry its number, so that one kept from another recording is found out.
pub struct Recorder<'a> {
    label: &'a str,
    site: SiteShape<'a>,
    generation: u32,
    nodes: Mutex<Vec<Node>>,
}

/// A site needs a handful of operations; a plugin in an endless loop is stopped here.
const MOST_NODES: usize = 4096;

static GENERATION: AtomicU32 = AtomicU32::new(1);

impl<'a> Recorder<'a> {
    /// `label` names the site in errors.
    pub fn new(label: &'a str, site: SiteShape<'a>) -> Self {
        let generation = GENERATION.fetch_add(1, Ordering::Relaxed);
        Self { label, site, generation, nodes: Mutex::new(Vec::new()) }
    }

    /// The handle of the site's input, `[t, in]`.
    pub fn input(&self) -> Result<Handle, String> {
        self.push(Op::Input, vec![])
    }

    /// Ends the recording: the part of it that `output` needs.
    pub fn finish(self, output: Handle, expected: &[Dim]) -> Result<Graph, String> {
        let output = self.index(output)?;
        let nodes = self.nodes.into_inner().map_err(|_| "the recording broke off".to_owned())?;
        let found = &nodes[output].shape;
        if found != expected {
            return Err(format!("the result is {}, expected {}", show_shape(found), show_shape(expected)));
        }
        Ok(prune(&nodes, output))
    }

    fn index(&self, handle: Handle) -> Result<usize, String> {
        let (generation, index) = ((handle.0 >> 32) as u32, (handle.0 & 0xffff_ffff) as usize);
        let count = self.nodes.lock().map_or(0, |nodes| nodes.len());
        if generation != self.generation || index >= count {
            return Err("a value of another recording was used; keep no handles between calls".into());
        }
        Ok(index)
    }

    fn push(&self, op: Op, inputs: Vec<usize>) -> Result<Handle, String> {
        let mut nodes = self.nodes.lock().map_err(|_| "the recording broke off".to_owned())?;
        if nodes.len() >= MOST_NODES {
            return Err(format!("more than {MOST_NODES} operations at one site"));
        }
        let shapes: Vec<&[Dim]> = inputs.iter().map(|&i| nodes[i].shape.as_slice()).collect();
        let shape = infer(&op, &shapes, &self.site)?;
        nodes.push(Node { op, inputs, shape });
        Ok(Handle(u64::from(self.generation) << 32 | (nodes.len() - 1) as u64))
    }

    fn apply(&self, name: &str, version: u32, inputs: &[Handle], attributes: &str) -> Result<Handle, String> {
        let op = operations::parse(name, version, attributes)?;
        let inputs = inputs.iter().map(|h| self.index(*h)).collect::<Result<_, _>>()?;
        self.push(op, inputs)
    }

    /// Host code under a plugin must not unwind into it.
    fn guarded<T>(&self, f: impl FnOnce() -> Result<T, String>) -> AbiResult<T> {
        match catch_unwind(AssertUnwindSafe(f)) {
            Ok(Ok(value)) => ROk(value),
            Ok(Err(reason)) => RErr(AbiError::new(code::REFUSED, &format!("{}: {reason}", self.label))),
            Err(_) => RErr(AbiError::new(code::PANIC, &format!("{}: the host failed while recording", self.label))),
        }
    }
}

impl AbiOps for Recorder<'_> {
    fn has_op(&self, name: RStr<'_>, version: u32) -> bool {
        operations::is_known(&lossy(&name), version)
    }

    fn call(
        &self,
        name: RStr<'_>,
        version: u32,
        inputs: RSlice<'_, Handle>,
        attributes: RStr<'_>,
    ) -> AbiResult<Handle> {
        self.guarded(|| self.apply(&lossy(&name), version, inputs.as_slice(), &lossy(&attributes)))
    }
}

/// Text of a plugin, which is not trusted to be UTF-8 whatever its type says.
fn lossy<'a>(text: &'a RStr<'_>) -> Cow<'a, str> {
    String::from_utf8_lossy(text.as_bytes())
}

/// The nodes that `output` depends on, in order.
fn prune(nodes: &[Node], output: usize) -> Graph {
    let mut needed = vec![false; nodes.len()];
    let mut stack = vec![output];
    while let Some(i) = stack.pop() {
        needed[i] = true;
        stack.extend(nodes[i].inputs.iter().copied().filter(|&j| !needed[j]));
    }
    let mut new_index = vec![0; nodes.len()];
    let mut kept = Vec::new();
    for (i, node) in nodes.iter().enumerate().filter(|(i, _)| needed[*i]) {
        new_index[i] = kept.len();
        let inputs = node.inputs.iter().map(|&j| new_index[j]).collect();
        kept.push(Node { inputs, ..node.clone() });
    }
    Graph { output: new_index[output], nodes: kept }
}
