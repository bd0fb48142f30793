//! Which examples make an optimizer step, and the micro-batches in which they are computed.

use std::cmp::Reverse;

use tunebench_dataset::{Examples, Tokenized};
use tunebench_model::backend::{BatchLayout, Sequence};
use tunebench_spec::Recipe;
use tunebench_spec::random::Stream;

use crate::error::Error;
use crate::packing::{self, Groups};

/// Separates the order of examples from other draws of the same seed.
const PURPOSE: u64 = 0x6f_7264_6572;

/// The steps of a training run.
pub struct Steps<'a> {
    examples: &'a dyn Examples,
    recipe: &'a Recipe,
    seed: u64,
    layout: BatchLayout,
    prefix: usize,
    /// Steps altogether.
    pub total: u64,
    epochs: Epochs,
    /// The steps of one epoch, kept until another is asked for.
    epoch: (u64, Groups),
}

/// Examples of a step that are computed together, each a row of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MicroBatch {
    /// Indices of examples.
    pub examples: Vec<usize>,
    /// The index of each within its step, which keys its dropout.
    pub step_indices: Vec<u64>,
}

impl MicroBatch {
    /// Of examples, each with its index within the step.
    fn new(rows: Vec<(usize, u64)>) -> Self {
        let (examples, step_indices) = rows.into_iter().unzip();
        Self { examples, step_indices }
    }

    /// Its examples in their order.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn read(&self, examples: &dyn Examples) -> Result<Vec<Tokenized>, Error> {
        self.examples.iter().map(|example| Ok(examples.read(*example)?)).collect()
    }

    /// Its examples, read, as a backend takes them.
    pub fn sequences<'a>(&self, examples: &'a [Tokenized]) -> Vec<Sequence<'a>> {
        let sequence = |(example, &step_index): (&'a Tokenized, &u64)| {
            let Tokenized { tokens, is_label, .. } = example;
            Sequence { tokens, is_label, step_index }
        };
        examples.iter().zip(&self.step_indices).map(sequence).collect()
    }
}

/// How many steps an epoch has.
enum Epochs {
    /// As many as any other.
    Equal(u64),
    /// The first step of each, and after the last one what would be the first of another.
    Listed(Vec<u64>),
}

impl Epochs {
    /// The epoch that step `step` (from 0) is in: its number, its first step, how many it has.
    fn of(&self, step: u64) -> (u64, u64, u64) {
        match self {
            Self::Equal(steps) => (step / steps.max(&1), step / steps.max(&1) * steps, *steps),
            Self::Listed(starts) => {
                // The end of the last epoch still belongs to it.
                let after = starts.partition_point(|start| *start <= step).clamp(1, starts.len().max(2) - 1);
                let start = starts.get(after - 1).copied().unwrap_or(0);
                (after as u64 - 1, start, starts.get(after).map_or(0, |end| end - start))
            }
        }
    }
}

impl<'a> Steps<'a> {
    /// The steps that `recipe` makes of `examples`, each epoch in an order of its own.
    pub fn new(examples: &'a dyn Examples, recipe: &'a Recipe, seed: u64, layout: BatchLayout) -> Self {
        let n = examples.count() as u64;
        let (total, epochs) = match recipe.steps_per_epoch(n) {
            Some(steps) => (recipe.steps_in_epochs(steps), Epochs::Equal(steps)),
            None => measure(examples, recipe, seed),
        };
        let total = recipe.at_most_max_steps(total);
        Self { examples, recipe, seed, layout, prefix: 0, total, epochs, epoch: (u64::MAX, Groups::default()) }
    }

    /// The same steps where each example has a prefix of so many virtual tokens. They take memory like others, so
    /// micro-batches make room for them; what a step consists of stays.
    #[must_use]
    pub fn with_prefix(self, virtual_tokens: usize) -> Self {
        Self { prefix: virtual_tokens, ..self }
    }

    /// Epochs done after `steps` steps.
    pub fn epochs(&self, steps: u64) -> f64 {
        let (epoch, first, length) = self.epochs.of(steps);
        (epoch * length + (steps - first)) as f64 / length.max(1) as f64
    }

