//! The training loop, read from top to bottom.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use candle_core::{Device, Tensor};
use tunebench_dataset::Tokenized;
use tunebench_llama::{Batch, Draw, Gradients, Llama, Targets, Tuning, Weights};
use tunebench_spec::{ModelShape, Recipe, StepLog};

use crate::Error;
use crate::adamw::{Moments, Step};
use crate::batches::{MicroBatch, Steps};
use crate::checkpoint::{self, Checkpoint};

/// All that a training run depends on.
pub struct Job<'a> {
    /// For the log.
    pub arm: &'a str,
    pub shape: &'a ModelShape,
    /// What it starts from.
    pub weights: Weights,
    /// What is trained of it, at its beginning.
    pub tuning: Tuning,
    pub examples: &'a [Tokenized],
    pub recipe: &'a Recipe,
    pub seed: u64,
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
    let Job { arm, shape, weights, tuning, examples, recipe, seed, dir } = job;
    if checkpoint::is_finished(dir) {
        return Ok(Outcome::Finished);
    }
    if tuning.values().is_empty() {
        return Err(Error::NothingTrained);
    }
    if examples.iter().all(|e| e.n_labels() == 0) {
        return Err(Error::NoLabels);
    }
    fs::create_dir_all(dir).map_err(Error::io(dir))?;

    let recorded = tuning.recorded().clone();
    let found = checkpoint::load(dir)?;
    let (tuning, mut moments, start) = match found {
        None => (tuning, BTreeMap::new(), 0),
        Some(found) => {
            checkpoint::fit(shape, &recorded, &found, dir)?;
            let Checkpoint { steps, values, moments } = found;
            (Tuning::new(shape, recorded.clone(), values)?, moments, steps)
        }
    };
    let model = Llama::new(shape, &weights, &tuning, &Device::Cpu)?;
    drop((weights, tuning));

    let mut log = checkpoint::open_log(dir, start)?;
    let mut steps = Steps::new(examples, recipe, seed);
    for step in start..steps.total {
        let begin = Instant::now();
        let pieces = steps.step(step);
        let learning_rate = recipe.learning_rate_at(step, steps.total);
        let Sums { loss, labels, tokens, gradients } = accumulate(&model, examples, &pieces, seed, step)?;
        let per_label = 1.0 / labels.max(1) as f64;
        let loss = loss * per_label;
        if !loss.is_finite() {
            return Err(Error::Diverged { step: step + 1, loss });
        }
        let grad_norm = norm(&gradients, step)? * per_label;
        let clip = clip(grad_norm, recipe);
        if labels > 0 {
            update(&model, &gradients, &mut moments, Step::new(recipe, step + 1, learning_rate, per_label * clip))?;
        }

        let done = step + 1;
        let seconds = begin.elapsed().as_secs_f64();
        let epoch = steps.epochs(done);
        let line = StepLog { arm: arm.to_owned(), step: done, epoch, loss, learning_rate, grad_norm, tokens, seconds };
        checkpoint::append(&mut log, dir, &line)?;
        if done == steps.total {
            // Too late to stop.
            let _ = on_step(&line);
            break;
        }
        let is_stopped = on_step(&line).is_break();
        if is_stopped || recipe.checkpoint_steps > 0 && done.is_multiple_of(recipe.checkpoint_steps as u64) {
            // The lines before a checkpoint must last at least as long as it does.
            log.sync_data().map_err(Error::io(dir))?;
            checkpoint::save(dir, done, &values(&model), &moments)?;
        }
        if is_stopped {
            return Ok(Outcome::Stopped);
        }
    }
    log.sync_data().map_err(Error::io(dir))?;
    checkpoint::save_result(dir, &recorded, &values(&model))?;
    Ok(Outcome::Finished)
}

/// Sums over the pieces of one step.
struct Sums {
    /// Nats over all labels.
    loss: f64,
    labels: usize,
    /// Padding excluded.
    tokens: u64,
    gradients: Gradients,
}

