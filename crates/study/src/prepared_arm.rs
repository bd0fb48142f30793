//! A training of an arm, ready to be done: its examples and its recipe make its identity.

use std::path::Path;
use std::sync::Arc;

use tunebench_dataset::TokenStats;
use tunebench_model::backend::{Backend, BatchLayout};
use tunebench_model::{MemoryNeed, QuantisedWeights};
use tunebench_spec::fit::warnings;
use tunebench_spec::{GradientReceipt, Recipe, StepLog};
use tunebench_train::batches::Steps;

use crate::arm_plan::ArmPlan;
use crate::arm_recipe::ArmRecipe;
use crate::base::Base;
use crate::base_model::{BaseModel, BaseModels};
use crate::calibration::{Calibration, TrainingSpeed};
use crate::error::StudyError;
use crate::examples::Datasets;
use crate::identity;
use crate::losses::LossSets;
use crate::memory;
use crate::model_encoder::{Form, ModelEncoder};
use crate::model_key::ModelKey;
use crate::observer::{ArmForecast, Event, Observer};
use crate::selection::Extent;
use crate::trained_arm;
use crate::training_set::TrainingSet;

/// What all trainings of a planned arm share.
pub struct ArmData<'a> {
    pub plan: &'a ArmPlan<'a>,
    pub recipe: ArmRecipe,
    pub model: Arc<BaseModel<'a>>,
    pub set: Arc<TrainingSet>,
    pub encoder: Arc<ModelEncoder>,
    pub losses: LossSets,
    /// Optimizer steps and tokens of a training, all epochs together.
    pub steps: u64,
    pub tokens: u64,
}

/// A training of an arm, ready to be done.
#[derive(Clone)]
pub struct PreparedArm<'a> {
    pub key: ModelKey,
    pub data: Arc<ArmData<'a>>,
    /// SHA-256 of all that its training depends on.
    pub identity: String,
    pub base: Base,
    /// The training that it starts from.
    pub parent: Option<ModelKey>,
    /// Optimizer steps altogether.
    pub steps: u64,
    /// How far it is to be trained for now.
    pub extent: Extent,
    /// Whether it stands for its arm: it has no grid, or was chosen.
    pub is_selected: bool,
    /// What trains it.
    pub backend: &'static dyn Backend,
}

impl<'a> ArmData<'a> {
    /// Reads and tokenizes what a planned arm learns from, fits its recipe to that, and opens what its losses are measured
    /// on.
    ///
    /// # Errors
    /// When its model, its data or a plugin fails, or when nothing can be learnt.
    pub fn new(
        plan: &'a ArmPlan<'a>,
        models: &mut BaseModels<'a>,
        datasets: &mut Datasets<'a>,
        observer: &mut dyn Observer,
    ) -> Result<Self, StudyError> {
        let id = &plan.arm.dataset;
        let model = models.open(plan.root_model)?;
        let encoder = models.encoder(plan.root_model, plan.form)?;
        let count = datasets.count(id, observer)?;
        let recipe = plan.recipe(Some(count))?;
        let set = datasets.training_set(id, &encoder, (&recipe.recipe).into(), observer)?;
        if set.count() == 0 {
            return Err(StudyError::Invalid(format!("no example can be trained on: {}", set.stats.skips)));
        }
        let plain = models.encoder(plan.root_model, Form::plain(crate::losses::PLAIN_TEMPLATE))?;
        let losses = datasets.loss_sets(id, &encoder, &plain, plan.positions(), observer)?;
        if recipe.recipe.goes_by_held_out() && losses.held_out().is_none() {
            return Err(StudyError::Invalid(
                "recipe: early_stopping_patience and load_best_model_at_end go by held-out loss; say in [selection] what that is measured on"
                    .to_owned(),
            ));
        }
        let seed = plan.seeds.first().copied().unwrap_or_default();
        // How an engine lays out micro-batches does not change the number of steps.
        let of_seed = Steps::new(&set.examples, &recipe.recipe, seed, BatchLayout::Padded);
        let steps = of_seed.total;
        let tokens = (set.stats.tokens as f64 * of_seed.epochs(steps)).round() as u64;
        Ok(Self { plan, recipe, model, set, encoder, losses, steps, tokens })
    }

