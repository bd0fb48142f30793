//! The row of `arms` that tells of one model.

use std::path::Path;

use tunebench_model::backend::Backend;
use tunebench_spec::study::Form;
use tunebench_spec::{ArmRecord, StepLog};

use crate::base_model::BaseModel;
use crate::error::StudyError;
use crate::model_key::ModelKey;
use crate::prepared_arm::PreparedArm;
use crate::sessions::{self, Session};
use crate::{run_folder, trained_arm};

/// A base model as it came.
pub fn of_base(model: &BaseModel<'_>, seed: u64, backend: &'static dyn Backend) -> ArmRecord {
    untrained(model.id(), &model.identity, model.shape.params(), seed, backend)
}

/// A training that has just been finished with the weights of step `kept_step`, or, without such, stopped on the way.
pub fn of_training(
    arm: &PreparedArm<'_>,
    (steps, sessions): (&[StepLog], &[Session]),
    kept_step: Option<u64>,
    predicted_seconds: Option<f64>,
    backend: &'static dyn Backend,
    peak_rss_bytes: u64,
) -> ArmRecord {
    let plan = arm.data.plan;
    let train_seconds: f64 = steps.iter().map(|s| s.seconds).sum();
    let tokens: u64 = steps.iter().map(|s| s.tokens).sum();
    let epochs = steps.last().map_or(0.0, |s| s.epoch);
    let last = &steps[steps.len() - steps.len().div_ceil(10)..];
    let mean = last.iter().map(|s| s.loss).sum::<f64>() / last.len() as f64;
    let record = ArmRecord {
        examples: arm.data.set.count(),
        trainable_params: plan.recorded.plan.trainable_params(&plan.shape),
        additional_params: plan.recorded.plan.additional_params(),
        epochs,
        steps: steps.len() as u64,
        kept_step: kept_step.unwrap_or(0),
        tokens,
        train_seconds,
        hours_per_epoch: train_seconds / 3600.0 / epochs.max(f64::MIN_POSITIVE),
        tokens_per_second: tokens as f64 / train_seconds.max(f64::MIN_POSITIVE),
        peak_rss_bytes,
        predicted_seconds,
        predicted_peak_bytes: arm.data.peak(backend),
        final_loss: (!last.is_empty()).then_some(mean),
        computed_by: sessions::shown(sessions),
        ..untrained(&plan.arm.name, &arm.identity, plan.shape.params(), arm.key.seed, backend)
    };
    named(arm, record)
}

/// A training in another form: nothing was trained for it.
pub fn of_variant(
    key: &ModelKey,
    form: Form,
    identity: &str,
    parent: &PreparedArm<'_>,
    backend: &'static dyn Backend,
) -> ArmRecord {
    let plan = parent.data.plan;
    ArmRecord {
        candidate: key.candidate.clone(),
        base: plan.arm.name.clone(),
        tuner: form.name().to_owned(),
        dataset: plan.arm.dataset.clone(),
        template: plan.form.template.to_owned(),
        ..untrained(&key.arm, identity, plan.shape.params(), key.seed, backend)
    }
}

/// The record of a training, finished or stopped on the way, under the arm's present names: those may have changed since,
/// what they stand for has not.
///
/// # Errors
/// When it never ran so far, or its record cannot be read.
pub fn of_trained(arm: &PreparedArm<'_>, root: &Path) -> Result<ArmRecord, StudyError> {
    if let Some(file) = trained_arm::finished(root, &arm.identity)? {
        return Ok(named(arm, file.record));
    }
    match trained_arm::stopped(root, &arm.identity)? {
        Some(record) => Ok(named(arm, record)),
        None if trained_arm::has_diverged(root, &arm.identity) => {
            let plan = arm.data.plan;
            Ok(named(arm, untrained(&plan.arm.name, &arm.identity, plan.shape.params(), arm.key.seed, arm.backend)))
        }
        None => Err(StudyError::Unfinished { folder: run_folder::training(root, &arm.identity) }),
    }
}

fn named(prepared: &PreparedArm<'_>, record: ArmRecord) -> ArmRecord {
    let (data, arm) = (&prepared.data, prepared.data.plan.arm);
    let options = serde_json::Map::from_iter(data.plan.options());
    ArmRecord {
        arm: arm.name.clone(),
        candidate: prepared.key.candidate.clone(),
        selected: prepared.is_selected,
        base: arm.base.clone(),
        tuner: arm.tuner.clone(),
        options: serde_json::Value::Object(options).to_string(),
        dataset: arm.dataset.clone(),
        template: data.plan.form.template.to_owned(),
        recipe: data.recipe.origins.clone(),
        skipped_examples: data.set.skipped(),
        held_out_examples: data.set.held_out,
        evaluated: arm.evaluate && prepared.is_selected,
        ..record
    }
}

fn untrained(name: &str, identity: &str, model_params: u64, seed: u64, backend: &'static dyn Backend) -> ArmRecord {
    ArmRecord {
        arm: name.to_owned(),
        candidate: String::new(),
        selected: true,
        base: String::new(),
        tuner: "none".to_owned(),
        options: "{}".to_owned(),
        dataset: String::new(),
        template: String::new(),
        recipe: "{}".to_owned(),
        examples: 0,
        skipped_examples: 0,
        held_out_examples: 0,
        seed,
        engine: backend.name().to_owned(),
        precision: backend.precision().to_owned(),
        computed_by: String::new(),
        model_params,
        trainable_params: 0,
        additional_params: 0,
        epochs: 0.0,
        steps: 0,
        kept_step: 0,
        tokens: 0,
        train_seconds: 0.0,
        hours_per_epoch: 0.0,
        tokens_per_second: 0.0,
        peak_rss_bytes: 0,
        predicted_seconds: None,
        predicted_peak_bytes: None,
        final_loss: None,
        identity: identity.to_owned(),
        evaluated: true,
    }
}