    /// The examples of a step (from 0), in micro-batches of at most `micro_batch_tokens` tokens and at least one example.
    /// They are the same whatever was asked before.
    pub fn step(&mut self, step: u64) -> Vec<MicroBatch> {
        let (epoch, first, _) = self.epochs.of(step);
        if self.epoch.0 != epoch {
            self.epoch = (epoch, steps_of_epoch(self.examples, self.recipe, self.seed, epoch));
        }
        let batch: Vec<usize> = self.epoch.1.get((step - first) as usize).iter().map(|index| *index as usize).collect();
        let rows = match self.layout {
            BatchLayout::Padded => self.padded(&batch),
            BatchLayout::Packed => self.packed(&batch),
        };
        rows.into_iter().map(MicroBatch::new).collect()
    }

    /// Rows of similar length together, padding counted.
    fn padded(&self, batch: &[usize]) -> Vec<Vec<(usize, u64)>> {
        let length = |example: usize| self.prefix + self.examples.length(example);
        let mut rows: Vec<(usize, u64)> = batch.iter().copied().zip(0..).collect();
        rows.sort_by_key(|&(example, index)| (Reverse(length(example)), index));
        packing::by_padded_tokens(rows, |row| length(row.0), self.recipe.micro_batch_tokens)
    }

    /// Examples in the order of the step, nothing but their own and virtual tokens counted.
    fn packed(&self, batch: &[usize]) -> Vec<Vec<(usize, u64)>> {
        let length = |(example, _): &(usize, u64)| self.prefix + self.examples.length(*example);
        packing::by_tokens(batch.iter().copied().zip(0..), length, self.recipe.micro_batch_tokens)
    }
}

/// All examples in their order, in micro-batches of at most `micro_batch_tokens` tokens, `prefix` virtual ones before each
/// example included, and at least one example: to be measured, not learned from.
pub(crate) fn in_order(
    examples: &dyn Examples,
    layout: BatchLayout,
    prefix: usize,
    micro_batch_tokens: usize,
) -> Vec<MicroBatch> {
    let rows = (0..examples.count()).zip(0..);
    let length = |(example, _): &(usize, u64)| prefix + examples.length(*example);
    let groups = match layout {
        BatchLayout::Padded => packing::by_padded_tokens(rows, length, micro_batch_tokens),
        BatchLayout::Packed => packing::by_tokens(rows, length, micro_batch_tokens),
    };
    groups.into_iter().map(MicroBatch::new).collect()
}

/// The steps of one epoch, each a list of examples.
fn steps_of_epoch(examples: &dyn Examples, recipe: &Recipe, seed: u64, epoch: u64) -> Groups {
    let length = |example: u32| examples.length(example as usize);
    // More examples than 2^32 are more than there are.
    let mut order: Vec<u32> = (0..u32::try_from(examples.count()).unwrap_or(u32::MAX)).collect();
    Stream::new(seed, &[PURPOSE, epoch]).shuffle(&mut order);
    let rows = if recipe.packing { packing::rows(&order, length, recipe.max_length) } else { Groups::of_one(order) };
    if recipe.batch_tokens == 0 {
        return rows.chunks(recipe.batch_size);
    }
    rows.by_tokens(length, recipe.batch_tokens)
}

/// Counts the steps where lengths decide, epoch by epoch, since each order gives other steps: how many there are
/// altogether before `max_steps` ends them, and where epochs begin.
fn measure(examples: &dyn Examples, recipe: &Recipe, seed: u64) -> (u64, Epochs) {
    let (mut total, mut starts, mut end) = (0, vec![0], 0);
    for epoch in 0.. {
        let is_enough = recipe.max_steps > 0 && total >= recipe.max_steps as u64;
        if examples.count() == 0 || is_enough || epoch as f64 >= recipe.epochs {
            break;
        }
        let steps = steps_of_epoch(examples, recipe, seed, epoch).len() as u64;
        // All of them but in the last epoch, of which a fraction may be asked for.
        total += steps.min(recipe.steps_in_epochs(steps).saturating_sub(epoch * steps));
        end += steps;
        starts.push(end);
    }
    (total, Epochs::Listed(starts))
}
