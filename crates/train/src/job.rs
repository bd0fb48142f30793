//! What a training is given, and what it says of itself.

use std::ops::ControlFlow;
use std::path::Path;

use tunebench_dataset::Examples;
use tunebench_model::backend::Backend;
use tunebench_model::{Tuning, Weights};
use tunebench_spec::records::HELD_OUT;
use tunebench_spec::{Decoder, GradientReceipt, LossLog, Recipe, StepLog};

use crate::Error;
use crate::held_out::{self, HeldOut};

/// All that a training run depends on.
pub struct Job<'a> {
    /// For the logs, with the candidate and the seed.
    pub arm: &'a str,
    /// The values that a grid gave this training; empty without one.
    pub candidate: &'a str,
    pub shape: &'a Decoder,
    /// What it starts from.
    pub weights: Weights,
    /// What is trained of it, at its beginning.
    pub tuning: Tuning,
    pub examples: &'a dyn Examples,
    /// Sets to measure the loss on, every `eval_steps` of the recipe and at the end. Early stopping and the choice of the
    /// best state go by the one named [`HELD_OUT`].
    pub held_out: &'a [HeldOut<'a>],
    pub recipe: &'a Recipe,
    pub seed: u64,
    pub backend: &'a dyn Backend,
    /// Where checkpoint, logs and result are kept. A folder belongs to one job; the caller names it by what the job is.
    pub dir: &'a Path,
    /// Stop after this step, with the loss measured there; the schedule stays that of the whole training, and going on
    /// later yields the bytes of never having stopped.
    pub until: Option<u64>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The result is in the folder.
    Finished,
    /// The caller asked to stop, or the job is to be done so far; another run goes on from there.
    Stopped,
}

/// What a caller hears of while training goes on.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// An optimizer step is done.
    Step(&'a StepLog),
    /// The first steps are made, and whether everything moves that is to.
    Receipt(&'a GradientReceipt),
    /// A held-out loss is measured. Whether it is the result's is not known yet.
    Loss(&'a LossLog),
}

/// Hears of progress, and may stop the run.
pub type OnProgress<'a> = dyn FnMut(Progress<'_>) -> ControlFlow<()> + 'a;

impl Job<'_> {
    /// Whether there is something to train, something to learn from, and what the recipe goes by.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.tuning.values().is_empty() {
            return Err(Error::NothingTrained);
        }
        if !self.examples.has_labels() {
            return Err(Error::NoLabels);
        }
        held_out::check(self.held_out)?;
        if self.recipe.goes_by_held_out() && !self.held_out.iter().any(|set| set.set == HELD_OUT) {
            return Err(Error::NoHeldOut);
        }
        Ok(())
    }
}
