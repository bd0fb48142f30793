//! The training loop, read from top to bottom.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use tunebench_dataset::Examples;
use tunebench_exchange::{Alone, Exchange};
use tunebench_files::{JsonLines, create_folder};
use tunebench_kernels::optim::adamw::AdamWParams;
use tunebench_model::AdamWStates;
use tunebench_model::backend::{BatchLayout, OptimizerStep, Parts, StepKey, StepTotals, Trainable};
use tunebench_spec::plan::RecordedPlan;
use tunebench_spec::{GradientReceipt, LossLog, Recipe, StepLog, WeightPlan};

use crate::Error;
use crate::batches::Steps;
use crate::checkpoint;
use crate::divided::Divided;
use crate::division::Division;
use crate::greeting::greet;
use crate::held_out::HeldOut;
use crate::job::{Job, OnProgress, Outcome, Progress};
use crate::loss_log::{self, LossFile, losses};
use crate::probe::Probe;
use crate::ranks::Ranks;
use crate::receipt::Receipt;
use crate::start::{self, Start};
use crate::stopping::{is_planned, verdict};
use crate::sums::Sums;

/// Trains, or goes on from the last checkpoint in the job's folder. `on_progress` hears of every step and of every
/// measurement, and may stop the run. A job that has come as far as it is to is not opened at all.
///
/// # Errors
/// When nothing is trained or learnt from, when there is nothing to measure a loss on that the recipe goes by, when a loss
/// or a gradient is not finite, or when the folder cannot be read or written.
pub fn train(job: Job<'_>, on_progress: &mut OnProgress<'_>) -> Result<Outcome, Error> {
    train_in_ranks(job, &mut Alone, on_progress)
}

/// As [`train`], by all ranks of an exchange: each is given the same job, and hears of the same progress, and any may stop
/// all. However many there are, the bytes are the same; the recipe's lanes say how many have something to compute. The first
/// alone opens the job's folder; when this returns, what it has written is there.
///
/// # Errors
/// As [`train`]; those that concern all ranks come on all of them, and after them other jobs may follow. At any other, the
/// others are ended by [`Exchange::abort`]. When ranks are given different work, or differ in what its bytes depend on.
pub fn train_in_ranks(
    job: Job<'_>,
    exchange: &mut dyn Exchange,
    on_progress: &mut OnProgress<'_>,
) -> Result<Outcome, Error> {
    let arm = job.arm;
    let result = run(job, Ranks::new(&mut *exchange), on_progress);
    if let Err(error) = &result
        && !error.is_of_all_ranks()
    {
        exchange.abort(&format!("arm `{arm}`: {error}"));
    }
    result
}

