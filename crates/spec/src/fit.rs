//! Defaults that fit the size of the data, and warnings of recipes from which little can come.
//!
//! A tuner recommends what was tried on hundreds of thousands of examples. Of forty, a batch of 128 makes one step an
//! epoch, all of them inside a warm-up of a hundred. So what no layer of the study states is adapted to the number of
//! examples:
//!
//! - The batch. From [`ENOUGH_STEPS`] optimizer steps on it stays. Below, it becomes the largest power of two that is no
//!   more than the examples and makes at least [`AIM_STEPS`] of them, but not less than [`LEAST_BATCH`], for the
//!   gradient of a single example is mostly noise; and less than that only where the training would otherwise have
//!   fewer than [`LEAST_STEPS`]. The examples are seen as often as before: neither the number of epochs is changed, nor
//!   the learning rate.
//! - The warm-up, when it is longer than a tenth of the steps: it then is a tenth, rounded down.
//!
//! Every change is returned, so that it can be said. Tried on forty Chinese rows with SmolLM2-135M and LoRA on all
//! linear weights: with the fitted batch of two, the loss fell from 2.12, the mean of the first epoch, to 1.36 in the
//! fourth; with a batch of four from 2.05 to 1.56. As recommended, all four steps lie inside the warm-up.

use std::fmt;

use serde::Serialize;

use crate::recipe::{Recipe, RecipeOverrides};

/// Optimizer steps from which on a recommended batch is left as it is.
pub const ENOUGH_STEPS: u64 = 100;
/// Optimizer steps that a fitted batch should make.
pub const AIM_STEPS: u64 = 50;
/// Optimizer steps below which hardly anything is learnt, and for which a batch may become a single example.
pub const LEAST_STEPS: u64 = 20;
/// Examples in a fitted batch, where that makes enough steps.
pub const LEAST_BATCH: usize = 2;
/// A warm-up that nobody states is at most the steps divided by this.
pub const WARMUP_DIVISOR: u64 = 10;

/// What a recipe is put together from.
#[derive(Clone, Copy, Debug)]
pub struct Layers<'a> {
    /// What the tuner recommends: with [`Recipe::base`], what may be adapted.
    pub tuner: &'a RecipeOverrides,
    /// What the study states, the least specific first (`[recipe]`, the arm's, a grid's): what is never changed.
    pub stated: &'a [&'a RecipeOverrides],
}

impl Layers<'_> {
    /// The recipe as the layers give it, whatever the data.
    pub fn recipe(&self) -> Recipe {
        self.stated.iter().fold(Recipe::base().with(self.tuner), |recipe, layer| recipe.with(layer))
    }

    fn states(&self, what: fn(&RecipeOverrides) -> bool) -> bool {
        self.stated.iter().any(|layer| what(layer))
    }
}

/// A value that was adapted to the number of examples.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fitted {
    /// The field of [`Recipe`].
    pub field: &'static str,
    /// As recommended.
    pub from: String,
    pub to: String,
    pub why: String,
}

/// `batch_size = 2 instead of 128: 40 examples would make 4 optimizer steps, now 80`
impl fmt::Display for Fitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, from, to, why } = self;
        write!(f, "{field} = {to} instead of {from}: {why}")
    }
}

/// The recipe for `examples` examples: as the layers give it, with what no stated layer gives adapted, and what was.
///
/// Where the number of steps depends on how long the examples are (`packing`, `batch_tokens`), it is not known here and
/// nothing is changed. A `max_steps` limits what is aimed at.
pub fn fit(layers: &Layers<'_>, examples: u64) -> (Recipe, Vec<Fitted>) {
    let mut recipe = layers.recipe();
    let mut fitted = Vec::new();
    if !layers.states(RecipeOverrides::gives_batch) {
        fitted.extend(fit_batch(&mut recipe, examples));
    }
    if !layers.states(RecipeOverrides::gives_warmup) {
        fitted.extend(fit_warmup(&mut recipe, examples));
    }
    (recipe, fitted)
}

fn fit_batch(recipe: &mut Recipe, examples: u64) -> Option<Fitted> {
    let steps = |batch_size| Recipe { batch_size, ..recipe.clone() }.total_steps(examples);
    let (from, before) = (recipe.batch_size, steps(recipe.batch_size)?);
    if examples == 0 || before >= recipe.at_most_max_steps(ENOUGH_STEPS) {
        return None;
    }
    let makes = |batch_size: &usize, least| steps(*batch_size) >= Some(recipe.at_most_max_steps(least));
    let smaller = (0..usize::BITS).rev().map(|power| 1usize << power).filter(|size| *size < from);
    let to = [from]
        .into_iter()
        .chain(smaller)
        .filter(|size| *size >= LEAST_BATCH && *size as u64 <= examples)
        .find(|size| makes(size, AIM_STEPS))
        .or_else(|| [LEAST_BATCH, 1].into_iter().filter(|size| *size <= from).find(|size| makes(size, LEAST_STEPS)))
        .unwrap_or(1);
    if to == from {
        return None;
    }
    let why = format!("{examples} examples would make {before} optimizer steps, now {}", steps(to).unwrap_or(before));
    recipe.batch_size = to;
    Some(Fitted { field: "batch_size", from: from.to_string(), to: to.to_string(), why })
}

