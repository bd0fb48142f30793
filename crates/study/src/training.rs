//! Training: what is trained under an identity is never trained again.

use std::ops::ControlFlow;
use std::path::Path;

use tunebench_dataset::TokenStats;
use tunebench_kernels::machine;
use tunebench_model::backend::Backend;
use tunebench_model::{Tuning, Weights};
use tunebench_train::{Job, OnProgress, Outcome, Progress, train_in_ranks};

use crate::arm_record;
use crate::base::SharedBase;
use crate::board::Board;
use crate::calibration::Calibration;
use crate::error::{Locate, StudyError};
use crate::memory;
use crate::observer::{Event, Observer, Stop};
use crate::patience::patiently;
use crate::prepared_arm::PreparedArm;
use crate::ranks::{Order, Ranks};
use crate::run_folder::{self, RunFolder};
use crate::selection::Extent;
use crate::sessions::{self, Session};
use crate::trained_arm::{self, ArmFile};

/// Trains an arm as far as is asked for now, or goes on with its training, or does nothing when that is done. The training
/// of a candidate that diverges is noted: it is worse than any other. `shared` may have its base.
///
/// # Errors
/// When it does not fit this machine, its base cannot be opened, training fails, or the user stops it.
pub fn train(
    arm: &PreparedArm<'_>,
    backend: &'static dyn Backend,
    folder: &RunFolder,
    shared: &mut SharedBase,
    calibration: &mut Calibration,
    ranks: &mut Ranks<'_>,
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
    match train_arm(arm, backend, folder, shared, calibration, ranks, observer) {
        Err(StudyError::Training(error)) if error.is_divergence() && arm.is_candidate() => {
            trained_arm::mark_diverged(root, &arm.identity, &error.to_string())?;
            observer.on_event(&Event::CandidateDiverged { model: &arm.key, why: &error.to_string() });
            Ok(())
        }
        result => result.in_arm(&arm.key.to_string()),
    }
}

/// Trains an arm with the first rank, which was told that it is to be, and which tells what comes of it.
///
/// # Errors
/// When it cannot be trained here, or the ranks are apart.
pub fn follow(
    arm: Result<&PreparedArm<'_>, StudyError>,
    backend: &'static dyn Backend,
    root: &Path,
    shared: &mut SharedBase,
    ranks: &mut Ranks<'_>,
    observer: &dyn Observer,
) -> Result<(), StudyError> {
    let opened = arm.and_then(|arm| Ok((arm, patiently(observer, || Start::open(arm, backend, root, shared))?)));
    let (arm, start) = ranks.agree(opened)?;
    let dir = run_folder::training(root, &arm.identity);
    start.train(arm, backend, &dir, ranks, &mut |_| {
        if observer.stop() == Stop::No { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(())
}

/// What a training starts from, opened.
struct Start {
    weights: Weights,
    tuning: Tuning,
}

impl Start {
    fn open(
        arm: &PreparedArm<'_>,
        backend: &'static dyn Backend,
        root: &Path,
        shared: &mut SharedBase,
    ) -> Result<Self, StudyError> {
        if let Some(need) = arm.data.memory(backend)
            && let Some(limit) = memory::exceeded(need, backend)
        {
            return Err(StudyError::TooLarge { needed: need.required(&limit), limit: Box::new(limit) });
        }
        let plan = arm.data.plan;
        let weights = trained_arm::base_weights(root, &arm.base, &plan.shape, shared)?;
        let tuning = Tuning::init(&plan.shape, &weights, plan.recorded.clone(), arm.key.seed)?;
        Ok(Self { weights, tuning })
    }

    /// Trains from it, by all ranks.
    fn train(
        self,
        arm: &PreparedArm<'_>,
        backend: &'static dyn Backend,
        dir: &Path,
        ranks: &mut Ranks<'_>,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<Outcome, StudyError> {
        let job = Job {
            arm: &arm.key.arm,
            candidate: &arm.key.candidate,
            shape: &arm.data.plan.shape,
            weights: self.weights,
            tuning: self.tuning,
            examples: &arm.data.set.examples,
            recipe: &arm.data.recipe.recipe,
            seed: arm.key.seed,
            backend,
            dir,
            held_out: &arm.data.losses.as_held_out(),
            until: arm.until(),
        };
        Ok(train_in_ranks(job, ranks.exchange(), on_progress)?)
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
    shared: &mut SharedBase,
    calibration: &mut Calibration,
    ranks: &mut Ranks<'_>,
    observer: &mut dyn Observer,
) -> Result<(), StudyError> {
    let (plan, key) = (prepared.data.plan, &prepared.key);
    shared.hold_only(&prepared.base, &plan.shape);
    // Said now, when it is not known yet, and only of what is trained now; of several ranks it is not known.
    let predicted = if ranks.is_alone() { prepared.data.seconds(calibration, backend)? } else { None };
    let mut board = Board::begin(folder.root(), key, &prepared.identity, &prepared.data.recipe.origins)?;
    let sessions = sessions::begin(folder.root(), &prepared.identity, Session::of(ranks.size())?)?;
    if let [.., before, now] = &sessions[..]
        && before.level != now.level
    {
        observer.on_event(&Event::OtherLevel { model: key, before: &before.level, now: &now.level });
    }
    ranks.lead(&Order::Train { model: key.clone(), identity: prepared.identity.clone() })?;
    // What was measured or tokenized before is no part of this training's peak.
    machine::memory::give_back();
    machine::memory::reset_peak();
    let start = ranks.agree(Start::open(prepared, backend, folder.root(), shared))?;
    observer.on_event(&Event::TrainingStarted { model: key, steps: prepared.until().unwrap_or(prepared.steps) });
    let dir = folder.training(&prepared.identity);
    let (mut is_stopped_by_user, mut written) = (false, Ok(()));
    let outcome = start.train(prepared, backend, &dir, ranks, &mut |progress| {
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
                &arm_record::of_training(prepared, (&steps, &sessions), None, predicted, backend, peak),
            )?;
            let is_far_enough = prepared.until().is_some_and(|until| steps.len() as u64 >= until);
            // The user may have ended it on another rank.
            if is_stopped_by_user || !is_far_enough { Err(StudyError::Stopped) } else { Ok(()) }
        }
        Outcome::Finished => {
            prepared.data.encoder.tokenizer.save(&dir)?;
            let kept_step = tunebench_train::kept_step(&dir)?;
            let file = ArmFile {
                record: arm_record::of_training(
                    prepared,
                    (&steps, &sessions),
                    Some(kept_step),
                    predicted,
                    backend,
                    peak,
                ),
                shape: plan.shape.clone(),
                template: plan.form.template.to_owned(),
                add_bos_token: plan.form.add_bos_token,
                base: prepared.base.clone(),
            };
            observer.on_event(&Event::Trained { model: key, record: &file.record });
            trained_arm::finish(folder.root(), &file)
        }
    }
}