fn run(job: Job<'_>, mut ranks: Ranks<'_>, on_progress: &mut OnProgress<'_>) -> Result<Outcome, Error> {
    greet(&job, &mut ranks)?;
    let is_finished = || {
        let is_finished = checkpoint::is_finished(job.dir);
        if is_finished {
            checkpoint::clear(job.dir)?;
        }
        Ok(is_finished)
    };
    if ranks.told_by_first(is_finished)? {
        return Ok(Outcome::Finished);
    }
    job.check()?;
    if ranks.told_by_first(|| is_done_so_far(&job))? {
        return Ok(Outcome::Stopped);
    }
    let mut run = Run::open(job, ranks)?;
    let outcome = run.go(on_progress)?;
    run.ranks.barrier()?;
    Ok(outcome)
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

/// Where a [`Run`] stands, its other fields left free.
macro_rules! divided {
    ($run:expr) => {
        Divided {
            ranks: &mut $run.ranks,
            model: $run.model.as_ref(),
            division: &$run.division,
            has_moments: $run.has_moments,
        }
    };
}

/// A training under way, as one of its ranks has it.
struct Run<'a, 'r> {
    ranks: Ranks<'r>,
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
    division: Division,
    sums: Sums,
    /// Whether the optimizer has made a step.
    has_moments: bool,
    steps: Steps<'a>,
    /// With the first rank.
    log: Option<JsonLines<StepLog>>,
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

impl<'a, 'r> Run<'a, 'r> {
    fn open(job: Job<'a>, mut ranks: Ranks<'r>) -> Result<Self, Error> {
        let Job { shape, weights, tuning, recipe, seed, dir, examples, .. } = job;
        let recorded = tuning.recorded().clone();
        if ranks.is_first() {
            create_folder(dir)?;
        }
        let start = Start::find(&mut ranks, shape, tuning, dir)?;
        let frozen = shape.weights().len() as u64 - trained_weights(&recorded);
        let (done, has_moments) = (start.done, start.has_moments);
        let parts = Parts { shape, weights, tuning: start.tuning };
        // Of several ranks each is sent its part of the moments below.
        let none = AdamWStates::new();
        let (kept, states) = if ranks.is_alone() { (start.states, none) } else { (none, start.states) };
        let mut model = job.backend.trainable(parts, kept, recipe.gradient_checkpointing)?;
        let mut steps = Steps::new(examples, recipe, seed, model.layout()).with_prefix(recorded.plan.virtual_count());
        let receipt = match start.receipt {
            Some(draft) => Some(Receipt::resume(draft, model.as_ref(), done)?),
            None if done == 0 => {
                let probe = Probe::find(&mut steps, examples)?;
                Some(Receipt::begin(model.as_mut(), probe.as_ref().map(Probe::sequence), frozen, steps.total)?)
            }
            None => None,
        };
        if let Some(receipt) = receipt.as_ref().filter(|_| done == 0 && !ranks.is_alone()) {
            tunebench_exchange::greet(ranks.exchange(), &receipt.beginning())?;
        }
        let division = Division::new(model.as_ref(), ranks.size());
        if !ranks.is_alone() {
            model.own(division.part(ranks.rank()))?;
            if has_moments {
                start::spread_moments(&mut ranks, model.as_mut(), &division, states)?;
            }
        }
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
            sums: Sums::new(recipe, &ranks, &division)?,
            model,
            division,
            has_moments,
            steps,
            log: ranks.is_first().then(|| checkpoint::open_log(dir, done)).transpose()?,
            losses: LossFile::open(&mut ranks, dir, done, job.held_out)?,
            receipt,
            done,
            saved: done,
            best: ranks.told_by_first(|| checkpoint::best_step(dir))?,
            ranks,
        })
    }

    /// To the end, or to where it is stopped.
    fn go(&mut self, on_progress: &mut OnProgress<'_>) -> Result<Outcome, Error> {
        loop {
            if self.measure(on_progress)?.is_break() {
                self.save()?;
                return Ok(Outcome::Stopped);
            }
            let verdict = verdict(self.losses.lines(), self.recipe, self.steps.total);
            let best = verdict.best.filter(|_| self.recipe.load_best_model_at_end);
            if self.is_at_the_end() || verdict.is_over {
                self.finish(best)?;
                return Ok(Outcome::Finished);
            }
            if let Some(best) = best {
                self.keep(best)?;
            }
            if Some(self.done) == self.until {
                self.save()?;
                return Ok(Outcome::Stopped);
            }
            let is_stopped = self.step(on_progress)?.is_break();
            if self.is_at_the_end() {
                // Too late to stop, and nothing to come back to.
                continue;
            }
            let every = self.recipe.checkpoint_steps as u64;
            if is_stopped || every > 0 && self.done.is_multiple_of(every) {
                self.save()?;
            }
            if is_stopped {
                return Ok(Outcome::Stopped);
            }
        }
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
            let tokens = self.recipe.micro_batch_tokens;
            let found = set.measure(&mut self.ranks, self.model.as_mut(), virtual_tokens, tokens)?;
            let (arm, candidate) = (self.arm.to_owned(), self.candidate.to_owned());
            let line = LossLog { arm, candidate, seed: self.seed, ..set.line(self.done, found) };
            self.losses.append(line.clone())?;
            if self.ranks.is_any(on_progress(Progress::Loss(&line)).is_break())? {
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
        let (ranks, division, model) = (&mut self.ranks, &self.division, self.model.as_mut());
        let key = StepKey { seed: self.seed, step };
        let work = (micro_batches.as_slice(), self.examples);
        let StepTotals { loss, labels, tokens } = self.sums.accumulate(ranks, division, model, work, key)?;
        let per_label = 1.0 / labels.max(1) as f64;
        let loss = loss * per_label;
        if !loss.is_finite() {
            return Err(Error::Diverged { step: number, loss });
        }
        let grad_norm = self.sums.norm(ranks, division, model, number)? * per_label;
        if let Some(receipt) = self.receipt.as_mut().filter(|receipt| receipt.waits_for(number)) {
            receipt.gradients(model, &self.sums.arrived(ranks, division, model)?, number);
        }
        if labels > 0 {
            let Recipe { beta1, beta2, epsilon, weight_decay, .. } = *self.recipe;
            let adamw = AdamWParams { beta1, beta2, epsilon, weight_decay };
            let gradient_scale = per_label * clip(grad_norm, self.recipe);
            let step = OptimizerStep { adamw, number, learning_rate, gradient_scale };
            self.sums.update(ranks, division, model, &step)?;
            self.has_moments = true;
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
        self.log.as_mut().map_or(Ok(()), |log| log.append(&line).map(drop))?;
        let is_stopped = on_progress(Progress::Step(&line)).is_break();
        let drawn_up = match &mut self.receipt {
            Some(receipt) => receipt.moved(&mut self.ranks, self.model.as_ref(), &self.division, number, self.dir)?,
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
        let is_stopped = self.ranks.is_any(is_stopped)?;
        Ok(if is_stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    /// Makes where the run stands the checkpoint.
    fn save(&mut self) -> Result<(), Error> {
        if self.saved == self.done {
            return Ok(());
        }
        // The lines before a checkpoint must last at least as long as it does.
        self.log.as_ref().map_or(Ok(()), JsonLines::sync)?;
        self.losses.sync()?;
        let mut state = divided!(self);
        checkpoint::save(self.dir, self.done, &mut state, self.receipt.as_ref().map(Receipt::draft))?;
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
        checkpoint::save_best(self.dir, best, &mut divided!(self))?;
        self.best = Some(best);
        Ok(())
    }

    /// Writes the result: where the run stands, or the state of step `best`.
    fn finish(&mut self, best: Option<u64>) -> Result<(), Error> {
        let kept = best.unwrap_or(self.done);
        if kept != self.done && self.best != Some(kept) {
            return Err(checkpoint::no_best(self.dir, kept));
        }
        if let Some(receipt) = self.receipt.take() {
            let probe = Probe::find(&mut self.steps, self.examples)?;
            let (ranks, model, probe) = (&mut self.ranks, self.model.as_mut(), probe.as_ref().map(Probe::sequence));
            receipt.finish(ranks, model, &self.division, probe, self.dir)?;
        }
        self.log.as_ref().map_or(Ok(()), JsonLines::sync)?;
        self.losses.finish(kept)?;
        if kept == self.done {
            return checkpoint::save_result(self.dir, &self.recorded, &mut divided!(self));
        }
        if self.ranks.is_first() { checkpoint::save_best_as_result(self.dir, &self.recorded) } else { Ok(()) }
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
