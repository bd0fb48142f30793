//! What trains and answers: one interface, and every way of computing under the name by which studies choose it.
//!
//! A backend is made here and nowhere else; the loop of `train` and the batching of `generate` know the traits alone.

mod card;
mod cuda;
mod cuda_memory;
mod divided;
mod fast;
mod fast_divided;
mod reference;
mod reference_divided;
mod registry;
mod step;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use tunebench_kernels::machine::memory::{self, MemoryLimit};
use tunebench_spec::Decoder;
use tunebench_spec::plan::RecordedPlan;

use crate::memory_need::MemoryNeed;
use crate::optim::{AdamWState, AdamWStates};
use crate::weights::QuantisedWeights;
use crate::{Error, Tuning, Weights};

pub use cuda::Cuda;
pub use divided::{Divided, Moment};
pub use registry::{ALL, FAST, REFERENCE, named};
pub use step::OptimizerStep;

/// A way of computing a model: any that a decoder can say. All of them mean the same numbers and differ by rounding.
pub trait Backend: fmt::Debug + Send + Sync {
    /// As `--engine` and the frames spell it.
    fn name(&self) -> &'static str;

    /// As `--engine` takes it: the name, and behind it which device of several.
    fn argument(&self) -> String {
        self.name().to_owned()
    }

    /// What it computes in, in words.
    fn precision(&self) -> &'static str;

    /// What a training step takes at its peak, where that can be said.
    fn training_memory(
        &self,
        shape: &Decoder,
        recorded: &RecordedPlan,
        quantised: &QuantisedWeights,
        size: StepSize,
        recompute: bool,
    ) -> Option<MemoryNeed>;

    /// What a model of this shape takes to answer, without an adapter: `rows` texts at once, each of at most `tokens` tokens.
    fn answering_memory(&self, shape: &Decoder, quantised: &QuantisedWeights, rows: usize, tokens: usize)
    -> MemoryNeed;

    /// Bytes that a base takes which is kept for the next model over it ([`Weights::kept`]), beside its plain numbers as they were
    /// read and what training takes that reads it anew; none where it is better let go: a model that trains matrices of it, or
    /// whose plain numbers are many, needs the memory.
    fn kept_base(
        &self,
        shape: &Decoder,
        recorded: &RecordedPlan,
        quantised: &QuantisedWeights,
        recompute: bool,
    ) -> Option<u64> {
        let _ = (shape, recorded, quantised, recompute);
        None
    }

    /// The most that either may be: what this process may have, or a device of its own; none where that is not known.
    fn memory_limit(&self) -> Option<MemoryLimit> {
        memory::limit()
    }

    /// What of it is free now.
    fn memory_free(&self) -> Option<u64> {
        memory::available()
    }

    /// Whether it computes on a device of its own, of which processes side by side win nothing.
    fn has_device(&self) -> bool {
        false
    }

