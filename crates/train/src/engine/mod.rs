//! How a step is computed: one interface, an engine each.

mod fast;
mod reference;

use std::borrow::Cow;
use std::collections::BTreeMap;

use tunebench_dataset::Tokenized;
use tunebench_kernels::SimdLevel;
use tunebench_model::{AdamWState, AdamWStates, Tuning, Weights};
use tunebench_spec::{Decoder, Engine as Kind, Recipe};

use crate::Error;
use crate::batches::{BatchLayout, MicroBatch};

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

/// What a step's micro-batches have summed up beside gradients.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StepTotals {
    /// Nats over all labels.
    pub loss: f64,
    pub labels: usize,
    /// Padding and virtual ones excluded.
    pub tokens: u64,
}

/// A model in training.
pub(crate) trait Engine {
    /// The micro-batches that it wants a step in.
    fn layout(&self) -> BatchLayout;

    /// Computes the micro-batches of step `step` (from 0): their loss, and the gradients of its sum, kept for [`Engine::update`].
    fn accumulate(
        &mut self,
        examples: &[Tokenized],
        micro_batches: &[MicroBatch],
        seed: u64,
        step: u64,
    ) -> Result<StepTotals, Error>;

    /// Euclidean norm over all gradients, in f64; `step` (from 0) is for the message.
    fn grad_norm(&self, step: u64) -> Result<f64, Error>;

    /// Moves what is trained by its gradients.
    fn update(&mut self, step: Step<'_>) -> Result<(), Error>;

    /// Names and shapes of all that is trained.
    fn shapes(&self) -> Vec<(String, Vec<usize>)>;

    /// The numbers of the trained tensor at this place among [`Engine::shapes`], f32.
    fn value(&self, index: usize) -> Result<Cow<'_, [f32]>, tunebench_model::Error>;

    /// The optimizer's state of each trained tensor, by name; nothing before the first update.
    fn adamw_states(&self) -> BTreeMap<&str, &AdamWState>;
}

/// The engine of this kind over a model and where its optimiser stands.
pub(crate) fn new(
    kind: Kind,
    shape: &Decoder,
    weights: Weights,
    tuning: Tuning,
    states: AdamWStates,
    recipe: &Recipe,
) -> Result<Box<dyn Engine>, Error> {
    let level = SimdLevel::chosen()?;
    Ok(match kind {
        Kind::Fast => Box::new(fast::Fast::new(shape, weights, tuning, states, level, recipe.gradient_checkpointing)?),
        Kind::Reference => Box::new(reference::Reference::new(shape, &weights, &tuning, states, level)?),
    })
}
