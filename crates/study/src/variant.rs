//! "The same, but …": a training in another form. Its weights come of the training; it answers and is measured by itself.

use std::path::Path;

use serde_json::json;
use tunebench_model::backend::Backend;
use tunebench_model::{Tuning, Weights};
use tunebench_spec::study::{Form, Variant};
use tunebench_spec::{ArmRecord, Decoder, LossLog, hash};

use crate::arm_record;
use crate::base::SharedBase;
use crate::error::{Locate, StudyError};
use crate::losses;
use crate::model_key::ModelKey;
use crate::prepared_arm::PreparedArm;
use crate::run_folder;
use crate::trained_arm::{self, in_form};

/// Raised when a change of the code changes what a form does to weights.
const FORM_VERSION: u32 = 1;

/// A training in another form, ready to answer.
pub struct PreparedVariant<'a> {
    pub key: ModelKey,
    pub form: Form,
    /// The training that it is of.
    pub parent: PreparedArm<'a>,
    /// SHA-256 of all that decides its weights.
    pub identity: String,
}

impl<'a> PreparedVariant<'a> {
    /// Another form of a training.
    ///
    /// # Errors
    /// Never in practice: names and hashes have a JSON form.
    pub fn new(variant: &Variant, parent: &PreparedArm<'a>) -> Result<Self, StudyError> {
        let identity = identity(&parent.identity, variant.form)?;
        let key = ModelKey { arm: variant.name.clone(), candidate: String::new(), ..parent.key.clone() };
        Ok(Self { key, form: variant.form, parent: parent.clone(), identity })
    }

    /// Its weights, nothing beside them; `shared` may have its training's base.
    ///
    /// # Errors
    /// When its training is not finished, cannot be folded, or a number does not fit the form.
    pub fn load(&self, root: &Path, shared: &mut SharedBase) -> Result<(Decoder, Weights, Tuning), StudyError> {
        let trained = trained_arm::open_over(root, &self.parent.identity, shared)?;
        let formed = in_form(root, trained, self.form).in_arm(&self.key.to_string())?;
        Ok((formed.file.shape, formed.weights, formed.tuning))
    }

    /// Its row in `arms`.
    pub fn record(&self, backend: &'static dyn Backend) -> ArmRecord {
        arm_record::of_variant(&self.key, self.form, &self.identity, &self.parent, backend)
    }

    /// Its losses and those of the plain base model, under its name, as far as they are measured.
    ///
    /// # Errors
    /// When a file of them cannot be read.
    pub fn losses(&self, backend: &'static dyn Backend, root: &Path) -> Result<Vec<LossLog>, StudyError> {
        let (sets, model) = (&self.parent.data.losses, &self.parent.data.model);
        let step = trained_arm::kept_step(root, &self.parent.identity)?.unwrap_or(0);
        let kept = |identity: &str| -> Result<Vec<LossLog>, StudyError> {
            let file = run_folder::losses(root, &sets.identity(identity, backend)?);
            Ok(losses::read(&file)?.unwrap_or_default())
        };
        let ModelKey { arm, candidate, seed, .. } = &self.key;
        let named = |step: u64, is_final: bool| {
            move |loss: LossLog| LossLog {
                arm: arm.clone(),
                candidate: candidate.clone(),
                seed: *seed,
                step,
                is_final,
                ..loss
            }
        };
        let before = kept(&model.identity)?.into_iter().map(named(0, false));
        Ok(before.chain(kept(&self.identity)?.into_iter().map(named(step, true))).collect())
    }
}

/// Names a training in another form.
///
/// # Errors
/// Never in practice.
fn identity(training: &str, form: Form) -> Result<String, StudyError> {
    Ok(hash::of_json(&json!({ "form": [form.name(), FORM_VERSION.to_string()], "of": training }))?)
}