    /// A model in training, and where its optimizer stands.
    ///
    /// # Errors
    /// When weights and tuning do not fit, or the SIMD level that was asked for is not there.
    fn trainable(&self, parts: Parts<'_>, states: AdamWStates, recompute: bool) -> Result<Box<dyn Trainable>, Error>;

    /// A model that answers: adapters run beside their weights, unmerged.
    ///
    /// # Errors
    /// As [`Backend::trainable`].
    fn generator(&self, parts: Parts<'_>) -> Result<Box<dyn Generator>, Error>;

    /// Why a model that is tuned so cannot be one of those of [`Backend::grouped_generator`], in words that follow its name;
    /// nothing where it can.
    fn grouping_refusal(&self, _recorded: &RecordedPlan) -> Option<String> {
        Some(format!("the engine `{}` answers by one adapter at a time", self.name()))
    }

    /// A model that answers by several adapters over one base at once, each row by its own ([`PromptRow::adapter`], a number
    /// among `tunings`): the base is read once a step for all of them. Each row has the bytes of the model with its adapter
    /// alone.
    ///
    /// # Errors
    /// As [`Backend::generator`]; [`Error::Plan`] where a tuning is refused.
    fn grouped_generator(
        &self,
        _shape: &Decoder,
        _weights: Weights,
        tunings: Vec<Tuning>,
    ) -> Result<Box<dyn Generator>, Error> {
        let refused = tunings.iter().enumerate().find_map(|(i, of)| Some((i, self.grouping_refusal(of.recorded())?)));
        let (number, fault) = refused.unwrap_or_else(|| (0, "this engine has no such model".to_owned()));
        Err(Error::Plan { weight: format!("adapter {number}"), fault })
    }
}

/// How much is computed at once in a training step, virtual tokens included.
#[derive(Clone, Copy, Debug)]
pub struct StepSize {
    pub tokens: usize,
    /// Of the longest example.
    pub longest: usize,
    /// Tokens of a pass between steps that measures a loss, and learns nothing; 0 where none is measured.
    pub measured: usize,
}

/// What a model is put together from.
pub struct Parts<'a> {
    pub shape: &'a Decoder,
    pub weights: Weights,
    pub tuning: Tuning,
}

/// One example of a micro-batch.
#[derive(Clone, Copy, Debug)]
pub struct Sequence<'a> {
    pub tokens: &'a [u32],
    /// Of each token, whether it is to be predicted.
    pub is_label: &'a [bool],
    /// Its number within the step, which keys its dropout.
    pub step_index: u64,
}

/// Which step is computed, and what is drawn in it.
#[derive(Clone, Copy, Debug)]
pub struct StepKey {
    pub seed: u64,
    /// From 0.
    pub step: u64,
}

/// What micro-batches have summed up beside gradients.
#[derive(Clone, Copy, Debug, Default)]
pub struct StepTotals {
    /// Nats over all labels.
    pub loss: f64,
    pub labels: usize,
    /// Padding and virtual ones excluded.
    pub tokens: u64,
}

/// How a backend lays out a micro-batch of at most so many tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchLayout {
    /// Rows padded to the longest: padding counts, so rows of similar length are together.
    Padded,
    /// Examples end to end (varlen): there is no padding, and they stay in the order of the step.
    Packed,
}

/// A model in training.
pub trait Trainable: Divided {
    fn layout(&self) -> BatchLayout;

    /// Forgets the gradients.
    fn zero_grad(&mut self);

