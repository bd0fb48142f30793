//! Steps by the reference path: candle, f32, a piece a thread.

use std::borrow::Cow;
use std::collections::BTreeMap;

use candle_core::Device;
use tunebench_dataset::Tokenized;
use tunebench_kernels::SimdLevel;
use tunebench_kernels::optim::adamw::AdamW;
use tunebench_model::fast::Moments;
use tunebench_model::{Batch, Draw, Gradients, Llama, Targets, Tuning, Weights};
use tunebench_spec::ModelShape;

use super::{Engine, Step, Sums};
use crate::batches::{Cut, MicroBatch};
use crate::{Error, adamw};

pub(super) struct Reference {
    model: Llama,
    gradients: Gradients,
    moments: BTreeMap<String, Moments>,
    level: SimdLevel,
}

impl Reference {
    pub fn new(
        shape: &ModelShape,
        weights: &Weights,
        tuning: &Tuning,
        moments: BTreeMap<String, Moments>,
        level: SimdLevel,
    ) -> Result<Self, Error> {
        let model = Llama::new(shape, weights, tuning, &Device::Cpu)?;
        Ok(Self { model, gradients: Gradients::new(), moments, level })
    }
}

impl Engine for Reference {
    fn cut(&self) -> Cut {
        Cut::Padded
    }

    /// As many pieces at once as there are threads, added up in their order: the sum is the same on any machine.
    fn accumulate(
        &mut self,
        examples: &[Tokenized],
        pieces: &[MicroBatch],
        seed: u64,
        step: u64,
    ) -> Result<Sums, Error> {
        let mut sums = Sums::default();
        self.gradients.clear();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        for together in pieces.chunks(threads) {
            let model = &self.model;
            let results: Vec<Result<_, Error>> = std::thread::scope(|scope| {
                let compute = |piece| scope.spawn(move || compute(model, examples, piece, seed, step));
                let running: Vec<_> = together.iter().map(compute).collect();
                running.into_iter().map(|thread| thread.join().unwrap_or(Err(Error::ThreadPanicked))).collect()
            });
            for result in results {
                let (piece, gradients) = result?;
                sums.loss += piece.loss;
                sums.labels += piece.labels;
                sums.tokens += piece.tokens;
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
            let moments = self.moments.entry(name.clone()).or_default();
            let numbers = AdamW::new(&params, number, learning_rate * param.lr_scale, gradient_scale);
            adamw::apply(self.level, numbers, &param.var, gradient, moments)?;
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

    fn moments(&self) -> &BTreeMap<String, Moments> {
        &self.moments
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

/// Loss and gradients of one piece.
fn compute(
    model: &Llama,
    examples: &[Tokenized],
    piece: &MicroBatch,
    seed: u64,
    step: u64,
) -> Result<(Sums, Gradients), Error> {
    let rows: Vec<&[u32]> = piece.examples.iter().map(|&i| examples[i].tokens.as_slice()).collect();
    let marks: Vec<&[bool]> = piece.examples.iter().map(|&i| examples[i].is_label.as_slice()).collect();
    let batch = Batch::right_padded(&rows)?;
    let targets = Targets::new(&batch, &marks)?;
    let draw = Draw { seed, step, rows: piece.places.clone(), ends: vec![] };
    let (loss, gradients) = model.loss_and_gradients(&batch, &targets, &draw)?;
    let tokens = rows.iter().map(|row| row.len() as u64).sum();
    Ok((Sums { loss, labels: targets.len(), tokens }, gradients))
}
