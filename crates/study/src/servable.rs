//! Models of a run folder under the names that a server may have for them: trained arms, and the base models they start from.

use std::path::{Path, PathBuf};

use tunebench_local_chat::{ChatTemplate, LocalModel};
use tunebench_model::{QuantisedWeights, Tuning};
use tunebench_spec::{ArmRecord, Decoder, WeightPlan};

use crate::base::{Base, SharedBase};
use crate::error::{Locate, StudyError};
use crate::run_folder;
use crate::trained_arm::{self, ArmFile, TrainedArm};

/// A model that can be served; no weight is read yet.
pub struct Servable {
    /// As it was asked for.
    pub id: String,
    pub shape: Decoder,
    /// What of its weights is held quantised.
    pub quantised: QuantisedWeights,
    /// Numbers that were trained of it.
    pub trained: u64,
    /// The template that its conversations are written in.
    pub template: String,
    add_bos_token: bool,
    root: PathBuf,
    file: ArmFile,
    is_base: bool,
}

/// The models of these names in a run folder: an arm, as [`trained_arm::find`] takes it, or a base model by its id.
///
/// # Errors
/// When there is none of a name, or nothing of it was trained.
pub fn servable(root: &Path, names: &[String]) -> Result<Vec<Servable>, StudyError> {
    let arms: Vec<ArmRecord> = tunebench_results::Frames::open(root)?.read()?;
    names.iter().map(|name| one(root, name, &arms)).collect()
}

fn one(root: &Path, name: &str, arms: &[ArmRecord]) -> Result<Servable, StudyError> {
    let is_trained = |record: &&ArmRecord| record.selected && record.steps > 0;
    let is_arm = arms.iter().any(|record| record.arm == name && record.steps > 0);
    let child = arms.iter().filter(is_trained).find(|record| record.base == name).filter(|_| !is_arm);
    let record = match child {
        Some(child) => child,
        None => trained_arm::named(root, arms, name)?,
    };
    let Some(file) = trained_arm::finished(root, &record.identity)? else {
        return Err(StudyError::Unfinished { folder: run_folder::training(root, &record.identity) });
    };
    // A base model is asked as the study asks it, whatever the arms over it say.
    let (template, add_bos_token) = match child {
        None => (file.template.clone(), file.add_bos_token),
        Some(_) => {
            let header = run_folder::study(root)?.study;
            (header.template, header.add_bos_token)
        }
    };
    Ok(Servable {
        id: name.to_owned(),
        shape: file.shape.clone(),
        quantised: quantised(root, &file.base)?,
        trained: if child.is_some() { 0 } else { record.trainable_params },
        template,
        add_bos_token,
        root: root.to_owned(),
        file,
        is_base: child.is_some(),
    })
}

/// What is held quantised of the weights that an arm starts from: of its chain's model, what no arm below has changed.
fn quantised(root: &Path, base: &Base) -> Result<QuantisedWeights, StudyError> {
    match base {
        Base::Init { .. } => Ok(QuantisedWeights::new()),
        Base::Files { files, .. } => files.quantised(),
        Base::Arm { identity } => {
            let folder = run_folder::training(root, identity);
            let Some(parent) = trained_arm::finished(root, identity)? else {
                return Err(StudyError::Unfinished { folder });
            };
            let mut held = quantised(root, &parent.base)?;
            let changed = tunebench_train::load_plan(&folder)?.plan.weights;
            held.retain(|name, _| changed.get(name).is_none_or(|plan| *plan == WeightPlan::Frozen));
            Ok(held)
        }
    }
}

impl Servable {
    /// Reads its weights.
    ///
    /// # Errors
    /// When a file is missing or damaged, or a base model is not what was trained on.
    pub fn open(self) -> Result<LocalModel, StudyError> {
        let Self { id, shape, template, add_bos_token, root, file, is_base, .. } = self;
        let identity = file.record.identity.clone();
        let TrainedArm { weights, tuning, tokenizer, .. } = match is_base {
            false => trained_arm::open(&root, &identity)?,
            true => TrainedArm {
                weights: trained_arm::base_weights(&root, &file.base, &file.shape, &mut SharedBase::none())
                    .at(format_args!("model `{id}`"))?,
                tuning: Tuning::none(),
                tokenizer: trained_arm::tokenizer(&root, &identity)?,
                file: file.clone(),
            },
        };
        let identity = match (&file.base, is_base) {
            (Base::Files { identity, .. }, true) => identity.clone(),
            (Base::Init { seed }, true) => format!("init {seed}"),
            _ => identity,
        };
        Ok(LocalModel {
            name: id,
            identity,
            shape,
            weights,
            tuning,
            tokenizer,
            template: ChatTemplate::Named(template),
            add_bos_token,
        })
    }
}
