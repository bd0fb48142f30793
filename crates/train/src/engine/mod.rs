//! How a step is computed: one interface, an engine each.

mod fast;
mod reference;

use std::borrow::Cow;
use std::collections::BTreeMap;

use tunebench_dataset::Tokenized;
use tunebench_kernels::SimdLevel;
use tunebench_model::fast::Moments;
use tunebench_model::{Tuning, Weights};
use tunebench_spec::{Engine as Kind, ModelShape, Recipe};

use crate::Error;
use crate::batches::{Cut, MicroBatch};

/// The numbers of an optimiser step that all tensors share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step<'a> {
    pub recipe: &'a Recipe,
    /// From 1.
    pub number: u64,
    pub learning_rate: f64,
    /// What gradients are multiplied with: one over the label tokens, times the clipping factor.
    pub gradient_scale: f64,
}

/// What a step's pieces have summed up beside gradients.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sums {
    /// Nats over all labels.
    pub loss: f64,
    pub labels: usize,
    /// Padding and virtual ones excluded.
    pub tokens: u64,
}

/// A model in training.
pub(crate) trait Engine {
    /// The pieces that it wants a step in.
    fn cut(&self) -> Cut;

    /// Computes the pieces of step `step` (from 0): their loss, and the gradients of its sum, kept for [`Engine::update`].
    fn accumulate(
        &mut self,
        examples: &[Tokenized],
        pieces: &[MicroBatch],
        seed: u64,
        step: u64,
    ) -> Result<Sums, Error>;

    /// Euclidean norm over all gradients, in f64; `step` (from 0) is for the message.
    fn grad_norm(&self, step: u64) -> Result<f64, Error>;

    /// Moves what is trained by its gradients.
    fn update(&mut self, step: Step<'_>) -> Result<(), Error>;

    /// Names and shapes of all that is trained.
    fn shapes(&self) -> Vec<(String, Vec<usize>)>;

    /// The numbers of the trained tensor at this place among [`Engine::shapes`], f32.
    fn value(&self, index: usize) -> Result<Cow<'_, [f32]>, tunebench_model::Error>;

    fn moments(&self) -> &BTreeMap<String, Moments>;
}

/// The engine of this kind over a model and where its optimiser stands.
pub(crate) fn new(
    kind: Kind,
    shape: &ModelShape,
    weights: Weights,
    tuning: Tuning,
    moments: BTreeMap<String, Moments>,
    recipe: &Recipe,
) -> Result<Box<dyn Engine>, Error> {
    let level = SimdLevel::chosen()?;
    Ok(match kind {
        Kind::Fast => Box::new(fast::Fast::new(shape, weights, tuning, moments, level, recipe.gradient_checkpointing)?),
        Kind::Reference => Box::new(reference::Reference::new(shape, &weights, &tuning, moments, level)?),
    })
}
