//! A model under the name that it has in the frames: a base model as it came, or an arm.

use std::path::Path;
use std::sync::Arc;

use tunebench_model::backend::Backend;
use tunebench_model::{Tuning, Weights};
use tunebench_spec::Decoder;

use crate::arm_record;
use crate::base_model::BaseModel;
use crate::error::StudyError;
use crate::evaluation::Evaluation;
use crate::frames::ArmRows;
use crate::model_encoder::ModelEncoder;
use crate::observer::Observer;
use crate::prepared_arm::PreparedArm;
use crate::run_folder::RunFolder;
use crate::trained_arm;
use crate::training;
use crate::work::WorkIds;

/// A model that work is done for.
pub enum EvaluatedModel<'a> {
    Base { model: Arc<BaseModel<'a>>, encoder: Arc<ModelEncoder>, seed: u64 },
    Arm(PreparedArm<'a>),
}

impl EvaluatedModel<'_> {
    pub fn name(&self) -> &str {
        match self {
            Self::Base { model, .. } => model.id(),
            Self::Arm(arm) => &arm.plan.arm.name,
        }
    }

    /// SHA-256 of all that decides its weights.
    pub fn identity(&self) -> &str {
        match self {
            Self::Base { model, .. } => &model.identity,
            Self::Arm(arm) => &arm.identity,
        }
    }

    /// How its conversations become tokens.
    pub fn encoder(&self) -> &ModelEncoder {
        match self {
            Self::Base { encoder, .. } => encoder,
            Self::Arm(arm) => &arm.encoder,
        }
    }

    /// The names of the work on it.
    ///
    /// # Errors
    /// When an item has no JSON form.
    pub fn work_ids(&self, evaluation: Option<&Evaluation<'_>>) -> Result<WorkIds, StudyError> {
        let (train, is_evaluated) = match self {
            Self::Base { .. } => (None, true),
            Self::Arm(arm) => (Some(arm.identity.clone()), arm.plan.arm.evaluate),
        };
        let Some(evaluation) = evaluation.filter(|_| is_evaluated) else {
            return Ok(WorkIds { train, answer: None, judge: None });
        };
        let answer = evaluation.request(self.encoder()).identity(self.identity())?;
        let judge = Some(evaluation.judging_identity(&answer)?);
        Ok(WorkIds { train, answer: Some(answer), judge })
    }

    /// Trains it, where there is something to train.
    ///
    /// # Errors
    /// When training fails.
    pub fn train(
        &self,
        backend: &'static dyn Backend,
        folder: &RunFolder,
        observer: &mut dyn Observer,
    ) -> Result<(), StudyError> {
        match self {
            Self::Base { .. } => Ok(()),
            Self::Arm(arm) => training::train(arm, backend, folder, observer),
        }
    }

    /// Its rows in `arms` and `steps`, when it is trained.
    ///
    /// # Errors
    /// When what training wrote cannot be read.
    pub fn rows(&self, backend: &'static dyn Backend, root: &Path) -> Result<ArmRows, StudyError> {
        let (record, steps) = match self {
            Self::Base { model, seed, .. } => (arm_record::of_base(model, *seed, backend), Vec::new()),
            Self::Arm(arm) => (arm_record::of_finished(arm, root)?, arm.step_logs(root)?),
        };
        Ok(ArmRows { arms: vec![record], steps, ..ArmRows::default() })
    }

    /// Its weights, and what was trained of them.
    ///
    /// # Errors
    /// When a file is missing or damaged, or training is not finished.
    pub fn load(&self, root: &Path) -> Result<(Decoder, Weights, Tuning), StudyError> {
        match self {
            Self::Base { model, .. } => Ok((model.shape.clone(), model.weights()?, Tuning::none())),
            Self::Arm(arm) => {
                let trained = trained_arm::open(root, &arm.identity)?;
                Ok((trained.file.shape, trained.weights, trained.tuning))
            }
        }
    }
}
