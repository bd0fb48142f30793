//! Which examples make an optimiser step, and the pieces in which they are computed.

use tunebench_dataset::Tokenized;
use tunebench_spec::Recipe;
use tunebench_spec::random::Stream;

/// Separates the order of examples from other draws of the same seed.
const PURPOSE: u64 = 0x6f_7264_6572;

/// The steps of a training run.
pub struct Steps<'a> {
    examples: &'a [Tokenized],
    recipe: &'a Recipe,
    seed: u64,
    /// Steps altogether.
    pub total: u64,
    per_epoch: u64,
    /// The order of one epoch, kept until another is asked for.
    order: (u64, Vec<usize>),
}

/// One piece of a step: rows that are computed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MicroBatch {
    /// Indices of examples.
    pub examples: Vec<usize>,
    /// The place of each within its step, which keys its dropout.
    pub places: Vec<u64>,
}

impl<'a> Steps<'a> {
    /// The steps that `recipe` makes of `examples`, each epoch in an order of its own.
    pub fn new(examples: &'a [Tokenized], recipe: &'a Recipe, seed: u64) -> Self {
        let n = examples.len() as u64;
        let per_epoch = n.div_ceil(recipe.batch_size.max(1) as u64);
        Self { examples, recipe, seed, total: recipe.total_steps(n), per_epoch, order: (u64::MAX, Vec::new()) }
    }

    /// Epochs done after `steps` steps.
    pub fn epochs(&self, steps: u64) -> f64 {
        steps as f64 / self.per_epoch.max(1) as f64
    }

    /// The examples of a step (from 0), in pieces of at most `micro_batch_tokens` tokens with padding, rows of similar
    /// length together. A piece has at least one row. The pieces of a step are the same whatever was asked before.
    pub fn step(&mut self, step: u64) -> Vec<MicroBatch> {
        let batch = self.batch(step);
        let length = |example: usize| self.examples[example].tokens.len();
        let mut rows: Vec<(usize, u64)> = batch.into_iter().zip(0..).collect();
        rows.sort_by_key(|&(example, place)| (std::cmp::Reverse(length(example)), place));
        let mut pieces: Vec<MicroBatch> = Vec::new();
        for (example, place) in rows {
            // The first row of a piece is its longest.
            let room = pieces
                .last()
                .is_some_and(|p| (p.examples.len() + 1) * length(p.examples[0]) <= self.recipe.micro_batch_tokens);
            match pieces.last_mut().filter(|_| room) {
                Some(piece) => {
                    piece.examples.push(example);
                    piece.places.push(place);
                }
                None => pieces.push(MicroBatch { examples: vec![example], places: vec![place] }),
            }
        }
        pieces
    }

    fn batch(&mut self, step: u64) -> Vec<usize> {
        let (epoch, place) = (step / self.per_epoch.max(1), (step % self.per_epoch.max(1)) as usize);
        if self.order.0 != epoch {
            let mut order: Vec<usize> = (0..self.examples.len()).collect();
            Stream::new(self.seed, &[PURPOSE, epoch]).shuffle(&mut order);
            self.order = (epoch, order);
        }
        let batches = self.order.1.chunks(self.recipe.batch_size.max(1));
        batches.skip(place).map(<[usize]>::to_vec).next().unwrap_or_default()
    }
}
