//! Steps by the reference path: candle, f32, a micro-batch a thread.

use std::borrow::Cow;
use std::collections::BTreeMap;

use candle_core::Device;
use tunebench_dataset::Tokenized;
use tunebench_kernels::SimdLevel;
use tunebench_kernels::optim::adamw::AdamW;
use tunebench_model::{AdamWState, AdamWStates, Batch, DropoutKey, Gradients, ReferenceModel, Targets, Tuning, Weights};
use tunebench_spec::Decoder;

use super::{Engine, Step, StepTotals};
use crate::batches::{BatchLayout, MicroBatch};
use crate::{Error, adamw};

pub(super) struct Reference {
    model: ReferenceModel,
    gradients: Gradients,
    states: AdamWStates,
    level: SimdLevel,
}

impl Reference {
    pub fn new(
        shape: &Decoder,
        weights: &Weights,
        tuning: &Tuning,
        states: AdamWStates,
        level: SimdLevel,
    ) -> Result<Self, Error> {
        let model = ReferenceModel::new(shape, weights, tuning, &Device::Cpu)?;
        Ok(Self { model, gradients: Gradients::new(), states, level })
    }
}

impl Engine for Reference {
    fn layout(&self) -> BatchLayout {
        BatchLayout::Padded
    }

    /// As many micro-batches at once as there are threads, added up in their order: the sum is the same on any machine.
    fn accumulate(
        &mut self,
        examples: &[Tokenized],
        micro_batches: &[MicroBatch],
        seed: u64,
        step: u64,
    ) -> Result<StepTotals, Error> {
        let mut sums = StepTotals::default();
        self.gradients.clear();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        for together in micro_batches.chunks(threads) {
            let model = &self.model;
            let results: Vec<Result<_, Error>> = std::thread::scope(|scope| {
                let compute = |micro_batch| scope.spawn(move || compute(model, examples, micro_batch, seed, step));
                let running: Vec<_> = together.iter().map(compute).collect();
                running.into_iter().map(|thread| thread.join().unwrap_or(Err(Error::ThreadPanicked))).collect()
            });
            for result in results {
                let (micro_batch, gradients) = result?;
                sums.loss += micro_batch.loss;
                sums.labels += micro_batch.labels;
                sums.tokens += micro_batch.tokens;
                self.add(gradients)?;
            }
        }
        Ok(sums)
    }

    fn grad_norm(&self, step: u64) -> Result<f64, Error> {
        let mut sum = 0.0;
        for (name, gradient) in &self.gradients {
            let square: f64 =
                gradient.flatten_all()?.to_vec1::<f32>()?.into_iter().map(|g| f64::from(g) * f64::from(g)).sum();
            if !square.is_finite() {
                return Err(Error::BadGradient { step: step + 1, name: name.clone() });
            }
            sum += square;
        }
        Ok(sum.sqrt())
    }

    /// A gradient is there for everything trained, if only of zeros: one that is missing was lost, and what it belongs
    /// to would never move.
    fn update(&mut self, step: Step<'_>) -> Result<(), Error> {
        let Step { recipe, number, learning_rate, gradient_scale } = step;
        let params = adamw::params(recipe);
        for (name, param) in self.model.params() {
            let gradient = self.gradients.get(name).ok_or_else(|| Error::NoGradient { name: name.clone() })?;
            let state = self.states.entry(name.clone()).or_default();
            let numbers = AdamW::new(&adamw::params(recipe), number, learning_rate * param.lr_scale, gradient_scale);
            adamw::apply(self.level, numbers, &param.var, gradient, state)?;
        }
        Ok(())
    }

    fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        self.model.params().iter().map(|(name, param)| (name.clone(), param.var.dims().to_vec())).collect()
    }

    fn value(&self, index: usize) -> Result<Cow<'_, [f32]>, tunebench_model::Error> {
        let Some(param) = self.model.params().values().nth(index) else { return Ok(Cow::Borrowed(&[])) };
        Ok(Cow::Owned(param.var.as_detached_tensor().flatten_all()?.to_vec1()?))
    }

    fn adamw_states(&self) -> BTreeMap<&str, &AdamWState> {
        self.states.iter().map(|(name, state)| (name.as_str(), state)).collect()
    }
}

impl Reference {
    fn add(&mut self, gradients: Gradients) -> Result<(), Error> {
        for (name, gradient) in gradients {
            let sum = match self.gradients.remove(&name) {
                Some(sum) => (sum + gradient)?,
                None => gradient,
            };
            self.gradients.insert(name, sum);
        }
        Ok(())
    }
}

/// Loss and gradients of one micro-batch.
fn compute(
    model: &ReferenceModel,
    examples: &[Tokenized],
    micro_batch: &MicroBatch,
    seed: u64,
    step: u64,
) -> Result<(StepTotals, Gradients), Error> {
    let rows: Vec<&[u32]> = micro_batch.examples.iter().map(|&i| examples[i].tokens.as_slice()).collect();
    let marks: Vec<&[bool]> = micro_batch.examples.iter().map(|&i| examples[i].is_label.as_slice()).collect();
    let batch = Batch::right_padded(&rows)?;
    let targets = Targets::new(&batch, &marks)?;
    let key = DropoutKey::new(seed, step, micro_batch.step_indices.clone());
    let (loss, gradients) = model.loss_and_gradients(&batch, &targets, &key)?;
    let tokens = rows.iter().map(|row| row.len() as u64).sum();
    Ok((StepTotals { loss, labels: targets.len(), tokens }, gradients))
}
