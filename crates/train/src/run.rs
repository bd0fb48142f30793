//! The training loop, read from top to bottom.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use tunebench_dataset::{Examples, Tokenized};
use tunebench_files::{JsonLines, create_folder};
use tunebench_kernels::optim::adamw::AdamWParams;
use tunebench_model::Tuning;
use tunebench_model::backend::{BatchLayout, OptimizerStep, Parts, Sequence, StepKey, StepTotals, Trainable};
use tunebench_spec::plan::RecordedPlan;
use tunebench_spec::{GradientReceipt, LossLog, Recipe, StepLog, WeightPlan};

use crate::Error;
use crate::batches::Steps;
use crate::checkpoint::{self, Checkpoint};
use crate::held_out::HeldOut;
use crate::job::{Job, OnProgress, Outcome, Progress};
use crate::loss_log::{self, LossFile, losses};
use crate::receipt::{Receipt, named};
use crate::stopping::{is_planned, verdict};

/// Trains, or goes on from the last checkpoint in the job's folder. `on_progress` hears of every step and of every
/// measurement, and may stop the run. A job that has come as far as it is to is not opened at all.
///
/// # Errors
/// When nothing is trained or learnt from, when there is nothing to measure a loss on that the recipe goes by, when a loss
/// or a gradient is not finite, or when the folder cannot be read or written.
pub fn train(job: Job<'_>, on_progress: &mut OnProgress<'_>) -> Result<Outcome, Error> {
    if checkpoint::is_finished(job.dir) {
        checkpoint::clear(job.dir)?;
        return Ok(Outcome::Finished);
    }
    job.check()?;
    if is_done_so_far(&job)? {
        return Ok(Outcome::Stopped);
    }
    let mut run = Run::open(job)?;
    loop {
        if run.measure(on_progress)?.is_break() {
            run.save()?;
            return Ok(Outcome::Stopped);
        }
        let verdict = verdict(run.losses.lines(), run.recipe, run.steps.total);
        let best = verdict.best.filter(|_| run.recipe.load_best_model_at_end);
        if run.is_at_the_end() || verdict.is_over {
            run.finish(best)?;
            return Ok(Outcome::Finished);
        }
        if let Some(best) = best {
            run.keep(best)?;
        }
        if Some(run.done) == run.until {
            run.save()?;
            return Ok(Outcome::Stopped);
        }
        let is_stopped = run.step(on_progress)?.is_break();
        if run.is_at_the_end() {
            // Too late to stop, and nothing to come back to.
            continue;
        }
        let every = run.recipe.checkpoint_steps as u64;
        if is_stopped || every > 0 && run.done.is_multiple_of(every) {
            run.save()?;
        }
        if is_stopped {
            return Ok(Outcome::Stopped);
        }
    }
}

/// Whether the checkpoint is at the step that the job is to stop after, or beyond it, and the losses there are known: then
/// there is nothing to do, unless training ends there.
fn is_done_so_far(job: &Job<'_>) -> Result<bool, Error> {
    let (Some(until), done) = (job.until, checkpoint::steps_done(job.dir)?) else { return Ok(false) };
    // However examples are laid out, the steps are as many.
    let total = Steps::new(job.examples, job.recipe, job.seed, BatchLayout::Packed).total;
    if done < until || until >= total {
        return Ok(false);
    }
    let mut lines = losses(job.dir)?;
    lines.retain(|line| line.step <= done);
    if verdict(&lines, job.recipe, total).is_over {
        return Ok(false);
    }
    let is_measured = until == 0 || job.held_out.iter().all(|set| loss_log::has(&lines, until, set.set_hash));
    if !is_measured && done > until {
        return Err(Error::PastStop { dir: job.dir.to_owned(), done, until });
    }
    Ok(is_measured)
}

/// A training under way.
struct Run<'a> {
    arm: &'a str,
    candidate: &'a str,
    seed: u64,
    examples: &'a dyn Examples,
    held_out: &'a [HeldOut<'a>],
    recipe: &'a Recipe,
    dir: &'a Path,
    until: Option<u64>,
    recorded: RecordedPlan,
    model: Box<dyn Trainable>,
    steps: Steps<'a>,
    log: JsonLines<StepLog>,
    losses: LossFile,
    /// None of a training that began before receipts were kept.
    receipt: Option<Receipt>,
    /// Steps made.
    done: u64,
    /// Steps at the checkpoint; 0 without one.
    saved: u64,
    /// The step whose state is kept as the best so far.
    best: Option<u64>,
}

