//! What of a model is not trained, seen as one number: that it stays is part of every training's receipt.

use tunebench_kernels::fingerprint::fingerprint;

use super::embedding::Table;
use super::fused_linear::FusedLinear;
use super::linear::{LinearWeight, Map};
use super::model::Model;
use super::norm::{Norm, NormKind};
use super::storage::Storage;
use super::trained::Vector;

impl<E: Storage> Model<E> {
    /// A number that stays as long as no frozen tensor changes, as products on this machine read them.
    pub fn frozen_fingerprint(&self) -> u64 {
        let mut found = Found(Vec::new());
        found.tables([&self.embedding.tokens]);
        found.tables(self.embedding.positions.iter().map(|positions| &positions.table));
        found.norms(&self.embedding.norm);
        for layer in &self.layers {
            let (attention, mlp) = (&layer.attention_norms, &layer.mlp_norms);
            found.norms([&attention.before, &mlp.before].into_iter().chain(&attention.after).chain(&mlp.after));
            found.vectors(layer.attention.qk_norm.iter().flat_map(|norm| [&norm.q, &norm.k]));
            let mlp = &layer.mlp;
            for linear in [&layer.attention.qkv, &layer.attention.o, &mlp.gate_up, &mlp.down] {
                found.linears(linear);
            }
        }
        found.norms([&self.head.norm]);
        found.linears(&self.head.linear);
        fingerprint(&found.0)
    }
}

/// Fingerprints of tensors, cut into numbers that f32 holds exactly.
struct Found(Vec<f32>);

impl Found {
    fn put(&mut self, fingerprint: u64) {
        self.0.extend(fingerprint.to_le_bytes().map(f32::from));
    }

    fn numbers<E: Storage>(&mut self, values: &[E]) {
        self.put(fingerprint(values));
    }

    fn tables<'a, E: Storage>(&mut self, tables: impl IntoIterator<Item = &'a Table<E>>) {
        for table in tables {
            if let Table::Frozen(matrix) = table {
                self.put(matrix.fingerprint());
            }
        }
    }

    fn norms<'a>(&mut self, norms: impl IntoIterator<Item = &'a Norm>) {
        for norm in norms {
            self.vectors([&norm.weight]);
            if let NormKind::Layer { bias } = &norm.kind {
                self.vectors([bias]);
            }
        }
    }

    fn vectors<'a>(&mut self, vectors: impl IntoIterator<Item = &'a Vector>) {
        for vector in vectors {
            if let Vector::Frozen(values) = vector {
                self.numbers(values);
            }
        }
    }

    fn linears<E: Storage>(&mut self, fused: &FusedLinear<E>) {
        for linear in fused.linears() {
            match &linear.map {
                Map::Graph(site) => self.put(site.weight.fingerprint()),
                Map::Product { weight: LinearWeight::Frozen(matrix), .. } => self.put(matrix.fingerprint()),
                Map::Product { weight: LinearWeight::Packed { fwd, bwd }, .. } => {
                    self.put(fwd.fingerprint());
                    bwd.iter().for_each(|bwd| self.put(bwd.fingerprint()));
                }
                Map::Product { weight: LinearWeight::Trained(_), .. } => {}
            }
            self.vectors(&linear.bias);
        }
    }
}