    /// What a training will take on this machine; none where that cannot be said.
    ///
    /// # Errors
    /// When the engine cannot be measured.
    pub fn seconds(
        &self,
        calibration: &mut Calibration,
        backend: &'static dyn Backend,
    ) -> Result<Option<f64>, StudyError> {
        let speed = self.speed(&self.plan.quantised, calibration, backend)?;
        Ok(speed.map(|speed| speed.seconds(self.steps, self.tokens)))
    }

    /// Seconds to measure its losses once, on all that they are measured on, with these of the weights held quantised; none where that
    /// cannot be said.
    ///
    /// # Errors
    /// When the engine cannot be measured.
    pub fn loss_seconds(
        &self,
        quantised: &QuantisedWeights,
        calibration: &mut Calibration,
        backend: &'static dyn Backend,
    ) -> Result<Option<f64>, StudyError> {
        let tokens = self.losses.tokens(self.plan.recorded.plan.virtual_count());
        if tokens == 0 {
            return Ok(Some(0.0));
        }
        let speed = self.speed(quantised, calibration, backend)?;
        Ok(speed.map(|speed| speed.seconds_per_measured_token * tokens as f64))
    }

    /// How often its losses are measured behind step `from` as far as step `to`, where training stops or ends.
    pub fn measurements(&self, from: u64, to: u64) -> u64 {
        if to <= from {
            return 0;
        }
        match self.recipe.recipe.eval_steps as u64 {
            0 => 1,
            every => to / every - from / every + u64::from(!to.is_multiple_of(every)),
        }
    }

    fn speed(
        &self,
        quantised: &QuantisedWeights,
        calibration: &mut Calibration,
        backend: &'static dyn Backend,
    ) -> Result<Option<TrainingSpeed>, StudyError> {
        let length = (self.set.stats.tokens / self.set.stats.examples.max(1)) as usize;
        let (plan, recipe) = (self.plan, &self.recipe.recipe);
        calibration.training((&plan.shape, quantised), &plan.recorded, recipe, length, backend)
    }

    /// What a training takes at its peak, no example being longer than the longest there is; none where that cannot be said.
    pub fn memory(&self, backend: &'static dyn Backend) -> Option<MemoryNeed> {
        self.plan.memory(&self.recipe_at_most(), self.measured(), backend)
    }

    /// Bytes that are resident then, as far as there is room.
    pub fn peak(&self, backend: &'static dyn Backend) -> Option<u64> {
        Some(self.memory(backend)?.peak(backend.memory_limit().as_ref()))
    }

    /// Whether what it starts from stays in memory, while it is trained, for what else is done over the same.
    pub fn keeps_base(&self, backend: &'static dyn Backend) -> bool {
        self.plan.keeps_base(&self.recipe_at_most(), self.measured(), backend)
    }

    /// Its recipe, no example being longer than the longest there is.
    fn recipe_at_most(&self) -> Recipe {
        let recipe = &self.recipe.recipe;
        Recipe { max_length: recipe.max_length.min(self.set.examples.longest()), ..recipe.clone() }
    }

    /// Tokens over which losses are measured at once.
    fn measured(&self) -> usize {
        self.losses.most_tokens(self.plan.recorded.plan.virtual_count(), self.recipe.recipe.micro_batch_tokens)
    }

    /// What is to be said of the recipe before anything is trained by it.
    pub fn remarks(&self, arm: &str, backend: &'static dyn Backend, observer: &mut dyn Observer) {
        let ArmRecipe { recipe, fitted, .. } = &self.recipe;
        for fitted in fitted {
            observer.on_event(&Event::RecipeFitted { arm, fitted });
        }
        let TokenStats { without_end, with_end: learnt, examples: of, .. } = self.set.stats;
        if without_end > 0 {
            observer.on_event(&Event::EndNotLearnt { arm, examples: without_end, of });
        }
        let cut = of - learnt - without_end;
        if cut > 0 {
            observer.on_event(&Event::EndCutOff { arm, examples: cut, learnt, max_length: recipe.max_length });
        }
        for warning in warnings(recipe, self.set.count(), self.steps) {
            observer.on_event(&Event::RecipeWarning { arm, warning });
        }
        let limit = backend.memory_limit();
        if let Some(said) = self.memory(backend).zip(limit).and_then(|(need, limit)| memory::read_again(need, &limit)) {
            observer.on_event(&Event::FileReadAgain { arm, said: &said });
        }
    }
}

