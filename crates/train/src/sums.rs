//! The gradients of a step, added up in an order that the recipe alone decides, and the step made by them.
//!
//! A step's micro-batches are cut into lanes, runs one after the other ([`Recipe::lanes`]). A lane's gradients are added up
//! from left to right by the rank that computes it; rank `r` of `n` has the lanes `r`, `r + n`, `r + 2n`. The numbers of
//! all lanes go to whoever owns them ([`Division`]), who adds them in the order of lanes, `((l0 + l1) + l2) + l3`. So the
//! sum is the same whoever computed what, and so is all that follows from it: the norm is folded chunk by chunk, AdamW takes
//! each number by itself, and what has moved goes back to all.
//!
//! A recipe of one lane, computed by one rank, is added up by its engine alone, as it was before there were lanes.

use tunebench_dataset::Examples;
use tunebench_kernels::SimdLevel;
use tunebench_kernels::ops::reduce::sum_of_squares;
use tunebench_model::backend::{OptimizerStep, Sequence, StepKey, StepTotals, Trainable};
use tunebench_spec::Recipe;

use crate::Error;
use crate::batches::MicroBatch;
use crate::division::{CHUNK, Division, WINDOW};
use crate::ranks::Ranks;
use crate::receipt::named;

/// Where the gradients of a step are.
pub(crate) enum Sums {
    /// With the engine.
    Whole,
    Lanes(Lanes),
}

/// Bytes that lanes take beside what an engine needs, by one rank, of so many trained numbers: their sum, and what is on its
/// way into it.
pub fn lanes_memory(recipe: &Recipe, trained: u64) -> u64 {
    let full = size_of::<f32>() as u64;
    if recipe.lanes == 1 { 0 } else { full * (trained + 2 * trained.min(WINDOW as u64)) }
}

/// The sum of all lanes, of what this rank owns.
pub(crate) struct Lanes {
    count: usize,
    level: SimdLevel,
    sum: Vec<f32>,
    /// Whether a lane has been added; before, `sum` means nothing.
    is_set: bool,
    /// Of each trained tensor, whether a gradient has reached it in any lane.
    reached: Vec<bool>,
    /// Buffers of an exchange.
    sent: Vec<f32>,
    received: Vec<f32>,
}

impl Sums {
    pub fn new(recipe: &Recipe, ranks: &Ranks<'_>, division: &Division) -> Result<Self, Error> {
        if recipe.lanes == 1 && ranks.is_alone() {
            return Ok(Self::Whole);
        }
        let level = SimdLevel::chosen().map_err(tunebench_model::Error::from)?;
        let sum = vec![0.0; division.part(ranks.rank()).len()];
        let (is_set, reached, sent, received) = (false, Vec::new(), Vec::new(), Vec::new());
        Ok(Self::Lanes(Lanes { count: recipe.lanes, level, sum, is_set, reached, sent, received }))
    }

    /// Computes the gradients of a step, and says what its micro-batches sum up to.
    pub fn accumulate(
        &mut self,
        ranks: &mut Ranks<'_>,
        division: &Division,
        model: &mut dyn Trainable,
        (micro_batches, examples): (&[MicroBatch], &dyn Examples),
        key: StepKey,
    ) -> Result<StepTotals, Error> {
        match self {
            Self::Whole => compute(model, micro_batches, examples, key),
            Self::Lanes(lanes) => lanes.accumulate(ranks, division, model, (micro_batches, examples), key),
        }
    }

    /// Euclidean norm over all gradients of step `number`.
    pub fn norm(
        &self,
        ranks: &mut Ranks<'_>,
        division: &Division,
        model: &dyn Trainable,
        number: u64,
    ) -> Result<f64, Error> {
        match self {
            Self::Whole => model.grad_norm().map_err(|error| bad_gradients(model, number, error)),
            Self::Lanes(lanes) => lanes.norm(ranks, division, model, number),
        }
    }

    /// Of each trained tensor, whether it has a gradient that is not zero.
    pub fn arrived(
        &self,
        ranks: &mut Ranks<'_>,
        division: &Division,
        model: &dyn Trainable,
    ) -> Result<Vec<bool>, Error> {
        match self {
            Self::Whole => Ok(model.gradient_norms()?.into_iter().map(|norm| norm.is_some_and(|n| n > 0.0)).collect()),
            Self::Lanes(lanes) => lanes.with_any(ranks, division, |gradient| *gradient != 0.0),
        }
    }

