//! Which examples make an optimiser step, and the pieces in which they are computed.

use std::cmp::Reverse;

use tunebench_dataset::Tokenized;
use tunebench_spec::Recipe;
use tunebench_spec::random::Stream;

use crate::packing;

/// Separates the order of examples from other draws of the same seed.
const PURPOSE: u64 = 0x6f_7264_6572;

/// The steps of a training run.
pub struct Steps<'a> {
    examples: &'a [Tokenized],
    recipe: &'a Recipe,
    seed: u64,
    cut: Cut,
    virtual_tokens: usize,
    /// Steps altogether.
    pub total: u64,
    epochs: Epochs,
    /// The steps of one epoch, kept until another is asked for.
    epoch: (u64, Vec<Vec<usize>>),
}

/// How an engine wants a step in pieces of at most `micro_batch_tokens` tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Padding counts, so rows of similar length are together.
    Padded,
    /// There is no padding, and examples stay in the order of their places.
    Ragged,
}

/// One piece of a step: examples that are computed together, each a row of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MicroBatch {
    /// Indices of examples.
    pub examples: Vec<usize>,
    /// The place of each within its step, which keys its dropout.
    pub places: Vec<u64>,
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
    pub fn new(examples: &'a [Tokenized], recipe: &'a Recipe, seed: u64, cut: Cut) -> Self {
        let n = examples.len() as u64;
        let (total, epochs) = match recipe.steps_per_epoch(n) {
            Some(steps) => (recipe.steps_in_epochs(steps), Epochs::Equal(steps)),
            None => measure(examples, recipe, seed),
        };
        let total = recipe.at_most_max_steps(total);
        Self { examples, recipe, seed, cut, virtual_tokens: 0, total, epochs, epoch: (u64::MAX, Vec::new()) }
    }

    /// The same steps where so many virtual tokens stand in front of each example. They take memory like others, so
    /// pieces make room for them; what a step consists of stays.
    #[must_use]
    pub fn behind(self, virtual_tokens: usize) -> Self {
        Self { virtual_tokens, ..self }
    }

    /// Epochs done after `steps` steps.
    pub fn epochs(&self, steps: u64) -> f64 {
        let (epoch, first, length) = self.epochs.of(steps);
        (epoch * length + (steps - first)) as f64 / length.max(1) as f64
    }

    /// The examples of a step (from 0), in pieces of at most `micro_batch_tokens` tokens. A piece has at least one
    /// example. The pieces of a step are the same whatever was asked before.
    pub fn step(&mut self, step: u64) -> Vec<MicroBatch> {
        let (epoch, first, _) = self.epochs.of(step);
        if self.epoch.0 != epoch {
            self.epoch = (epoch, steps_of_epoch(self.examples, self.recipe, self.seed, epoch));
        }
        let batch = self.epoch.1.get((step - first) as usize).map_or(&[][..], Vec::as_slice);
        let pieces = match self.cut {
            Cut::Padded => self.pieces_with_padding(batch),
            Cut::Ragged => self.pieces_by_tokens(batch),
        };
        let piece = |rows: Vec<(usize, u64)>| {
            let (examples, places) = rows.into_iter().unzip();
            MicroBatch { examples, places }
        };
        pieces.into_iter().map(piece).collect()
    }

    /// Rows of similar length together, padding counted.
    fn pieces_with_padding(&self, batch: &[usize]) -> Vec<Vec<(usize, u64)>> {
        let length = |example: usize| self.virtual_tokens + self.examples[example].tokens.len();
        let mut rows: Vec<(usize, u64)> = batch.iter().copied().zip(0..).collect();
        rows.sort_by_key(|&(example, place)| (Reverse(length(example)), place));
        let mut pieces: Vec<Vec<(usize, u64)>> = Vec::new();
        for row in rows {
            // The first row of a piece is its longest.
            let fits =
                |piece: &Vec<(usize, u64)>| (piece.len() + 1) * length(piece[0].0) <= self.recipe.micro_batch_tokens;
            match pieces.last_mut().filter(|piece| fits(piece)) {
                Some(piece) => piece.push(row),
                None => pieces.push(vec![row]),
            }
        }
        pieces
    }

    /// Examples in the order of their places, nothing but their own and virtual tokens counted.
    fn pieces_by_tokens(&self, batch: &[usize]) -> Vec<Vec<(usize, u64)>> {
        let length = |(example, _): &(usize, u64)| self.virtual_tokens + self.examples[*example].tokens.len();
        packing::by_tokens(batch.iter().copied().zip(0..), length, self.recipe.micro_batch_tokens)
    }
}

/// The steps of one epoch, each a list of examples.
fn steps_of_epoch(examples: &[Tokenized], recipe: &Recipe, seed: u64, epoch: u64) -> Vec<Vec<usize>> {
    let length = |example: usize| examples[example].tokens.len();
    let mut order: Vec<usize> = (0..examples.len()).collect();
    Stream::new(seed, &[PURPOSE, epoch]).shuffle(&mut order);
    let rows: Vec<Vec<usize>> = if recipe.packing {
        packing::rows(&order, length, recipe.max_length)
    } else {
        order.into_iter().map(|example| vec![example]).collect()
    };
    if recipe.batch_tokens == 0 {
        return rows.chunks(recipe.batch_size.max(1)).map(<[_]>::concat).collect();
    }
    let tokens = |row: &Vec<usize>| row.iter().map(|&example| length(example)).sum();
    packing::by_tokens(rows, tokens, recipe.batch_tokens).into_iter().map(|rows| rows.concat()).collect()
}

/// Counts the steps where lengths decide, epoch by epoch, since each order gives other steps: how many there are
/// altogether before `max_steps` ends them, and where epochs begin.
fn measure(examples: &[Tokenized], recipe: &Recipe, seed: u64) -> (u64, Epochs) {
    let (mut total, mut starts, mut end) = (0, vec![0], 0);
    for epoch in 0.. {
        let is_enough = recipe.max_steps > 0 && total >= recipe.max_steps as u64;
        if examples.is_empty() || is_enough || epoch as f64 >= recipe.epochs {
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
