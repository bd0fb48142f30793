//! A model under the name that it has in the frames: a base model as it came, a training of an arm, or one in another form.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use tunebench_model::backend::{Backend, Generator, Parts};
use tunebench_model::{QuantisedWeights, Tuning, Weights};
use tunebench_spec::{Decoder, LossLog};

use crate::arm_record;
use crate::base::SharedBase;
use crate::base_model::BaseModel;
use crate::calibration::Calibration;
use crate::error::StudyError;
use crate::evaluation::Evaluation;
use crate::frames::ArmRows;
use crate::losses;
use crate::model_encoder::ModelEncoder;
use crate::model_key::ModelKey;
use crate::observer::{ArmForecast, Observer};
use crate::prepared_arm::PreparedArm;
use crate::ranks::Ranks;
use crate::run_folder::{self, RunFolder};
use crate::trained_arm;
use crate::training;
use crate::variant::PreparedVariant;
use crate::work::ModelWork;

/// A model that work is done for.
pub enum EvaluatedModel<'a> {
    Base {
        key: ModelKey,
        model: Arc<BaseModel<'a>>,
        encoder: Arc<ModelEncoder>,
    },
    Arm(Box<PreparedArm<'a>>),
    /// A training in another form.
    Variant(Box<PreparedVariant<'a>>),
}

/// What of memory a model that answers is made of.
pub struct Held<'m> {
    pub shape: &'m Decoder,
    pub quantised: Cow<'m, QuantisedWeights>,
    /// Bytes of what is not quantised when it is opened.
    pub plain: u64,
    /// Bytes of what was trained: as it is read, and as the engine holds it.
    pub adapter: u64,
}

/// Bytes of a trained number, f32 as it is read and bf16 as it is multiplied.
const ADAPTER_NUMBER: u64 = 6;

