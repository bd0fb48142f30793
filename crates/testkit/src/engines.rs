//! Losses and gradients by the reference path and by the fast engine, on every CPU level in force.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use tunebench_kernels::Level;
use tunebench_model::fast::{self, Options, Storage, Workspace};
use tunebench_model::{Draw, ReferenceModel, Tuning, Weights};
use tunebench_spec::Decoder;

use crate::golden::Rows;

/// The levels that this CPU has, up to the one that `TUNEBENCH_CPU` names: all that a test of the fast engine must pass on.
pub fn levels() -> Vec<Level> {
    let highest = Level::chosen().unwrap();
    Level::available().filter(|level| *level <= highest).collect()
}

/// Dropout of a step for so many examples.
pub fn draw(examples: usize) -> Draw {
    Draw { seed: 11, step: 2, rows: (0..examples as u64).collect(), ends: vec![] }
}

/// `rows` as the fast engine takes them.
pub fn batch(rows: &Rows) -> fast::Batch {
    let mut batch = fast::Batch::new();
    for (tokens, is_label) in rows.tokens.iter().zip(&rows.is_label) {
        batch.push(tokens, is_label).unwrap();
    }
    batch
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
    model.loss_and_gradients(&batch, &targets, &draw(batch.rows())).unwrap()
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
    let (batch, mut work, mut gradients) = (batch(rows), Workspace::default(), model.gradients());
    model.loss_and_gradients(&batch, &draw(batch.examples()), &mut gradients, &mut work).unwrap();
    gradients.clear();
    let loss = model.loss_and_gradients(&batch, &draw(batch.examples()), &mut gradients, &mut work).unwrap();
    let found = model.trained().enumerate().map(|(slot, (name, dims))| {
        let gradient = gradients.get(slot).unwrap_or_else(|| panic!("no gradient of {name}"));
        (name.to_owned(), Tensor::from_slice(gradient, dims, &Device::Cpu).unwrap())
    });
    (loss, found.collect())
}
