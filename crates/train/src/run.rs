//! The training loop, read from top to bottom.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use tunebench_dataset::Tokenized;
use tunebench_files::create_folder;
use tunebench_kernels::optim::adamw::AdamWParams;
use tunebench_model::backend::{Backend, OptimizerStep, Parts, Sequence, StepKey, StepTotals};
use tunebench_model::{Tuning, Weights};
use tunebench_spec::{Decoder, Recipe, StepLog};

use crate::Error;
use crate::batches::Steps;
use crate::checkpoint::{self, Checkpoint};

/// All that a training run depends on.
pub struct Job<'a> {
    /// For the log.
    pub arm: &'a str,
    pub shape: &'a Decoder,
    /// What it starts from.
    pub weights: Weights,
    /// What is trained of it, at its beginning.
    pub tuning: Tuning,
    pub examples: &'a [Tokenized],
    pub recipe: &'a Recipe,
    pub seed: u64,
    pub backend: &'a dyn Backend,
    /// Where checkpoint, log and result are kept. A folder belongs to one job; the caller names it by what the job is.
    pub dir: &'a Path,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The result is in the folder.
    Finished,
    /// The caller asked to stop; another run goes on from there.
    Stopped,
}

/// Trains, or goes on from the last checkpoint in the job's folder. `on_step` hears of every step and may stop the run.
///
/// # Errors
/// When nothing is trained or learnt from, when the loss or a gradient is not finite, or when the folder cannot be
/// read or written.
pub fn train(job: Job<'_>, on_step: &mut dyn FnMut(&StepLog) -> ControlFlow<()>) -> Result<Outcome, Error> {
    let Job { arm, shape, weights, tuning, examples, recipe, seed, backend, dir } = job;
    if checkpoint::is_finished(dir) {
        checkpoint::clear(dir)?;
        return Ok(Outcome::Finished);
    }
    if tuning.values().is_empty() {
        return Err(Error::NothingTrained);
    }
    if examples.iter().all(|e| e.n_labels() == 0) {
        return Err(Error::NoLabels);
    }
    create_folder(dir)?;

    let recorded = tuning.recorded().clone();
    let found = checkpoint::load(dir)?;
    let (tuning, states, start) = match found {
        None => (tuning, BTreeMap::new(), 0),
        Some(found) => {
            checkpoint::fit(shape, &recorded, &found, dir)?;
            let Checkpoint { steps, values, states } = found;
            (Tuning::new(shape, recorded.clone(), values)?, states, steps)
        }
    };
    let parts = Parts { shape, weights, tuning };
    let mut model = backend.trainable(parts, states, recipe.gradient_checkpointing)?;

    let Recipe { beta1, beta2, epsilon, weight_decay, .. } = *recipe;
    let adamw = AdamWParams { beta1, beta2, epsilon, weight_decay };

    let mut log = checkpoint::open_log(dir, start)?;
    let mut steps = Steps::new(examples, recipe, seed, model.layout()).with_prefix(recorded.plan.virtual_count());
    for step in start..steps.total {
        let begin = Instant::now();
        let micro_batches = steps.step(step);
        let learning_rate = recipe.learning_rate_at(step, steps.total);
        let sequences: Vec<Vec<Sequence<'_>>> = micro_batches.iter().map(|of| of.sequences(examples)).collect();
        model.zero_grad();
        let StepTotals { loss, labels, tokens } = model.accumulate(&sequences, StepKey { seed, step })?;
        let per_label = 1.0 / labels.max(1) as f64;
        let loss = loss * per_label;
        if !loss.is_finite() {
            return Err(Error::Diverged { step: step + 1, loss });
        }
        let grad_norm = model.grad_norm().map_err(|error| Error::in_step(step + 1, error))? * per_label;
        let clip = clip(grad_norm, recipe);
        if labels > 0 {
            let gradient_scale = per_label * clip;
            model.update(&OptimizerStep { adamw, number: step + 1, learning_rate, gradient_scale })?;
        }

        let done = step + 1;
        let seconds = begin.elapsed().as_secs_f64();
        let epoch = steps.epochs(done);
        let line = StepLog { arm: arm.to_owned(), step: done, epoch, loss, learning_rate, grad_norm, tokens, seconds };
        log.append(&line)?;
        if done == steps.total {
            // Too late to stop.
            let _ = on_step(&line);
            break;
        }
        let is_stopped = on_step(&line).is_break();
        if is_stopped || recipe.checkpoint_steps > 0 && done.is_multiple_of(recipe.checkpoint_steps as u64) {
            // The lines before a checkpoint must last at least as long as it does.
            log.sync()?;
            checkpoint::save(dir, done, model.as_ref())?;
        }
        if is_stopped {
            return Ok(Outcome::Stopped);
        }
    }
    log.sync()?;
    checkpoint::save_result(dir, &recorded, model.as_ref())?;
    Ok(Outcome::Finished)
}

/// As `torch.nn.utils.clip_grad_norm_`.
fn clip(norm: f64, recipe: &Recipe) -> f64 {
    if recipe.max_grad_norm > 0.0 { (recipe.max_grad_norm / (norm + 1e-6)).min(1.0) } else { 1.0 }
}
