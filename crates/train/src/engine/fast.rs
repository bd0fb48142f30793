//! Steps by the fast engine: weights and activations in bf16, trained weights and all sums in f32.

use std::borrow::Cow;
use std::collections::BTreeMap;

use half::bf16;
use tunebench_dataset::Tokenized;
use tunebench_kernels::SimdLevel;
use tunebench_kernels::ops::reduce::sum_of_squares;
use tunebench_kernels::optim::adamw::AdamW;
use tunebench_model::fast::memory::is_packed;
use tunebench_model::fast::{Batch, Gradients, Model, Options, Workspace};
use tunebench_model::{AdamWState, AdamWStates, DropoutKey, Tuning, Weights};
use tunebench_spec::Decoder;

use super::{Engine, Step, StepTotals};
use crate::batches::{BatchLayout, MicroBatch};
use crate::{Error, adamw};

pub(super) struct Fast {
    model: Model<bf16>,
    gradients: Gradients,
    /// By slot, as the model's trained tensors; empty before the first update.
    states: Vec<AdamWState>,
    work: Workspace<bf16>,
    level: SimdLevel,
}

impl Fast {
    pub fn new(
        shape: &Decoder,
        weights: Weights,
        tuning: Tuning,
        mut states: AdamWStates,
        level: SimdLevel,
        recompute: bool,
    ) -> Result<Self, Error> {
        let options = Options { level, recompute, packed: is_packed(shape, recompute) };
        let model = Model::new(shape, weights, tuning, options)?;
        let gradients = model.gradients();
        let states = model.trained().map(|(name, _)| states.remove(name).unwrap_or_default()).collect();
        Ok(Self { model, gradients, states, work: Workspace::default(), level })
    }

    /// Adds the gradients of one micro-batch to those before it.
    fn accumulate_one(
        &mut self,
        examples: &[Tokenized],
        micro_batch: &MicroBatch,
        seed: u64,
        step: u64,
    ) -> Result<StepTotals, Error> {
        let examples = micro_batch.examples.iter().map(|&i| (&examples[i].tokens[..], &examples[i].is_label[..]));
        let batch = Batch::new(examples, self.model.virtual_tokens())?;
        let key = DropoutKey::for_batch(seed, step, micro_batch.step_indices.clone(), batch.seq_ends());
        let loss = self.model.loss_and_gradients(&batch, &key, &mut self.gradients, &mut self.work)?;
        Ok(StepTotals { loss, labels: batch.labels(), tokens: batch.own_tokens() as u64 })
    }
}

impl Engine for Fast {
    fn layout(&self) -> BatchLayout {
        BatchLayout::Packed
    }

    fn accumulate(
        &mut self,
        examples: &[Tokenized],
        micro_batches: &[MicroBatch],
        seed: u64,
        step: u64,
    ) -> Result<StepTotals, Error> {
        let mut sums = StepTotals::default();
        self.gradients.clear();
        for micro_batch in micro_batches {
            let StepTotals { loss, labels, tokens } = self.accumulate_one(examples, micro_batch, seed, step)?;
            sums.loss += loss;
            sums.labels += labels;
            sums.tokens += tokens;
        }
        Ok(sums)
    }

    fn grad_norm(&self, step: u64) -> Result<f64, Error> {
        let mut sum = 0.0;
        for (slot, (name, _)) in self.model.trained().enumerate() {
            let square = self.gradients.get(slot).map_or(0.0, |g| sum_of_squares(self.level, g));
            if !square.is_finite() {
                return Err(Error::BadGradient { step: step + 1, name: name.to_owned() });
            }
            sum += square;
        }
        Ok(sum.sqrt())
    }

    fn update(&mut self, step: Step<'_>) -> Result<(), Error> {
        for (slot, (name, _)) in self.model.trained().enumerate() {
            self.gradients.get(slot).ok_or_else(|| Error::NoGradient { name: name.to_owned() })?;
        }
        let Step { recipe, number, learning_rate, gradient_scale } = step;
        let params = adamw::params(recipe);
        let numbers = |lr_scale: f64| AdamW::new(&params, number, learning_rate * lr_scale, gradient_scale);
        self.model.update(&self.gradients, &mut self.states, numbers);
        Ok(())
    }

    fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        self.model.trained().map(|(name, dims)| (name.to_owned(), dims.to_vec())).collect()
    }

    fn value(&self, index: usize) -> Result<Cow<'_, [f32]>, tunebench_model::Error> {
        Ok(self.model.value(index))
    }

    fn adamw_states(&self) -> BTreeMap<&str, &AdamWState> {
        let named = self.model.trained().map(|(name, _)| name).zip(&self.states);
        named.filter(|(_, state)| !state.first.is_empty()).collect()
    }
}
