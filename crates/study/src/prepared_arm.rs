//! An arm, ready to be trained: its examples and its recipe make its identity.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tunebench_model::backend::{Backend, BatchLayout};
use tunebench_spec::StepLog;
use tunebench_train::batches::Steps;

use crate::arm_plan::ArmPlan;
use crate::base_model::{Base, BaseModels};
use crate::context::StudyContext;
use crate::error::{Locate, StudyError};
use crate::examples::{Datasets, TrainingSet};
use crate::identity;
use crate::model_encoder::ModelEncoder;
use crate::observer::{ArmForecast, Observer};
use crate::trained_arm;

/// An arm, ready to be trained.
pub struct PreparedArm<'a> {
    pub plan: &'a ArmPlan<'a>,
    /// SHA-256 of all that its training depends on.
    pub identity: String,
    pub base: Base,
    pub set: Arc<TrainingSet>,
    pub encoder: Arc<ModelEncoder>,
    /// Optimizer steps altogether.
    pub steps: u64,
}

/// Prepares the arms of a study, in its order.
pub struct Preparer<'a> {
    backend: &'static dyn Backend,
    datasets: Datasets<'a>,
    /// Of the arms prepared so far, by name: what chained arms start from.
    identities: BTreeMap<&'a str, String>,
}

impl<'a> Preparer<'a> {
    /// `datasets` may be read in part already.
    pub fn new(context: &'a StudyContext, datasets: Datasets<'a>) -> Self {
        Self { backend: context.backend, datasets, identities: BTreeMap::new() }
    }

    /// Reads and tokenizes an arm's examples, and names it by them, its base, its recorded graphs and its recipe.
    ///
    /// # Errors
    /// When its model, its data or a plugin fails, or when the arm that it starts from could not be prepared.
    pub fn prepare(
        &mut self,
        models: &mut BaseModels<'a>,
        plan: &'a ArmPlan<'a>,
        observer: &mut dyn Observer,
    ) -> Result<PreparedArm<'a>, StudyError> {
        let name = plan.arm.name.as_str();
        let prepared = self.prepare_arm(models, plan, observer).in_arm(name)?;
        self.identities.insert(name, prepared.identity.clone());
        Ok(prepared)
    }

    fn prepare_arm(
        &mut self,
        models: &mut BaseModels<'a>,
        plan: &'a ArmPlan<'a>,
        observer: &mut dyn Observer,
    ) -> Result<PreparedArm<'a>, StudyError> {
        let arm = plan.arm;
        let model = models.open(plan.root_model)?;
        let encoder = models.encoder(plan.root_model, plan.template)?;
        let set = self.datasets.training_set(&arm.dataset, &encoder, (&plan.recipe).into(), observer)?;
        if set.examples.is_empty() {
            return Err(StudyError::Invalid(format!("no example can be trained on: {}", set.stats.skips)));
        }
        let base = match self.identities.get(arm.base.as_str()) {
            Some(identity) => Base::Arm { identity: identity.clone() },
            None if arm.base != plan.root_model => {
                return Err(StudyError::ParentFailed { arm: arm.name.clone(), parent: arm.base.clone() });
            }
            None => model.base(),
        };
        let start = match &base {
            Base::Arm { identity } => identity,
            Base::Files { .. } | Base::Init { .. } => &model.identity,
        };
        let identity = identity::training(plan, self.backend, start, &set.identity)?;
        // How an engine lays out micro-batches does not change the number of steps.
        let steps = Steps::new(&set.examples, &plan.recipe, plan.seed, BatchLayout::Padded).total;
        Ok(PreparedArm { plan, identity, base, set, encoder, steps })
    }
}

impl PreparedArm<'_> {
    /// What would be done for it in this run folder.
    ///
    /// # Errors
    /// When a file of an earlier training is damaged.
    pub fn forecast(&self, root: &Path) -> Result<ArmForecast<'_>, StudyError> {
        Ok(ArmForecast {
            arm: &self.plan.arm.name,
            is_trained: trained_arm::finished(root, &self.identity)?.is_some(),
            stats: &self.set.stats,
            steps: self.steps,
            trainable_params: self.plan.recorded.plan.trainable_params(&self.plan.shape),
        })
    }

    /// The steps of its finished training, under the arm's present name.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn step_logs(&self, root: &Path) -> Result<Vec<StepLog>, StudyError> {
        let arm = &self.plan.arm.name;
        let steps = trained_arm::steps(root, &self.identity)?;
        Ok(steps.into_iter().map(|step| StepLog { arm: arm.clone(), ..step }).collect())
    }
}
