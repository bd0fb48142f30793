//! The fast engine as a backend: weights and activations in bf16, trained weights and all sums in f32, on the CPU.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use half::bf16;
use tunebench_kernels::SimdLevel;
use tunebench_kernels::ops::reduce::sum_of_squares;
use tunebench_spec::Decoder;
use tunebench_spec::plan::RecordedPlan;

use super::{
    Backend, BatchLayout, Generator, OptimizerStep, Parts, PromptRow, Rows, Sequence, StepKey, StepSize, StepTotals,
    Trainable,
};
use crate::dropout::DropoutKey;
use crate::fast::{self, Batch, Cache, Gradients, Model, Options, Workspace, memory};
use crate::flat::Flat;
use crate::memory_need::MemoryNeed;
use crate::optim::{AdamWState, AdamWStates};
use crate::weights::QuantisedWeights;
use crate::{Error, Tuning, Weights};

/// Passes written by hand over CPU kernels.
#[derive(Debug)]
pub(super) struct Fast;

impl Backend for Fast {
    fn name(&self) -> &'static str {
        "fast"
    }

    fn precision(&self) -> &'static str {
        "bf16, trained weights and sums f32"
    }

    fn training_memory(
        &self,
        shape: &Decoder,
        recorded: &RecordedPlan,
        quantised: &QuantisedWeights,
        size: StepSize,
        recompute: bool,
    ) -> Option<MemoryNeed> {
        Some(memory::training(shape, recorded, quantised, [size.tokens, size.measured], recompute))
    }

    fn answering_memory(
        &self,
        shape: &Decoder,
        quantised: &QuantisedWeights,
        rows: usize,
        tokens: usize,
    ) -> MemoryNeed {
        memory::answering(shape, quantised, rows, tokens)
    }

    fn kept_base(
        &self,
        shape: &Decoder,
        recorded: &RecordedPlan,
        quantised: &QuantisedWeights,
        recompute: bool,
    ) -> Option<u64> {
        memory::kept_base(shape, recorded, quantised, recompute)
    }

    fn trainable(
        &self,
        parts: Parts<'_>,
        mut states: AdamWStates,
        recompute: bool,
    ) -> Result<Box<dyn Trainable>, Error> {
        let Parts { shape, weights, tuning } = parts;
        let level = SimdLevel::chosen()?;
        let options = Options { level, recompute, packed: memory::is_packed(shape, &weights.quantised(), recompute) };
        let model = Model::new(shape, weights, tuning, options)?;
        let gradients = model.gradients();
        let states = model.trained().map(|(name, _)| states.remove(name).unwrap_or_default()).collect();
        let flat = Flat::new(model.trained().map(|(_, dims)| dims.iter().product()));
        let own = 0..flat.len();
        Ok(Box::new(Training { model, gradients, states, flat, own, work: Workspace::default(), level }))
    }

    fn generator(&self, parts: Parts<'_>) -> Result<Box<dyn Generator>, Error> {
        let quantised = parts.weights.quantised();
        let model = Model::answering(parts.shape, parts.weights, parts.tuning, answering()?)?;
        Ok(Box::new(Answering { model, adapters: 1, quantised }))
    }

    fn grouping_refusal(&self, recorded: &RecordedPlan) -> Option<String> {
        fast::refusal(recorded)
    }

    fn grouped_generator(
        &self,
        shape: &Decoder,
        weights: Weights,
        tunings: Vec<Tuning>,
    ) -> Result<Box<dyn Generator>, Error> {
        let (quantised, adapters) = (weights.quantised(), tunings.len());
        let model = Model::grouped(shape, weights, tunings, answering()?)?;
        Ok(Box::new(Answering { model, adapters, quantised }))
    }
}

pub(super) struct Training {
    pub(super) model: Model<bf16>,
    pub(super) gradients: Gradients,
    /// By slot, as the model's trained tensors, of what is owned of each; empty before the first update.
    pub(super) states: Vec<AdamWState>,
    pub(super) flat: Flat,
    /// The part that this process moves.
    pub(super) own: Range<usize>,
    work: Workspace<bf16>,
    level: SimdLevel,
}

impl Trainable for Training {
    fn layout(&self) -> BatchLayout {
        BatchLayout::Packed
    }

    fn zero_grad(&mut self) {
        self.gradients.clear();
    }