impl<'a> Run<'a> {
    fn open(job: Job<'a>) -> Result<Self, Error> {
        let Job { shape, weights, tuning, recipe, seed, dir, examples, .. } = job;
        create_folder(dir)?;
        let recorded = tuning.recorded().clone();
        let found = checkpoint::load(dir)?;
        let (tuning, states, done, draft) = match found {
            None => (tuning, BTreeMap::new(), 0, None),
            Some(found) => {
                checkpoint::fit(shape, &recorded, &found, dir)?;
                let Checkpoint { steps, values, states, receipt } = found;
                (Tuning::new(shape, recorded.clone(), values)?, states, steps, receipt)
            }
        };
        let frozen = shape.weights().len() as u64 - trained_weights(&recorded);
        let parts = Parts { shape, weights, tuning };
        let mut model = job.backend.trainable(parts, states, recipe.gradient_checkpointing)?;
        let mut steps = Steps::new(examples, recipe, seed, model.layout()).with_prefix(recorded.plan.virtual_count());
        let receipt = match draft {
            Some(draft) => Some(Receipt::resume(draft, model.as_ref(), done)?),
            None if done == 0 => {
                let probe = Probe::find(&mut steps, examples)?;
                Some(Receipt::begin(model.as_mut(), probe.as_ref().map(Probe::sequence), frozen, steps.total)?)
            }
            None => None,
        };
        Ok(Self {
            arm: job.arm,
            candidate: job.candidate,
            seed,
            examples,
            held_out: job.held_out,
            recipe,
            dir,
            until: job.until,
            recorded,
            model,
            steps,
            log: checkpoint::open_log(dir, done)?,
            losses: LossFile::open(dir, done, job.held_out)?,
            receipt,
            done,
            saved: done,
            best: checkpoint::best_step(dir)?,
        })
    }

    fn is_at_the_end(&self) -> bool {
        self.done >= self.steps.total
    }

