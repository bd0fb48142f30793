//! Training: what is trained under an identity is never trained again.

use std::ops::ControlFlow;

use tunebench_dataset::TokenStats;
use tunebench_kernels::machine;
use tunebench_model::Tuning;
use tunebench_model::backend::Backend;

use crate::arm_record;
use crate::error::{Locate, StudyError};
use crate::memory;
use crate::observer::{Event, Observer};
use crate::prepared_arm::PreparedArm;
use crate::run_folder::RunFolder;
use crate::trained_arm::{self, ArmFile};

/// Trains an arm, or goes on with its training, or does nothing when it is finished.
///
/// # Errors
/// When it does not fit this machine, its base cannot be opened, or training fails.
pub fn train(
    arm: &PreparedArm<'_>,
    backend: &'static dyn Backend,
    folder: &RunFolder,
    observer: &mut dyn Observer,
) -> Result<(), StudyError> {
    let name = &arm.plan.arm.name;
    if let Some(file) = trained_arm::finished(folder.root(), &arm.identity)? {
        observer.on_event(&Event::AlreadyTrained { arm: name });
        // The model's files may lie elsewhere by now; their content is the same.
        return trained_arm::finish(folder.root(), &ArmFile { base: arm.base.clone(), ..file });
    }
    warn(arm, observer);
    train_arm(arm, backend, folder, observer).in_arm(name)
}

/// What its training will not learn from, and a schedule that cannot be meant.
fn warn(arm: &PreparedArm<'_>, observer: &mut dyn Observer) {
    let name = &arm.plan.arm.name;
    for skips in [&arm.set.row_skips, &arm.set.stats.skips].into_iter().filter(|s| s.total() > 0) {
        observer.on_event(&Event::ExamplesSkipped { arm: name, skips });
    }
    let TokenStats { truncated: examples, lost_tokens, .. } = arm.set.stats;
    if examples > 0 {
        let max_length = arm.plan.recipe.max_length;
        observer.on_event(&Event::ExamplesTruncated { arm: name, examples, lost_tokens, max_length });
    }
    let warmup_steps = arm.plan.recipe.warmup(arm.steps);
    if warmup_steps >= arm.steps {
        observer.on_event(&Event::WarmupTooLong { arm: name, steps: arm.steps, warmup_steps });
    }
}

fn train_arm(
    prepared: &PreparedArm<'_>,
    backend: &'static dyn Backend,
    folder: &RunFolder,
    observer: &mut dyn Observer,
) -> Result<(), StudyError> {
    let plan = prepared.plan;
    let (name, shape) = (&plan.arm.name, &plan.shape);
    if let (Some(needed), Some(total)) = (plan.memory(backend), memory::of_machine())
        && needed > total
    {
        return Err(StudyError::TooLarge { needed, total });
    }
    machine::memory::reset_peak();
    let dir = folder.training(&prepared.identity);
    let weights = trained_arm::base_weights(folder.root(), &prepared.base, shape)?;
    let tuning = Tuning::init(shape, &weights, plan.recorded.clone(), plan.seed)?;
    observer.on_event(&Event::TrainingStarted { arm: name, steps: prepared.steps });
    let job = tunebench_train::Job {
        arm: name,
        shape,
        weights,
        tuning,
        examples: &prepared.set.examples,
        recipe: &plan.recipe,
        seed: plan.seed,
        backend,
        dir: &dir,
    };
    tunebench_train::train(job, &mut |step| {
        observer.on_event(&Event::Step(step));
        ControlFlow::Continue(())
    })?;
    prepared.encoder.tokenizer.save(&dir)?;
    let steps = tunebench_train::steps(&dir)?;
    let file = ArmFile {
        record: arm_record::of_training(prepared, &steps, backend, machine::memory::peak().unwrap_or(0)),
        shape: shape.clone(),
        template: plan.template.to_owned(),
        base: prepared.base.clone(),
    };
    observer.on_event(&Event::Trained(&file.record));
    trained_arm::finish(folder.root(), &file)
}