    /// Moves the model by its gradients.
    pub fn update(
        &mut self,
        ranks: &mut Ranks<'_>,
        division: &Division,
        model: &mut dyn Trainable,
        step: &OptimizerStep,
    ) -> Result<(), Error> {
        match self {
            Self::Whole => Ok(model.update(step)?),
            Self::Lanes(lanes) => lanes.update(ranks, division, model, step),
        }
    }
}

impl Lanes {
    fn accumulate(
        &mut self,
        ranks: &mut Ranks<'_>,
        division: &Division,
        model: &mut dyn Trainable,
        (micro_batches, examples): (&[MicroBatch], &dyn Examples),
        key: StepKey,
    ) -> Result<StepTotals, Error> {
        let (size, mut totals) = (ranks.size(), StepTotals::default());
        self.is_set = false;
        self.reached = vec![false; model.params().len()];
        for first in (0..self.count).step_by(size) {
            let border = |lane: usize| lane.min(self.count) * micro_batches.len() / self.count;
            let lane = first + ranks.rank();
            let of = compute(model, &micro_batches[border(lane)..border(lane + 1)], examples, key)?;
            if of.labels > 0 {
                self.reached.iter_mut().zip(model.reached()).for_each(|(all, here)| *all |= here);
            }
            let all = ranks.words([of.loss.to_bits(), of.labels as u64, of.tokens])?;
            for [loss, labels, tokens] in &all {
                totals.loss += f64::from_bits(*loss);
                totals.labels += *labels as usize;
                totals.tokens += tokens;
            }
            // A lane without a label has no gradient.
            let senders: Vec<bool> = all.iter().map(|[_, labels, _]| *labels > 0).collect();
            self.add(ranks, division, model, &senders)?;
        }
        if !self.is_set {
            self.sum.fill(0.0);
        }
        ranks.any(&mut self.reached)?;
        Ok(totals)
    }

    /// Adds what the ranks among `senders` have computed, in their order, each number by its owner.
    fn add(
        &mut self,
        ranks: &mut Ranks<'_>,
        division: &Division,
        model: &dyn Trainable,
        senders: &[bool],
    ) -> Result<(), Error> {
        if !senders.contains(&true) {
            return Ok(());
        }
        let (rank, start) = (ranks.rank(), division.part(ranks.rank()).start);
        for window in division.windows() {
            let own = window[rank].clone();
            let sizes: Vec<usize> = window.iter().map(|part| if senders[rank] { part.len() } else { 0 }).collect();
            self.sent.resize(sizes.iter().sum(), 0.0);
            let mut rest = self.sent.as_mut_slice();
            for part in window.into_iter().filter(|_| senders[rank]) {
                let (here, after) = rest.split_at_mut(part.len());
                model.copy_gradients(part, here)?;
                rest = after;
            }
            let counts: Vec<usize> = senders.iter().map(|sends| if *sends { own.len() } else { 0 }).collect();
            if ranks.is_alone() {
                std::mem::swap(&mut self.sent, &mut self.received);
            } else {
                self.received.resize(counts.iter().sum(), 0.0);
                let [sizes, counts] =
                    [sizes, counts].map(|of| of.iter().map(|n| size_of::<f32>() * n).collect::<Vec<_>>());
                let (sent, received) = (bytemuck::cast_slice(&self.sent), bytemuck::cast_slice_mut(&mut self.received));
                ranks.exchange().all_to_all(sent, &sizes, received, &counts)?;
            }
            let sum = &mut self.sum[own.start - start..own.end - start];
            for (index, lane) in self.received.chunks(own.len().max(1)).enumerate() {
                match self.is_set || index > 0 {
                    true => sum.iter_mut().zip(lane).for_each(|(sum, gradient)| *sum += gradient),
                    false => sum.copy_from_slice(lane),
                }
            }
        }
        self.is_set = true;
        Ok(())
    }

