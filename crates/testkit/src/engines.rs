//! Losses and gradients by the reference path and by the fast engine, on every CPU level in force.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use tunebench_kernels::SimdLevel;
use tunebench_model::fast::{self, Options, Storage, Workspace};
use tunebench_model::{DropoutKey, ReferenceModel, Tuning, Weights};
use tunebench_spec::Decoder;

use crate::golden::Rows;

/// The levels that this CPU has, up to the one that `TUNEBENCH_CPU` names: all that a test of the fast engine must pass on.
pub fn levels() -> Vec<SimdLevel> {
    let highest = SimdLevel::chosen().unwrap();
    SimdLevel::available().filter(|level| *level <= highest).collect()
}

/// `rows` as a model of the fast engine with so many virtual tokens takes them.
pub fn batch(rows: &Rows, virtual_tokens: usize) -> fast::Batch {
    let examples = rows.tokens.iter().map(Vec::as_slice).zip(rows.is_label.iter().map(Vec::as_slice));
    fast::Batch::new(examples, virtual_tokens).unwrap()
}

/// The same dropout key for `batch` as for its padded rows in [`reference_gradients`].
pub fn key(batch: &fast::Batch) -> DropoutKey {
    DropoutKey::for_batch(11, 2, numbers(batch.examples()), batch.seq_ends())
}

fn numbers(examples: usize) -> Vec<u64> {
    (0..examples as u64).collect()
}

/// Summed loss and gradients by the reference path.
pub fn reference_gradients(
    shape: &Decoder,
    weights: &Weights,
    tuning: &Tuning,
    rows: &Rows,
) -> (f64, BTreeMap<String, Tensor>) {
    let model = ReferenceModel::new(shape, weights, tuning, &Device::Cpu).unwrap();
    let (batch, targets) = rows.batch();
    let key = DropoutKey::new(11, 2, numbers(batch.rows()));
    model.loss_and_gradients(&batch, &targets, &key).unwrap()
}

/// Summed loss and gradients by the fast engine, after a pass that leaves its buffers full.
pub fn fast_gradients<E: Storage>(
    shape: &Decoder,
    weights: &Weights,
    tuning: &Tuning,
    rows: &Rows,
    options: Options,
) -> (f64, BTreeMap<String, Tensor>) {
    let model = fast::Model::<E>::new(shape, weights.clone(), tuning.clone(), options).unwrap();
    let (batch, mut work) = (batch(rows, model.virtual_tokens()), Workspace::default());
    let (key, mut gradients) = (key(&batch), model.gradients());
    model.loss_and_gradients(&batch, &key, &mut gradients, &mut work).unwrap();
    gradients.clear();
    let loss = model.loss_and_gradients(&batch, &key, &mut gradients, &mut work).unwrap();
    let found = model.trained().enumerate().map(|(slot, (name, dims))| {
        let gradient = gradients.get(slot).unwrap_or_else(|| panic!("no gradient of {name}"));
        (name.to_owned(), Tensor::from_slice(gradient, dims, &Device::Cpu).unwrap())
    });
    (loss, found.collect())
}
