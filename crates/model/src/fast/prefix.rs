//! Virtual tokens in the fast engine: a prefix of every example, filled from one value a pass, and the gradient of that
//! value summed over examples and led through its graph by candle.
//!
//! Letters in shapes: `c` virtual tokens, `w` numbers of each.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use tunebench_kernels::attention::Heads;
use tunebench_spec::{Graph, VirtualKind};

use super::gradients::Gradients;
use super::graph_params::{GraphParams, flat};
use super::storage::Storage;
use super::trained::TrainedTensor;
use crate::Error;
use crate::dropout::{DropoutKey, SiteId};
use crate::graph::attach::seeded;
use crate::graph::site::{self, Dropout, Inputs};

/// Virtual tokens of a model: how their value is computed.
pub(super) struct VirtualTokens {
    pub kind: VirtualKind,
    pub count: usize,
    pub id: SiteId,
    pub graph: Graph,
    pub params: GraphParams,
}

/// Their value in one pass, `[c, w]`.
pub(super) struct Prefix<E> {
    kind: VirtualKind,
    count: usize,
    values: Vec<E>,
}

/// Some columns of the value, and the columns of an activation's rows that hold them.
struct Columns {
    /// Columns of a row of the activation, and the first of those that are meant.
    row: usize,
    first: usize,
    /// The first of the value's.
    value_first: usize,
    count: usize,
}

impl VirtualTokens {
    /// Their value with the current parameters.
    pub fn prefix<E: Storage>(
        &self,
        trained: &[TrainedTensor<E>],
        key: Option<&DropoutKey>,
    ) -> Result<Prefix<E>, Error> {
        let params = self.params.values(trained)?;
        let values = flat(&self.run(&params, key)?)?.into_iter().map(E::from_f32).collect();
        Ok(Prefix { kind: self.kind, count: self.count, values })
    }

    /// Adds the gradients of the parameters, from that of the value, `[c, w]`.
    pub fn backward<E: Storage>(
        &self,
        trained: &[TrainedTensor<E>],
        key: Option<&DropoutKey>,
        gradient: &[f32],
        gradients: &mut Gradients,
    ) -> Result<(), Error> {
        let vars = self.params.variables(trained)?;
        let value = self.run(&self.params.rounded(&vars)?, key)?;
        let gradient = Tensor::from_slice(gradient, value.dims(), &Device::Cpu)?;
        self.params.add_gradients(&vars, &seeded(&value, gradient)?.backward()?, gradients)
    }

    fn run(&self, params: &BTreeMap<String, Tensor>, key: Option<&DropoutKey>) -> Result<Tensor, Error> {
        let dropout = Dropout::of(key, self.id);
        Ok(site::run(&self.graph, &Inputs { x: None, weight: None, params, dropout })?.contiguous()?)
    }
}

impl<E: Storage> Prefix<E> {
    /// Writes the prefix's embeddings over those in `x [n, d]`.
    pub fn put_embeddings(&self, seq_ends: &[usize], d: usize, x: &mut [E]) {
        if let Some(columns) = self.in_embeddings(d) {
            self.put(&columns, seq_ends, x);
        }
    }

    /// Moves the gradient of the prefix's embeddings out of `dx [n, d]`, which is 0 there then, into `sum [c, w]`.
    pub fn take_embeddings(&self, seq_ends: &[usize], d: usize, dx: &mut [f32], sum: &mut [f32]) {
        if let Some(columns) = self.in_embeddings(d) {
            self.take(&columns, seq_ends, dx, sum);
        }
    }

    /// Writes the prefix's keys and values over those in `qkv [n, (h+2k) e]` of layer `layer`.
    pub fn put_keys_values(&self, layer: usize, heads: Heads, seq_ends: &[usize], qkv: &mut [E]) {
        if let Some(columns) = self.in_layer(layer, heads) {
            self.put(&columns, seq_ends, qkv);
        }
    }

    /// Moves the gradient of the prefix's keys and values out of `d_qkv`, which is 0 there then, into `sum [c, w]`.
    pub fn take_keys_values(&self, layer: usize, heads: Heads, seq_ends: &[usize], d_qkv: &mut [E], sum: &mut [f32]) {
        if let Some(columns) = self.in_layer(layer, heads) {
            self.take(&columns, seq_ends, d_qkv, sum);
        }
    }

    /// Numbers of the value, `c w`.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether it is keys and values in every layer, not embeddings below the first.
    pub fn is_in_layers(&self) -> bool {
        self.kind == VirtualKind::KeysValues
    }

    fn in_embeddings(&self, d: usize) -> Option<Columns> {
        (!self.is_in_layers()).then_some(Columns { row: d, first: 0, value_first: 0, count: d })
    }

    fn in_layer(&self, layer: usize, Heads { heads: h, kv_heads: k, head_dim: e }: Heads) -> Option<Columns> {
        let count = 2 * k * e;
        let columns = Columns { row: (h + 2 * k) * e, first: h * e, value_first: layer * count, count };
        self.is_in_layers().then_some(columns)
    }

    fn put(&self, columns: &Columns, seq_ends: &[usize], to: &mut [E]) {
        let width = self.values.len() / self.count;
        for (row, token) in self.rows(seq_ends) {
            to[row * columns.row + columns.first..][..columns.count]
                .copy_from_slice(&self.values[token * width + columns.value_first..][..columns.count]);
        }
    }

    fn take<O: Storage>(&self, columns: &Columns, seq_ends: &[usize], from: &mut [O], sum: &mut [f32]) {
        let width = self.values.len() / self.count;
        for (row, token) in self.rows(seq_ends) {
            let from = &mut from[row * columns.row + columns.first..][..columns.count];
            let sum = &mut sum[token * width + columns.value_first..][..columns.count];
            for (sum, from) in sum.iter_mut().zip(from) {
                *sum += from.to_f32();
                *from = O::default();
            }
        }
    }

    /// The rows of the prefixes of all examples, each with the virtual token that it is.
    fn rows(&self, seq_ends: &[usize]) -> impl Iterator<Item = (usize, usize)> {
        let starts = std::iter::once(0).chain(seq_ends.iter().copied()).take(seq_ends.len());
        let count = self.count;
        starts.flat_map(move |start| (0..count).map(move |token| (start + token, token)))
    }
}