    /// Of one lane it is what its engine says, who has all of it; of more, chunks are added up in their order.
    fn norm(
        &self,
        ranks: &mut Ranks<'_>,
        division: &Division,
        model: &dyn Trainable,
        number: u64,
    ) -> Result<f64, Error> {
        let norm = if self.count == 1 {
            let norm = if ranks.is_first() { engine_norm(model)? } else { 0.0 };
            ranks.number_of_first(norm)?
        } else {
            let squares: Vec<f64> = self.sum.chunks(CHUNK).map(|chunk| sum_of_squares(self.level, chunk)).collect();
            let all = ranks.doubles(&squares, &division.chunks())?;
            all.into_iter().fold(0.0, |sum, square| sum + square).sqrt()
        };
        if norm.is_finite() {
            return Ok(norm);
        }
        let bad = self.with_any(ranks, division, |gradient| !gradient.is_finite())?;
        let params = model.params();
        let names = params.iter().zip(bad).filter(|(_, bad)| *bad).map(|((name, _), _)| name.as_str());
        Err(Error::BadGradient { step: number, name: named(names) })
    }

    /// Of each trained tensor, whether any of its gradients is so.
    fn with_any(
        &self,
        ranks: &mut Ranks<'_>,
        division: &Division,
        is_so: impl Fn(&f32) -> bool,
    ) -> Result<Vec<bool>, Error> {
        let mut flags = vec![false; self.reached.len()];
        for piece in division.flat().pieces(division.part(ranks.rank())) {
            flags[piece.index] |= self.sum[piece.at].iter().any(&is_so);
        }
        ranks.any(&mut flags)?;
        Ok(flags)
    }

    fn update(
        &mut self,
        ranks: &mut Ranks<'_>,
        division: &Division,
        model: &mut dyn Trainable,
        step: &OptimizerStep,
    ) -> Result<(), Error> {
        if let Some(((name, _), _)) = model.params().into_iter().zip(&self.reached).find(|(_, reached)| !**reached) {
            return Err(tunebench_model::Error::NoGradient { name }.into());
        }
        model.update_own(step, &self.sum)?;
        if ranks.is_alone() {
            return Ok(());
        }
        let (mut sent, mut received) = (Vec::new(), Vec::new());
        for window in division.windows() {
            let counts: Vec<usize> = window.iter().map(|part| model.weight_bytes(part.clone())).collect();
            sent.clear();
            model.copy_weights(window[ranks.rank()].clone(), &mut sent)?;
            received.resize(counts.iter().sum(), 0);
            ranks.exchange().all_gather(&sent, &mut received, &counts)?;
            let mut rest = received.as_slice();
            for (rank, (part, count)) in window.into_iter().zip(counts).enumerate() {
                let (here, after) = rest.split_at(count);
                rest = after;
                if rank != ranks.rank() {
                    model.set_weights(part, here)?;
                }
            }
        }
        Ok(())
    }
}

/// The gradients of these micro-batches, in their order, and nothing of what came before.
fn compute(
    model: &mut dyn Trainable,
    micro_batches: &[MicroBatch],
    examples: &dyn Examples,
    key: StepKey,
) -> Result<StepTotals, Error> {
    let read = micro_batches.iter().map(|of| of.read(examples)).collect::<Result<Vec<_>, _>>()?;
    let sequences: Vec<Vec<Sequence<'_>>> =
        micro_batches.iter().zip(&read).map(|(of, examples)| of.sequences(examples)).collect();
    model.zero_grad();
    Ok(model.accumulate(&sequences, key)?)
}

/// The norm over all gradients; no number where one is none.
fn engine_norm(model: &dyn Trainable) -> Result<f64, Error> {
    match model.grad_norm() {
        Err(tunebench_model::Error::BadGradient { .. }) => Ok(f64::NAN),
        norm => Ok(norm?),
    }
}

/// All gradients that are not finite, where one was found.
fn bad_gradients(model: &dyn Trainable, number: u64, error: tunebench_model::Error) -> Error {
    let error = Error::in_step(number, error);
    let Error::BadGradient { step, .. } = error else { return error };
    let Ok(norms) = model.gradient_norms() else { return error };
    let params = model.params();
    let bad = params.iter().zip(norms).filter(|(_, norm)| norm.is_some_and(|norm| !norm.is_finite()));
    Error::BadGradient { step, name: named(bad.map(|((name, _), _)| name.as_str())) }
}