    /// Adds the gradients of the loss's sum over these micro-batches, in their order, and says what they summed up.
    ///
    /// # Errors
    /// When a token is not in the vocabulary.
    fn accumulate(&mut self, micro_batches: &[Vec<Sequence<'_>>], key: StepKey) -> Result<StepTotals, Error>;

    /// What these micro-batches sum up as the model stands: nothing is dropped, and gradients and optimizer stay as they
    /// are. A model in which nothing is trained has a loss, too.
    ///
    /// # Errors
    /// As [`Trainable::accumulate`].
    fn loss(&mut self, micro_batches: &[Vec<Sequence<'_>>]) -> Result<StepTotals, Error> {
        let mut loss = 0.0;
        let totals = self.losses(micro_batches, &mut |term| loss += term)?;
        Ok(StepTotals { loss, ..totals })
    }

    /// The terms that [`Trainable::loss`] adds up, in their order; what is returned has no loss yet. The terms of some
    /// micro-batches and then of others are those of all of them.
    ///
    /// # Errors
    /// As [`Trainable::accumulate`].
    fn losses(
        &mut self,
        micro_batches: &[Vec<Sequence<'_>>],
        term: &mut (dyn FnMut(f64) + Send),
    ) -> Result<StepTotals, Error>;

    /// Shows the gradient of every trained tensor in the order of [`Trainable::params`], f32 and row-major, to be read or
    /// changed. One that nothing has reached yet is zero, and counts as reached.
    ///
    /// # Errors
    /// When a gradient cannot be brought from its device.
    fn visit_gradients(&mut self, visit: &mut dyn FnMut(&str, &mut [f32])) -> Result<(), Error>;

    /// Euclidean norm over all gradients, in f64.
    ///
    /// # Errors
    /// [`Error::BadGradient`] names one that is not finite.
    fn grad_norm(&self) -> Result<f64, Error>;

    /// Euclidean norm of the gradient of each trained tensor, in the order of [`Trainable::params`]; none of one that nothing
    /// has reached.
    ///
    /// # Errors
    /// When a gradient cannot be brought from its device.
    fn gradient_norms(&self) -> Result<Vec<Option<f64>>, Error>;

    /// A number that stays as long as no frozen tensor changes, as this engine holds them on this machine.
    ///
    /// # Errors
    /// When a tensor cannot be brought from its device.
    fn frozen_fingerprint(&self) -> Result<u64, Error>;

    /// Moves what is trained by its gradients.
    ///
    /// # Errors
    /// [`Error::NoGradient`] names a tensor that has none: it was lost, and what it belongs to would never move.
    fn update(&mut self, step: &OptimizerStep) -> Result<(), Error>;

    /// Names and shapes of all that is trained.
    fn params(&self) -> Vec<(String, Vec<usize>)>;

    /// The numbers of the trained tensor at this index among [`Trainable::params`], f32.
    ///
    /// # Errors
    /// When they cannot be brought from their device.
    fn value(&self, index: usize) -> Result<Cow<'_, [f32]>, Error>;

    /// Where the optimizer stands; nothing before the first step.
    fn adamw_states(&self) -> BTreeMap<&str, &AdamWState>;
}

/// A model that answers.
pub trait Generator: Send + Sync {
    fn shape(&self) -> &Decoder;

    /// Positions for a prompt and its answer: the model's without those of virtual tokens.
    fn positions(&self) -> usize;

    /// Whether a row's logits are the same bytes whatever rows stand beside it, so that an answer does not depend on the
    /// company it was made in.
    fn has_independent_rows(&self) -> bool;

    /// How many adapters its rows choose from; 1 where it is one model.
    fn adapters(&self) -> usize {
        1
    }

    /// What of its weights is held quantised.
    fn quantised(&self) -> &QuantisedWeights;

    /// No rows yet.
    fn rows(&self) -> Box<dyn Rows + '_>;
}

/// A prompt that becomes a row.
#[derive(Clone, Copy, Debug)]
pub struct PromptRow<'a> {
    pub tokens: &'a [u32],
    /// The number of the adapter that answers it, among [`Generator::adapters`].
    pub adapter: usize,
}

impl<'a> From<&'a [u32]> for PromptRow<'a> {
    /// By the first adapter, which is all there is of one model.
    fn from(tokens: &'a [u32]) -> Self {
        Self { tokens, adapter: 0 }
    }
}

impl AsRef<[u32]> for PromptRow<'_> {
    fn as_ref(&self) -> &[u32] {
        self.tokens
    }
}

/// Texts that grow, each by a token a step. Logits are `[rows, v]`, row after row.
pub trait Rows {
    /// Adds the prompts as rows; `logits` becomes what comes after each of them.
    ///
    /// # Errors
    /// When a prompt is empty, has a token that the model does not know, or an adapter that is not there.
    fn prefill(&mut self, prompts: &[PromptRow<'_>], logits: &mut Vec<f32>) -> Result<(), Error>;

    /// As [`Rows::prefill`], and shows the logits after every token of the prompts, some at a time: `each` is told the number
    /// of the first, counted over the prompts end to end, and `[m, v]` of it and those behind it.
    ///
    /// # Errors
    /// As [`Rows::prefill`].
    fn prefill_scored(
        &mut self,
        prompts: &[PromptRow<'_>],
        each: &mut (dyn FnMut(usize, &[f32]) + Send),
        logits: &mut Vec<f32>,
    ) -> Result<(), Error>;

    /// Gives each row its next token; `logits` becomes what comes after it.
    ///
    /// # Errors
    /// As [`Rows::prefill`].
    fn step(&mut self, tokens: &[u32], logits: &mut Vec<f32>) -> Result<(), Error>;

    /// Drops a row; the last one takes its place.
    ///
    /// # Errors
    /// When there is no such row.
    fn swap_remove(&mut self, row: usize) -> Result<(), Error>;
}