/// Computes the pieces of a step, as many at once as there are threads, and adds them up in their order: the sum is the
/// same on any machine.
fn accumulate(
    model: &Llama,
    examples: &[Tokenized],
    pieces: &[MicroBatch],
    seed: u64,
    step: u64,
) -> Result<Sums, Error> {
    let mut sums = Sums { loss: 0.0, labels: 0, tokens: 0, gradients: Gradients::new() };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    for together in pieces.chunks(threads) {
        let results: Vec<Result<Sums, Error>> = std::thread::scope(|scope| {
            let compute = |piece| scope.spawn(move || compute(model, examples, piece, seed, step));
            let running: Vec<_> = together.iter().map(compute).collect();
            running.into_iter().map(|thread| thread.join().unwrap_or(Err(Error::ThreadPanicked))).collect()
        });
        for result in results {
            sums.add(result?)?;
        }
    }
    Ok(sums)
}

/// Loss and gradients of one piece.
fn compute(model: &Llama, examples: &[Tokenized], piece: &MicroBatch, seed: u64, step: u64) -> Result<Sums, Error> {
    let rows: Vec<&[u32]> = piece.examples.iter().map(|&i| examples[i].tokens.as_slice()).collect();
    let marks: Vec<&[bool]> = piece.examples.iter().map(|&i| examples[i].is_label.as_slice()).collect();
    let batch = Batch::right_padded(&rows)?;
    let targets = Targets::new(&batch, &marks)?;
    let draw = Draw { seed, step, rows: piece.places.clone() };
    let (loss, gradients) = model.loss_and_gradients(&batch, &targets, &draw)?;
    let tokens = rows.iter().map(|row| row.len() as u64).sum();
    Ok(Sums { loss, labels: targets.len(), tokens, gradients })
}

impl Sums {
    fn add(&mut self, piece: Self) -> Result<(), Error> {
        self.loss += piece.loss;
        self.labels += piece.labels;
        self.tokens += piece.tokens;
        for (name, gradient) in piece.gradients {
            let sum = match self.gradients.remove(&name) {
                Some(sum) => (sum + gradient)?,
                None => gradient,
            };
            self.gradients.insert(name, sum);
        }
        Ok(())
    }
}

/// Euclidean norm over all gradients, in f64 and in the order of their names.
fn norm(gradients: &Gradients, step: u64) -> Result<f64, Error> {
    let mut sum = 0.0;
    for (name, gradient) in gradients {
        let square: f64 =
            gradient.flatten_all()?.to_vec1::<f32>()?.into_iter().map(|g| f64::from(g) * f64::from(g)).sum();
        if !square.is_finite() {
            return Err(Error::BadGradient { step: step + 1, name: name.clone() });
        }
        sum += square;
    }
    Ok(sum.sqrt())
}

/// As `torch.nn.utils.clip_grad_norm_`.
fn clip(norm: f64, recipe: &Recipe) -> f64 {
    if recipe.max_grad_norm > 0.0 { (recipe.max_grad_norm / (norm + 1e-6)).min(1.0) } else { 1.0 }
}

/// A gradient is there for everything trained, if only of zeros: one that is missing was lost, and what it belongs to
/// would never move.
fn update(
    model: &Llama,
    gradients: &Gradients,
    moments: &mut BTreeMap<String, Moments>,
    step: Step,
) -> Result<(), Error> {
    for (name, param) in model.params() {
        let gradient = gradients.get(name).ok_or_else(|| Error::NoGradient { name: name.clone() })?;
        let moments = moments.entry(name.clone()).or_default();
        step.apply(&param.var, gradient, moments, param.lr_scale)?;
    }
    Ok(())
}

fn values(model: &Llama) -> BTreeMap<String, Tensor> {
    model.params().iter().map(|(name, param)| (name.clone(), param.var.as_detached_tensor())).collect()
}