impl EvaluatedModel<'_> {
    pub fn key(&self) -> &ModelKey {
        match self {
            Self::Base { key, .. } => key,
            Self::Arm(arm) => &arm.key,
            Self::Variant(variant) => &variant.key,
        }
    }

    /// SHA-256 of all that decides its weights.
    pub fn identity(&self) -> &str {
        match self {
            Self::Base { model, .. } => &model.identity,
            Self::Arm(arm) => &arm.identity,
            Self::Variant(variant) => &variant.identity,
        }
    }

    /// How its conversations become tokens.
    pub fn encoder(&self) -> &ModelEncoder {
        match self {
            Self::Base { encoder, .. } => encoder,
            Self::Arm(arm) => &arm.data.encoder,
            Self::Variant(variant) => &variant.parent.data.encoder,
        }
    }

    /// Whether it stands for what it is called after, and not for a candidate that may be passed over.
    pub fn is_selected(&self) -> bool {
        match self {
            Self::Base { .. } | Self::Variant(_) => true,
            Self::Arm(arm) => arm.is_selected,
        }
    }

    /// The work on it.
    ///
    /// # Errors
    /// When an item has no JSON form.
    pub fn work(
        &self,
        evaluation: Option<&Evaluation<'_>>,
        backend: &'static dyn Backend,
    ) -> Result<ModelWork, StudyError> {
        let mut work = ModelWork::nothing(self.key().clone());
        let is_evaluated = match self {
            Self::Base { .. } => true,
            Self::Arm(arm) => {
                work.parent.clone_from(&arm.parent);
                work.until = arm.until();
                work.steps = arm.steps;
                // What stops on the way has the name of the whole, and the step.
                work.train = Some(match work.until {
                    Some(step) => tunebench_spec::hash::of_bytes(format!("{}@{step}", arm.identity).as_bytes()),
                    None => arm.identity.clone(),
                });
                if work.until.is_none() {
                    work.measure = Some(arm.data.losses.identity(&arm.identity, backend)?);
                }
                arm.data.plan.arm.evaluate && arm.is_selected
            }
            Self::Variant(variant) => {
                work.parent = Some(variant.parent.key.clone());
                work.measure = Some(variant.parent.data.losses.identity(&variant.identity, backend)?);
                true
            }
        };
        if let Some(evaluation) = evaluation.filter(|_| is_evaluated) {
            let answer = evaluation.request(self.encoder(), self.key()).identity(self.identity())?;
            work.judge = evaluation.judging_identity(&answer)?;
            work.answer = Some(answer);
            work.items = evaluation.items().len() as u64;
        }
        Ok(work)
    }

    /// What would be done for it in this run folder, if it is trained.
    ///
    /// # Errors
    /// When a file of an earlier training is damaged.
    pub fn forecast(&self, root: &Path) -> Result<Option<ArmForecast<'_>>, StudyError> {
        match self {
            Self::Base { .. } | Self::Variant(_) => Ok(None),
            Self::Arm(arm) => arm.forecast(root).map(Some),
        }
    }

    /// Whether its training is not finished.
    pub fn is_to_be_trained(&self, root: &Path) -> bool {
        match self {
            Self::Base { .. } | Self::Variant(_) => false,
            Self::Arm(arm) => !matches!(trained_arm::finished(root, &arm.identity), Ok(Some(_))),
        }
    }

    /// Whether it is trained as far as is asked for now.
    ///
    /// # Errors
    /// When a file of its training, or the losses of the plain base model, cannot be read.
    pub fn is_trained(&self, folder: &RunFolder) -> Result<bool, StudyError> {
        match self {
            Self::Base { .. } | Self::Variant(_) => Ok(true),
            Self::Arm(arm) => training::is_done(arm, folder),
        }
    }

    /// Whether its losses are there.
    ///
    /// # Errors
    /// Never in practice: names and hashes have a JSON form.
    pub fn is_measured(&self, backend: &'static dyn Backend, root: &Path) -> Result<bool, StudyError> {
        let (arm, identity) = match self {
            Self::Base { .. } => return Ok(true),
            Self::Arm(arm) => (&**arm, &arm.identity),
            Self::Variant(variant) => (&variant.parent, &variant.identity),
        };
        let file = run_folder::losses(root, &arm.data.losses.identity(identity, backend)?);
        Ok(file.exists() || trained_arm::has_diverged(root, &arm.identity))
    }

    /// Whether its base stays in memory for what is done next over the same.
    ///
    /// # Errors
    /// When the files of a base model cannot be read.
    pub fn keeps_base(&self, backend: &'static dyn Backend) -> Result<bool, StudyError> {
        match self {
            Self::Base { model, .. } => {
                let quantised = model.quantised()?;
                Ok(backend.kept_base(&model.shape, Tuning::none().recorded(), &quantised, false).is_some())
            }
            Self::Arm(arm) => Ok(arm.data.keeps_base(backend)),
            // All of it becomes plain numbers, whose memory is needed.
            Self::Variant(_) => Ok(false),
        }
    }

    /// What it is when it answers.
    ///
    /// # Errors
    /// When the files of a base model cannot be read.
    pub fn held(&self) -> Result<Held<'_>, StudyError> {
        let plan = match self {
            Self::Base { model, .. } => {
                let (quantised, plain) = (model.quantised()?, model.plain_bytes()?);
                return Ok(Held { shape: &model.shape, quantised: Cow::Owned(quantised), plain, adapter: 0 });
            }
            Self::Arm(arm) => &arm.data.plan,
            Self::Variant(variant) => &variant.parent.data.plan,
        };
        let adapter = ADAPTER_NUMBER * plan.recorded.plan.trainable_params(&plan.shape);
        Ok(Held { shape: &plan.shape, quantised: Cow::Borrowed(&plan.quantised), plain: plan.plain, adapter })
    }

    /// Trains it, where there is something to train. `shared` may have its base.
    ///
    /// # Errors
    /// When training fails.
    pub fn train(
        &self,
        backend: &'static dyn Backend,
        folder: &RunFolder,
        shared: &mut SharedBase,
        calibration: &mut Calibration,
        ranks: &mut Ranks<'_>,
        observer: &mut dyn Observer,
    ) -> Result<(), StudyError> {
        match self {
            Self::Base { .. } | Self::Variant(_) => Ok(()),
            Self::Arm(arm) => {
                training::train(arm, backend, folder, shared, calibration, ranks, observer)?;
                // What is dropped on the way is never measured by itself, and is shown beside the plain base all the same.
                if arm.until().is_some() { measure_base(arm, backend, folder, shared) } else { Ok(()) }
            }
        }
    }

    /// Measures its losses, and those of the plain base model that its chain begins with.
    ///
    /// # Errors
    /// When a model cannot be opened or computed.
    pub fn measure(
        &self,
        backend: &'static dyn Backend,
        folder: &RunFolder,
        shared: &mut SharedBase,
    ) -> Result<(), StudyError> {
        let arm = match self {
            Self::Base { .. } => return Ok(()),
            Self::Arm(arm) => arm,
            Self::Variant(variant) => return measure_variant(variant, backend, folder, shared),
        };
        let (sets, root) = (&arm.data.losses, folder.root());
        measure_base(arm, backend, folder, shared)?;
        // Of a training that broke off there is nothing to measure: it is worse than any other.
        if trained_arm::has_diverged(root, &arm.identity) {
            return Ok(());
        }
        let own = run_folder::losses(root, &sets.identity(&arm.identity, backend)?);
        // Training measures what it ends with, unless the texts have changed since.
        let measured: Vec<LossLog> =
            trained_arm::losses(root, &arm.identity)?.into_iter().filter(|loss| loss.is_final).collect();
        if !own.exists() && sets.are_measured_by(&measured) {
            return Ok(tunebench_files::write_json(&own, &measured)?);
        }
        let shape = &arm.data.plan.shape;
        losses::measure(sets, &own, backend, || {
            let trained = trained_arm::open_over(root, &arm.identity, shared)?;
            Ok(Parts { shape, weights: trained.weights, tuning: trained.tuning })
        })?;
        Ok(())
    }

    /// Its rows in `arms`, `steps` and `losses`, as far as it is trained.
    ///
    /// # Errors
    /// When what training wrote cannot be read.
    pub fn rows(&self, backend: &'static dyn Backend, root: &Path) -> Result<ArmRows, StudyError> {
        match self {
            Self::Base { key, model, .. } => {
                Ok(ArmRows { arms: vec![arm_record::of_base(model, key.seed, backend)], ..ArmRows::default() })
            }
            Self::Arm(arm) => Ok(ArmRows {
                arms: vec![arm_record::of_trained(arm, root)?],
                steps: arm.step_logs(root)?,
                losses: loss_rows(arm, backend, root)?,
                receipts: arm.receipt(root)?.into_iter().collect(),
                ..ArmRows::default()
            }),
            Self::Variant(variant) => Ok(ArmRows {
                arms: vec![variant.record(backend)],
                losses: variant.losses(backend, root)?,
                ..ArmRows::default()
            }),
        }
    }

    /// Opens it for answering.
    ///
    /// # Errors
    /// As [`EvaluatedModel::load`].
    pub fn generator(
        &self,
        backend: &'static dyn Backend,
        root: &Path,
        shared: &mut SharedBase,
    ) -> Result<Box<dyn Generator>, StudyError> {
        let (shape, weights, tuning) = self.load(root, shared)?;
        Ok(backend.generator(Parts { shape: &shape, weights, tuning })?)
    }

    /// Its weights, and what was trained of them; `shared` may have its base.
    ///
    /// # Errors
    /// When a file is missing or damaged, or training is not finished.
    pub fn load(&self, root: &Path, shared: &mut SharedBase) -> Result<(Decoder, Weights, Tuning), StudyError> {
        match self {
            Self::Base { model, .. } => {
                let (weights, tuning) = model.load(shared)?;
                Ok((model.shape.clone(), weights, tuning))
            }
            Self::Arm(arm) => {
                let trained = trained_arm::open_over(root, &arm.identity, shared)?;
                Ok((trained.file.shape, trained.weights, trained.tuning))
            }
            Self::Variant(variant) => variant.load(root, shared),
        }
    }
}

