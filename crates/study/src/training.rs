//! Training: what is trained under an identity is never trained again.

use std::ops::ControlFlow;

use tunebench_dataset::TokenStats;
use tunebench_kernels::machine;
use tunebench_model::Tuning;
use tunebench_model::backend::Backend;
use tunebench_train::{Outcome, Progress};

use crate::arm_record;
use crate::board::Board;
use crate::calibration::Calibration;
use crate::error::{Locate, StudyError};
use crate::memory;
use crate::observer::{Event, Observer, Stop};
use crate::prepared_arm::PreparedArm;
use crate::run_folder::RunFolder;
use crate::selection::Extent;
use crate::trained_arm::{self, ArmFile};

/// Trains an arm as far as is asked for now, or goes on with its training, or does nothing when that is done. The training
/// of a candidate that diverges is noted: it is worse than any other.
///
/// # Errors
/// When it does not fit this machine, its base cannot be opened, training fails, or the user stops it.
pub fn train(
    arm: &PreparedArm<'_>,
    backend: &'static dyn Backend,
    folder: &RunFolder,
    calibration: &mut Calibration,
    observer: &mut dyn Observer,
) -> Result<(), StudyError> {
    let root = folder.root();
    if let Some(file) = trained_arm::finished(root, &arm.identity)? {
        observer.on_event(&Event::AlreadyTrained { model: &arm.key });
        // The model's files may lie elsewhere by now; their content is the same.
        return match file.base == arm.base {
            true => Ok(()),
            false => trained_arm::finish(root, &ArmFile { base: arm.base.clone(), ..file }),
        };
    }
    if is_far_enough(arm, folder)? {
        observer.on_event(&Event::AlreadyTrained { model: &arm.key });
        return Ok(());
    }
    warn(arm, observer);
    match train_arm(arm, backend, folder, calibration, observer) {
        Err(StudyError::Training(error)) if error.is_divergence() && arm.is_candidate() => {
            trained_arm::mark_diverged(root, &arm.identity, &error.to_string())?;
            observer.on_event(&Event::CandidateDiverged { model: &arm.key, why: &error.to_string() });
            Ok(())
        }
        result => result.in_arm(&arm.key.to_string()),
    }
}

/// Whether nothing is left to train of what is asked for now.
///
/// # Errors
/// When a file of the training cannot be read.
pub fn is_done(arm: &PreparedArm<'_>, folder: &RunFolder) -> Result<bool, StudyError> {
    Ok(trained_arm::finished(folder.root(), &arm.identity)?.is_some() || is_far_enough(arm, folder)?)
}

/// Whether a candidate was compared at the step that is asked for, or is known to diverge.
fn is_far_enough(arm: &PreparedArm<'_>, folder: &RunFolder) -> Result<bool, StudyError> {
    if arm.is_candidate() && trained_arm::has_diverged(folder.root(), &arm.identity) {
        return Ok(true);
    }
    let (Extent::Until(step), Some(set)) = (arm.extent, arm.data.losses.held_out()) else { return Ok(false) };
    let losses = trained_arm::losses(folder.root(), &arm.identity)?;
    let is_measured = losses.iter().any(|loss| loss.step == step && loss.set_hash == set.hash);
    // The loss is logged first: a kill may have come before the stop itself was noted.
    let stopped = trained_arm::stopped(folder.root(), &arm.identity)?;
    Ok(is_measured && stopped.is_some_and(|record| record.steps >= step))
}

/// What its training will not learn from.
fn warn(arm: &PreparedArm<'_>, observer: &mut dyn Observer) {
    let (model, set) = (&arm.key, &arm.data.set);
    for skips in [&set.row_skips, &set.stats.skips].into_iter().filter(|s| s.total() > 0) {
        observer.on_event(&Event::ExamplesSkipped { model, skips });
    }
    let TokenStats { truncated: examples, lost_tokens, .. } = set.stats;
    if examples > 0 {
        let max_length = arm.data.recipe.recipe.max_length;
        observer.on_event(&Event::ExamplesTruncated { model, examples, lost_tokens, max_length });
    }
}

fn train_arm(
    prepared: &PreparedArm<'_>,
    backend: &'static dyn Backend,
    folder: &RunFolder,
    calibration: &mut Calibration,
    observer: &mut dyn Observer,
) -> Result<(), StudyError> {
    let (plan, recipe) = (prepared.data.plan, &prepared.data.recipe.recipe);
    let (key, shape, seed) = (&prepared.key, &plan.shape, prepared.key.seed);
    if let Some(needed) = prepared.data.memory(backend)
        && let Some(limit) = memory::exceeded(needed, backend)
    {
        return Err(StudyError::TooLarge { needed, limit: Box::new(limit) });
    }
    // Said now, when it is not known yet, and only of what is trained now.
    let predicted = prepared.data.seconds(calibration, backend)?;
    machine::memory::reset_peak();
    let dir = folder.training(&prepared.identity);
    let weights = trained_arm::base_weights(folder.root(), &prepared.base, shape)?;
    let tuning = Tuning::init(shape, &weights, plan.recorded.clone(), seed)?;
    observer.on_event(&Event::TrainingStarted { model: key, steps: prepared.until().unwrap_or(prepared.steps) });
    let job = tunebench_train::Job {
        arm: &key.arm,
        candidate: &key.candidate,
        shape,
        weights,
        tuning,
        examples: &prepared.data.set.examples,
        recipe,
        seed,
        backend,
        dir: &dir,
        held_out: &prepared.data.losses.as_held_out(),
        until: prepared.until(),
    };
    let mut board = Board::begin(folder.root(), key, &prepared.identity, &prepared.data.recipe.origins)?;
    let (mut is_stopped_by_user, mut written) = (false, Ok(()));
    let outcome = tunebench_train::train(job, &mut |progress| {
        let shown = match progress {
            Progress::Step(step) => {
                observer.on_event(&Event::Step { model: key, step });
                board.step(step)
            }
            Progress::Receipt(receipt) => {
                observer.on_event(&Event::Receipt { model: key, receipt });
                Ok(())
            }
            Progress::Loss(loss) => {
                observer.on_event(&Event::Loss { model: key, loss });
                board.loss(loss)
            }
        };
        // What is shown elsewhere is no reason to end a training; it is made anew from the logs.
        if written.is_ok() {
            written = shown;
        }
        is_stopped_by_user = observer.stop() != Stop::No;
        if is_stopped_by_user { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if let Err(error) = written {
        observer.on_event(&Event::BoardFailed { model: key, error: &error });
    }
    let steps = tunebench_train::steps(&dir)?;
    let peak = machine::memory::peak().unwrap_or(0);
    match outcome {
        Outcome::Stopped => {
            trained_arm::stop(
                folder.root(),
                &arm_record::of_training(prepared, &steps, None, predicted, backend, peak),
            )?;
            if is_stopped_by_user { Err(StudyError::Stopped) } else { Ok(()) }
        }
        Outcome::Finished => {
            prepared.data.encoder.tokenizer.save(&dir)?;
            let kept_step = tunebench_train::kept_step(&dir)?;
            let file = ArmFile {
                record: arm_record::of_training(prepared, &steps, Some(kept_step), predicted, backend, peak),
                shape: shape.clone(),
                template: plan.form.template.to_owned(),
                add_bos_token: plan.form.add_bos_token,
                base: prepared.base.clone(),
            };
            observer.on_event(&Event::Trained { model: key, record: &file.record });
            trained_arm::finish(folder.root(), &file)
        }
    }
}