fn fit_warmup(recipe: &mut Recipe, examples: u64) -> Option<Fitted> {
    let total = recipe.total_steps(examples)?;
    let (before, most) = (recipe.warmup(total), total / WARMUP_DIVISOR);
    if before <= most {
        return None;
    }
    let from = match recipe.warmup_steps {
        0 => format!("{before} (warmup_ratio = {})", recipe.warmup_ratio),
        steps => steps.to_string(),
    };
    (recipe.warmup_steps, recipe.warmup_ratio) = (most as usize, 0.0);
    let why = format!("at most a tenth of the {total} optimizer steps");
    Some(Fitted { field: "warmup_steps", from, to: most.to_string(), why })
}

/// A recipe from which little can come with this data. Each says what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "warning", rename_all = "snake_case")]
pub enum RecipeWarning {
    /// The warm-up lasts at least as long as the training.
    WarmupTooLong { warmup: u64, steps: u64 },
    /// Fewer optimizer steps than [`LEAST_STEPS`].
    FewSteps { steps: u64 },
    /// A step asks for more examples than there are.
    BatchLargerThanData { batch_size: usize, examples: u64 },
    /// The examples are gone through more often than one pass over them has optimizer steps: what is learnt is these
    /// rows rather than what they have in common.
    MoreEpochsThanSteps { epochs: f64, steps_per_epoch: u64 },
}

impl fmt::Display for RecipeWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WarmupTooLong { warmup, steps } => write!(
                f,
                "the warm-up of {warmup} steps is as long as the training of {steps}, so the learning rate is never \
                 reached; set warmup_steps to {} or warmup_ratio to 0.1",
                steps / WARMUP_DIVISOR
            ),
            Self::FewSteps { steps } => write!(
                f,
                "the training has {steps} optimizer steps, and below {LEAST_STEPS} hardly anything is learnt; lower \
                 batch_size, raise epochs, or add examples"
            ),
            Self::BatchLargerThanData { batch_size, examples } => write!(
                f,
                "a batch of {batch_size} is larger than the {examples} examples there are, so that each step takes all \
                 of them; lower batch_size"
            ),
            Self::MoreEpochsThanSteps { epochs, steps_per_epoch } => write!(
                f,
                "the same examples are gone through {epochs} times, with {steps_per_epoch} optimizer steps each time; \
                 lower epochs or batch_size, or add examples"
            ),
        }
    }
}

/// What is to be said before `examples` examples are trained on by this recipe in `steps` optimizer steps; in the order
/// of [`RecipeWarning`].
pub fn warnings(recipe: &Recipe, examples: u64, steps: u64) -> Vec<RecipeWarning> {
    let mut found = Vec::new();
    let warmup = recipe.warmup(steps);
    if warmup > 0 && warmup >= steps {
        found.push(RecipeWarning::WarmupTooLong { warmup, steps });
    }
    if steps < LEAST_STEPS {
        found.push(RecipeWarning::FewSteps { steps });
    }
    // A packed row holds one example or more, so this is true of rows as well.
    if recipe.batch_tokens == 0 && recipe.batch_size as u64 > examples {
        found.push(RecipeWarning::BatchLargerThanData { batch_size: recipe.batch_size, examples });
    }
    found.extend(more_epochs_than_steps(recipe, examples, steps));
    found
}

fn more_epochs_than_steps(recipe: &Recipe, examples: u64, steps: u64) -> Option<RecipeWarning> {
    // Where lengths decide, an epoch's steps follow from all steps, unless `max_steps` cut these off.
    let is_cut = recipe.max_steps > 0 && steps >= recipe.max_steps as u64;
    let per_epoch = match recipe.steps_per_epoch(examples) {
        Some(per_epoch) => per_epoch as f64,
        None if is_cut => return None,
        None => steps as f64 / recipe.epochs,
    };
    let epochs = recipe.epochs.min(steps as f64 / per_epoch.max(1.0));
    (epochs > 1.0 && epochs > per_epoch)
        .then(|| RecipeWarning::MoreEpochsThanSteps { epochs, steps_per_epoch: per_epoch.round() as u64 })
}