/// Measures a training in another form, and the plain base model.
fn measure_variant(
    variant: &PreparedVariant<'_>,
    backend: &'static dyn Backend,
    folder: &RunFolder,
    shared: &mut SharedBase,
) -> Result<(), StudyError> {
    let (sets, root) = (&variant.parent.data.losses, folder.root());
    measure_base(&variant.parent, backend, folder, shared)?;
    let own = run_folder::losses(root, &sets.identity(&variant.identity, backend)?);
    let shape = &variant.parent.data.plan.shape;
    losses::measure(sets, &own, backend, || {
        let (_, weights, tuning) = variant.load(root, shared)?;
        Ok(Parts { shape, weights, tuning })
    })?;
    Ok(())
}

/// Measures the plain base model that a training's chain begins with, unless that is done.
fn measure_base(
    arm: &PreparedArm<'_>,
    backend: &'static dyn Backend,
    folder: &RunFolder,
    shared: &mut SharedBase,
) -> Result<(), StudyError> {
    let (sets, model) = (&arm.data.losses, &arm.data.model);
    let file = run_folder::losses(folder.root(), &sets.identity(&model.identity, backend)?);
    losses::measure(sets, &file, backend, || {
        let (weights, tuning) = model.load(shared)?;
        Ok(Parts { shape: &model.shape, weights, tuning })
    })?;
    Ok(())
}

/// The losses of a training under its present name: those of the plain base model as step 0, those on the way, and that of
/// its result; on today's texts only.
fn loss_rows(arm: &PreparedArm<'_>, backend: &'static dyn Backend, root: &Path) -> Result<Vec<LossLog>, StudyError> {
    let sets = &arm.data.losses;
    let kept = |identity: &str| -> Result<Vec<LossLog>, StudyError> {
        let file = run_folder::losses(root, &sets.identity(identity, backend)?);
        Ok(losses::read(&file)?.unwrap_or_default())
    };
    let before = kept(&arm.data.model.identity)?.into_iter().map(|loss| LossLog { step: 0, is_final: false, ..loss });
    let on_the_way = trained_arm::losses(root, &arm.identity)?.into_iter().filter(|loss| !loss.is_final);
    let step = trained_arm::kept_step(root, &arm.identity)?;
    let after = kept(&arm.identity)?.into_iter().map(|loss| LossLog {
        step: step.unwrap_or(loss.step),
        is_final: true,
        ..loss
    });
    let ModelKey { arm: name, candidate, seed, .. } = &arm.key;
    let named = |loss| LossLog { arm: name.clone(), candidate: candidate.clone(), seed: *seed, ..loss };
    let all = before.chain(on_the_way).chain(after);
    Ok(all.filter(|loss| sets.0.iter().any(|set| set.hash == loss.set_hash)).map(named).collect())
}
