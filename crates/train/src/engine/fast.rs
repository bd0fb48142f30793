//! Steps by the fast engine: weights and activations in bf16, trained weights and all sums in f32.

use std::borrow::Cow;
use std::collections::BTreeMap;

use half::bf16;
use tunebench_dataset::Tokenized;
use tunebench_kernels::SimdLevel;
use tunebench_kernels::ops::reduce::sum_of_squares;
use tunebench_kernels::optim::adamw::AdamW;
use tunebench_model::fast::memory::is_packed;
use tunebench_model::fast::{Batch, Gradients, Model, Moments, Options, Workspace};
use tunebench_model::{Draw, Tuning, Weights};
use tunebench_spec::ModelShape;

use super::{Engine, Step, Sums};
use crate::batches::{Cut, MicroBatch};
use crate::{Error, adamw};

pub(super) struct Fast {
    model: Model<bf16>,
    gradients: Gradients,
    moments: BTreeMap<String, Moments>,
    work: Workspace<bf16>,
    level: SimdLevel,
}

impl Fast {
    pub fn new(
        shape: &ModelShape,
        weights: Weights,
        tuning: Tuning,
        moments: BTreeMap<String, Moments>,
        level: SimdLevel,
        recompute: bool,
    ) -> Result<Self, Error> {
        let options = Options { level, recompute, packed: is_packed(shape, recompute) };
        let model = Model::new(shape, weights, tuning, options)?;
        let gradients = model.gradients();
        Ok(Self { model, gradients, moments, work: Workspace::default(), level })
    }
}

impl Engine for Fast {
    fn cut(&self) -> Cut {
        Cut::Ragged
    }

    fn accumulate(
        &mut self,
        examples: &[Tokenized],
        pieces: &[MicroBatch],
        seed: u64,
        step: u64,
    ) -> Result<Sums, Error> {
        let mut sums = Sums::default();
        self.gradients.clear();
        for piece in pieces {
            let mut batch = Batch::new();
            for &i in &piece.examples {
                batch.push(&examples[i].tokens, &examples[i].is_label)?;
            }
            let draw = Draw { seed, step, rows: piece.places.clone(), ends: vec![] };
            sums.loss += self.model.loss_and_gradients(&batch, &draw, &mut self.gradients, &mut self.work)?;
            sums.labels += batch.labels();
            sums.tokens += batch.len() as u64;
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
        self.model.update(&self.gradients, &mut self.moments, numbers);
        Ok(())
    }

    fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        self.model.trained().map(|(name, dims)| (name.to_owned(), dims.to_vec())).collect()
    }

    fn value(&self, index: usize) -> Result<Cow<'_, [f32]>, tunebench_model::Error> {
        Ok(self.model.value(index))
    }

    fn moments(&self) -> &BTreeMap<String, Moments> {
        &self.moments
    }
}
