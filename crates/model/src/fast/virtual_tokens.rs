//! Virtual tokens in the fast engine: places in front of every example, filled from one value a pass, and the gradient
//! of that value summed over examples and led through its maths by candle.
//!
//! Letters in shapes: `c` virtual tokens, `w` numbers of each.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use tunebench_kernels::attention::Heads;
use tunebench_spec::{Graph, VirtualKind};

use super::graph::{Params, collect, flat, rounded, values, variables};
use super::values::{Gradients, Storage, Trained};
use crate::Error;
use crate::dropout::Draw;
use crate::graph::attach::seeded;
use crate::graph::site::{self, Dropout, Inputs};

/// Virtual tokens of a model.
pub(super) struct VirtualTokens {
    pub kind: VirtualKind,
    pub count: usize,
    /// After those of all sites; keys their dropout.
    pub number: u64,
    pub graph: Graph,
    pub params: Params,
}

/// Their value in one pass, `[c, w]`.
pub(super) struct Front<E> {
    kind: VirtualKind,
    count: usize,
    values: Vec<E>,
}

/// A part of the value, and where it stands in rows of numbers: columns of either.
struct Place {
    /// Columns in a row.
    row: usize,
    at: usize,
    /// Of the value.
    from: usize,
    len: usize,
}

impl VirtualTokens {
    pub fn front<E: Storage>(&self, trained: &[Trained<E>], draw: Option<&Draw>) -> Result<Front<E>, Error> {
        let params = values(&self.params, trained)?;
        let value = flat(&self.run(&params, draw)?)?.into_iter().map(E::from_f32).collect();
        Ok(Front { kind: self.kind, count: self.count, values: value })
    }

    /// Adds the gradients of the parameters, from that of the value, `[c, w]`.
    pub fn backward<E: Storage>(
        &self,
        trained: &[Trained<E>],
        draw: Option<&Draw>,
        gradient: &[f32],
        gradients: &mut Gradients,
    ) -> Result<(), Error> {
        let vars = variables(&self.params, trained)?;
        let value = self.run(&rounded(&self.params, &vars)?, draw)?;
        let gradient = Tensor::from_slice(gradient, value.dims(), &Device::Cpu)?;
        collect(&self.params, &vars, &seeded(&value, gradient)?.backward()?, gradients)
    }

    fn run(&self, params: &BTreeMap<String, Tensor>, draw: Option<&Draw>) -> Result<Tensor, Error> {
        let dropout = Dropout::of(draw, self.number);
        Ok(site::run(&self.graph, &Inputs { x: None, weight: None, params, dropout })?.contiguous()?)
    }
}

impl<E: Storage> Front<E> {
    /// Writes embeddings over those of the places in front, in `x [n, d]`.
    pub fn put_embeddings(&self, ends: &[usize], d: usize, x: &mut [E]) {
        if let Some(place) = self.in_embeddings(d) {
            self.put(&place, ends, x);
        }
    }

    /// Takes the gradient of embeddings out of `dx [n, d]`, which is 0 there then, and adds it to `sum [c, w]`.
    pub fn take_embeddings(&self, ends: &[usize], d: usize, dx: &mut [f32], sum: &mut [f32]) {
        if let Some(place) = self.in_embeddings(d) {
            self.take(&place, ends, dx, sum);
        }
    }

    /// Writes keys and values over those of the places in front, in `qkv [n, (h+2k) e]` of layer `layer`.
    pub fn put_keys_values(&self, layer: usize, heads: Heads, ends: &[usize], qkv: &mut [E]) {
        if let Some(place) = self.in_layer(layer, heads) {
            self.put(&place, ends, qkv);
        }
    }

    /// Takes the gradient of keys and values out of `d_qkv`, which is 0 there then, and adds it to `sum [c, w]`.
    pub fn take_keys_values(&self, layer: usize, heads: Heads, ends: &[usize], d_qkv: &mut [E], sum: &mut [f32]) {
        if let Some(place) = self.in_layer(layer, heads) {
            self.take(&place, ends, d_qkv, sum);
        }
    }

    /// Numbers of the value, `c w`.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether what it holds is trained in every layer, not below the first.
    pub fn is_in_layers(&self) -> bool {
        self.kind == VirtualKind::KeysValues
    }

    fn in_embeddings(&self, d: usize) -> Option<Place> {
        (!self.is_in_layers()).then_some(Place { row: d, at: 0, from: 0, len: d })
    }

    fn in_layer(&self, layer: usize, Heads { heads: h, kv_heads: k, head_dim: e }: Heads) -> Option<Place> {
        let len = 2 * k * e;
        self.is_in_layers().then_some(Place { row: (h + 2 * k) * e, at: h * e, from: layer * len, len })
    }

    fn put(&self, place: &Place, ends: &[usize], to: &mut [E]) {
        let width = self.values.len() / self.count;
        for (row, token) in self.rows(ends) {
            to[row * place.row + place.at..][..place.len]
                .copy_from_slice(&self.values[token * width + place.from..][..place.len]);
        }
    }

    fn take<O: Storage>(&self, place: &Place, ends: &[usize], from: &mut [O], sum: &mut [f32]) {
        let width = self.values.len() / self.count;
        for (row, token) in self.rows(ends) {
            let from = &mut from[row * place.row + place.at..][..place.len];
            let sum = &mut sum[token * width + place.from..][..place.len];
            for (sum, from) in sum.iter_mut().zip(from) {
                *sum += from.to_f32();
                *from = O::default();
            }
        }
    }

    /// The rows in front of all examples, each with the virtual token that stands there.
    fn rows(&self, ends: &[usize]) -> impl Iterator<Item = (usize, usize)> {
        let starts = std::iter::once(0).chain(ends.iter().copied()).take(ends.len());
        let count = self.count;
        starts.flat_map(move |start| (0..count).map(move |token| (start + token, token)))
    }
}