    fn accumulate(&mut self, micro_batches: &[Vec<Sequence<'_>>], key: StepKey) -> Result<StepTotals, Error> {
        let mut totals = StepTotals::default();
        for sequences in micro_batches {
            let batch = self.batch(sequences)?;
            let numbers = sequences.iter().map(|s| s.step_index).collect();
            let dropout = DropoutKey::for_batch(key.seed, key.step, numbers, batch.seq_ends());
            totals.loss += self.model.loss_and_gradients(&batch, &dropout, &mut self.gradients, &mut self.work)?;
            totals.labels += batch.labels();
            totals.tokens += batch.own_tokens() as u64;
        }
        Ok(totals)
    }

    /// A term a label, so the sum is to the bit the same however the sequences are cut into micro-batches.
    fn losses(
        &mut self,
        micro_batches: &[Vec<Sequence<'_>>],
        term: &mut (dyn FnMut(f64) + Send),
    ) -> Result<StepTotals, Error> {
        let mut totals = StepTotals::default();
        for sequences in micro_batches {
            let batch = self.batch(sequences)?;
            self.model.each_loss(&batch, term, &mut self.work)?;
            totals.labels += batch.labels();
            totals.tokens += batch.own_tokens() as u64;
        }
        Ok(totals)
    }

    fn visit_gradients(&mut self, visit: &mut dyn FnMut(&str, &mut [f32])) -> Result<(), Error> {
        self.gradients.iter_mut().for_each(|(name, gradient)| visit(name, gradient));
        Ok(())
    }

    fn grad_norm(&self) -> Result<f64, Error> {
        let mut sum = 0.0;
        for (slot, (name, _)) in self.model.trained().enumerate() {
            let square = self.gradients.get(slot).map_or(0.0, |g| sum_of_squares(self.level, g));
            if !square.is_finite() {
                return Err(Error::BadGradient { name: name.to_owned() });
            }
            sum += square;
        }
        Ok(sum.sqrt())
    }

    fn gradient_norms(&self) -> Result<Vec<Option<f64>>, Error> {
        let norm = |slot| Some(sum_of_squares(self.level, self.gradients.get(slot)?).sqrt());
        Ok((0..self.model.trained().count()).map(norm).collect())
    }

    fn frozen_fingerprint(&self) -> Result<u64, Error> {
        Ok(self.model.frozen_fingerprint())
    }

    fn update(&mut self, step: &OptimizerStep) -> Result<(), Error> {
        for (slot, (name, _)) in self.model.trained().enumerate() {
            self.gradients.get(slot).ok_or_else(|| Error::NoGradient { name: name.to_owned() })?;
        }
        self.model.update(&self.gradients, &mut self.states, |options| step.of(options));
        Ok(())
    }

    fn params(&self) -> Vec<(String, Vec<usize>)> {
        self.model.trained().map(|(name, dims)| (name.to_owned(), dims.to_vec())).collect()
    }

    fn value(&self, index: usize) -> Result<Cow<'_, [f32]>, Error> {
        let tensor = self.flat.tensor(index);
        if tensor.start < self.own.start || self.own.end < tensor.end {
            return Err(Error::OtherRanks { index });
        }
        Ok(self.model.value(index))
    }

    fn adamw_states(&self) -> BTreeMap<&str, &AdamWState> {
        let named = self.model.trained().map(|(name, _)| name).zip(&self.states);
        named.filter(|(_, state)| !state.first.is_empty()).collect()
    }
}

impl Training {
    fn batch(&self, sequences: &[Sequence<'_>]) -> Result<Batch, Error> {
        Batch::new(sequences.iter().map(|s| (s.tokens, s.is_label)), self.model.virtual_tokens())
    }
}

/// How a model that only answers is computed.
fn answering() -> Result<Options, Error> {
    Ok(Options { level: SimdLevel::chosen()?, recompute: false, packed: false })
}

struct Answering {
    model: Model<bf16>,
    adapters: usize,
    quantised: QuantisedWeights,
}

impl Generator for Answering {
    fn shape(&self) -> &Decoder {
        self.model.shape()
    }

    fn positions(&self) -> usize {
        self.model.positions()
    }

    fn has_independent_rows(&self) -> bool {
        true
    }

    fn adapters(&self) -> usize {
        self.adapters
    }

    fn quantised(&self) -> &QuantisedWeights {
        &self.quantised
    }

    fn rows(&self) -> Box<dyn Rows + '_> {
        Box::new(CachedRows { model: &self.model, cache: Cache::new(&self.model) })
    }
}

struct CachedRows<'a> {
    model: &'a Model<bf16>,
    cache: Cache<bf16>,
}

impl Rows for CachedRows<'_> {
    fn prefill(&mut self, prompts: &[PromptRow<'_>], logits: &mut Vec<f32>) -> Result<(), Error> {
        self.model.prefill_adapted(&mut self.cache, prompts, &numbers(prompts), logits)
    }

    fn prefill_scored(
        &mut self,
        prompts: &[PromptRow<'_>],
        each: &mut (dyn FnMut(usize, &[f32]) + Send),
        logits: &mut Vec<f32>,
    ) -> Result<(), Error> {
        self.model.prefill_scored(&mut self.cache, prompts, &numbers(prompts), each, logits)
    }

    fn step(&mut self, tokens: &[u32], logits: &mut Vec<f32>) -> Result<(), Error> {
        self.model.step(&mut self.cache, tokens, logits)
    }

    fn swap_remove(&mut self, row: usize) -> Result<(), Error> {
        self.cache.swap_remove(row)
    }
}

/// The adapters of prompts.
fn numbers(prompts: &[PromptRow<'_>]) -> Vec<usize> {
    prompts.iter().map(|prompt| prompt.adapter).collect()
}