    /// The losses that are due after this step and not in the log yet: a kill may have come between two of them.
    fn measure(&mut self, on_progress: &mut OnProgress<'_>) -> Result<ControlFlow<()>, Error> {
        let is_due = is_planned(self.done, self.recipe, self.steps.total) || Some(self.done) == self.until;
        if !is_due || self.done == 0 {
            return Ok(ControlFlow::Continue(()));
        }
        let virtual_tokens = self.recorded.plan.virtual_count();
        for set in self.held_out {
            if loss_log::has(self.losses.lines(), self.done, set.set_hash) {
                continue;
            }
            let found = set.measure(self.model.as_mut(), virtual_tokens, self.recipe.micro_batch_tokens)?;
            let (arm, candidate) = (self.arm.to_owned(), self.candidate.to_owned());
            let line = LossLog { arm, candidate, seed: self.seed, ..set.line(self.done, found) };
            self.losses.append(line.clone())?;
            if on_progress(Progress::Loss(&line)).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// One optimizer step.
    fn step(&mut self, on_progress: &mut OnProgress<'_>) -> Result<ControlFlow<()>, Error> {
        let begin = Instant::now();
        let (step, number) = (self.done, self.done + 1);
        let micro_batches = self.steps.step(step);
        let learning_rate = self.recipe.learning_rate_at(step, self.steps.total);
        let read = micro_batches.iter().map(|of| of.read(self.examples)).collect::<Result<Vec<_>, _>>()?;
        let sequences: Vec<Vec<Sequence<'_>>> =
            micro_batches.iter().zip(&read).map(|(of, examples)| of.sequences(examples)).collect();
        self.model.zero_grad();
        let key = StepKey { seed: self.seed, step };
        let StepTotals { loss, labels, tokens } = self.model.accumulate(&sequences, key)?;
        let per_label = 1.0 / labels.max(1) as f64;
        let loss = loss * per_label;
        if !loss.is_finite() {
            return Err(Error::Diverged { step: number, loss });
        }
        let grad_norm = self.model.grad_norm().map_err(|error| self.bad_gradients(number, error))? * per_label;
        if let Some(receipt) = &mut self.receipt {
            receipt.gradients(self.model.as_ref(), number)?;
        }
        if labels > 0 {
            let Recipe { beta1, beta2, epsilon, weight_decay, .. } = *self.recipe;
            let adamw = AdamWParams { beta1, beta2, epsilon, weight_decay };
            let gradient_scale = per_label * clip(grad_norm, self.recipe);
            self.model.update(&OptimizerStep { adamw, number, learning_rate, gradient_scale })?;
        }
        self.done = number;
        let line = StepLog {
            arm: self.arm.to_owned(),
            candidate: self.candidate.to_owned(),
            seed: self.seed,
            step: number,
            epoch: self.steps.epochs(number),
            loss,
            learning_rate,
            grad_norm,
            tokens,
            seconds: begin.elapsed().as_secs_f64(),
        };
        self.log.append(&line)?;
        let is_stopped = on_progress(Progress::Step(&line)).is_break();
        let drawn_up = match &mut self.receipt {
            Some(receipt) => receipt.moved(self.model.as_ref(), number, self.dir)?,
            None => None,
        };
        let named = |receipt: &GradientReceipt| GradientReceipt {
            arm: self.arm.to_owned(),
            candidate: self.candidate.to_owned(),
            seed: self.seed,
            ..receipt.clone()
        };
        let is_stopped =
            drawn_up.map(named).is_some_and(|of| on_progress(Progress::Receipt(&of)).is_break()) || is_stopped;
        Ok(if is_stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    /// All gradients that are not finite, where one was found.
    fn bad_gradients(&self, number: u64, error: tunebench_model::Error) -> Error {
        let error = Error::in_step(number, error);
        let Error::BadGradient { step, .. } = error else { return error };
        let Ok(norms) = self.model.gradient_norms() else { return error };
        let params = self.model.params();
        let bad = params.iter().zip(norms).filter(|(_, norm)| norm.is_some_and(|norm| !norm.is_finite()));
        Error::BadGradient { step, name: named(bad.map(|((name, _), _)| name.as_str())) }
    }

    /// Makes where the run stands the checkpoint.
    fn save(&mut self) -> Result<(), Error> {
        if self.saved == self.done {
            return Ok(());
        }
        // The lines before a checkpoint must last at least as long as it does.
        self.log.sync()?;
        self.losses.sync()?;
        let draft = self.receipt.as_ref().map(Receipt::draft);
        checkpoint::save(self.dir, self.done, self.model.as_ref(), draft)?;
        self.saved = self.done;
        Ok(())
    }

    /// Keeps the state of step `best`, the best one so far. The checkpoint goes first, so that a run never comes back to a
    /// step before the one that is kept: the better state would have replaced one that is the best again.
    fn keep(&mut self, best: u64) -> Result<(), Error> {
        if self.best == Some(best) {
            return Ok(());
        }
        if best != self.done {
            return Err(checkpoint::no_best(self.dir, best));
        }
        self.save()?;
        checkpoint::save_best(self.dir, best, self.model.as_ref())?;
        self.best = Some(best);
        Ok(())
    }

    /// Writes the result: where the run stands, or the state of step `best`.
    fn finish(mut self, best: Option<u64>) -> Result<(), Error> {
        let kept = best.unwrap_or(self.done);
        if kept != self.done && self.best != Some(kept) {
            return Err(checkpoint::no_best(self.dir, kept));
        }
        if let Some(receipt) = self.receipt.take() {
            let probe = Probe::find(&mut self.steps, self.examples)?;
            receipt.finish(self.model.as_mut(), probe.as_ref().map(Probe::sequence), self.dir)?;
        }
        self.log.sync()?;
        self.losses.finish(kept)?;
        if kept == self.done {
            checkpoint::save_result(self.dir, &self.recorded, self.model.as_ref())
        } else {
            checkpoint::save_best_as_result(self.dir, &self.recorded)
        }
    }
}

/// The first example of the first step that has a label, and its index within the step.
struct Probe {
    example: Tokenized,
    step_index: u64,
}

impl Probe {
    fn find(steps: &mut Steps<'_>, examples: &dyn Examples) -> Result<Option<Self>, Error> {
        let first = if steps.total > 0 { steps.step(0) } else { Vec::new() };
        for micro_batch in &first {
            for (example, step_index) in micro_batch.read(examples)?.into_iter().zip(&micro_batch.step_indices) {
                if example.n_labels() > 0 {
                    return Ok(Some(Self { example, step_index: *step_index }));
                }
            }
        }
        Ok(None)
    }

    fn sequence(&self) -> Sequence<'_> {
        let Self { example: Tokenized { tokens, is_label }, step_index } = self;
        Sequence { tokens, is_label, step_index: *step_index }
    }
}

/// Weights of the model that are trained themselves.
fn trained_weights(recorded: &RecordedPlan) -> u64 {
    recorded.plan.weights.values().filter(|plan| matches!(plan, WeightPlan::Trainable { .. })).count() as u64
}

/// As `torch.nn.utils.clip_grad_norm_`.
fn clip(norm: f64, recipe: &Recipe) -> f64 {
    if recipe.max_grad_norm > 0.0 { (recipe.max_grad_norm / (norm + 1e-6)).min(1.0) } else { 1.0 }
}