impl<'a> PreparedArm<'a> {
    /// Training number `number` (from 0) of an arm, which starts from `parent`, where it starts from an arm.
    ///
    /// # Errors
    /// When its plan has no JSON form.
    pub fn new(
        data: &Arc<ArmData<'a>>,
        number: usize,
        parent: Option<&PreparedArm<'a>>,
        backend: &'static dyn Backend,
    ) -> Result<Self, StudyError> {
        let (plan, recipe) = (data.plan, &data.recipe.recipe);
        let seed = plan.seeds[number];
        let base = match parent {
            Some(parent) => Base::Arm { identity: parent.identity.clone() },
            None => data.model.base(),
        };
        let start = parent.map_or(&data.model.identity, |parent| &parent.identity);
        let held_out = data.losses.held_out().filter(|_| recipe.goes_by_held_out());
        let named = identity::Training {
            recipe,
            seed,
            start,
            examples: &data.set.identity,
            held_out: held_out.map(|set| set.hash.as_str()),
        };
        let identity = identity::training(plan, backend, &named)?;
        // How an engine lays out micro-batches does not change the number of steps.
        let steps = Steps::new(&data.set.examples, recipe, seed, BatchLayout::Padded).total;
        let key = ModelKey {
            arm: plan.arm.name.clone(),
            candidate: plan.candidate.name(),
            seed,
            number: number as u32 + 1,
            of: plan.seeds.len() as u32,
        };
        let parent = parent.map(|parent| parent.key.clone());
        let (data, extent) = (data.clone(), Extent::Whole);
        Ok(Self { key, data, identity, base, parent, steps, extent, is_selected: true, backend })
    }

    /// The step after which it stops for now, before its end.
    pub fn until(&self) -> Option<u64> {
        match self.extent {
            Extent::Until(step) if step < self.steps => Some(step),
            Extent::Until(_) | Extent::Whole => None,
        }
    }

    /// Whether it is one of several that a grid makes.
    pub fn is_candidate(&self) -> bool {
        !self.key.candidate.is_empty()
    }

    /// What would be done for it in this run folder.
    ///
    /// # Errors
    /// When a file of an earlier training is damaged.
    pub fn forecast(&self, root: &Path) -> Result<ArmForecast<'_>, StudyError> {
        Ok(ArmForecast {
            model: &self.key,
            is_trained: trained_arm::finished(root, &self.identity)?.is_some(),
            until: self.until(),
            stats: &self.data.set.stats,
            steps: self.steps,
            trainable_params: self.data.plan.recorded.plan.trainable_params(&self.data.plan.shape),
        })
    }

    /// Its gradient receipt under the arm's present name, once there is one.
    ///
    /// # Errors
    /// When the receipt cannot be read.
    pub fn receipt(&self, root: &Path) -> Result<Option<GradientReceipt>, StudyError> {
        let ModelKey { arm, candidate, seed, .. } = &self.key;
        let receipt = trained_arm::receipt(root, &self.identity)?;
        Ok(receipt.map(|of| GradientReceipt { arm: arm.clone(), candidate: candidate.clone(), seed: *seed, ..of }))
    }

    /// The steps of its training so far, under the arm's present name.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn step_logs(&self, root: &Path) -> Result<Vec<StepLog>, StudyError> {
        let ModelKey { arm, candidate, seed, .. } = &self.key;
        let steps = trained_arm::steps(root, &self.identity)?;
        let named = |step| StepLog { arm: arm.clone(), candidate: candidate.clone(), seed: *seed, ..step };
        Ok(steps.into_iter().map(named).collect())
    }
}
