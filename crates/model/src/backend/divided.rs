//! What several ranks divide of a model in training. Each of them has all weights as they are computed with, and its own
//! gradients; the optimizer's moments, and what a weight has beyond the half that is computed with, only their owner has.
//!
//! Trained tensors are one line of numbers here ([`crate::flat::Flat`]), in the order of
//! [`super::Trainable::params`]; a part is a range of it.

use std::ops::Range;

use super::step::OptimizerStep;
use crate::Error;
use crate::optim::AdamWState;

/// Which of the optimizer's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    First,
    Second,
}

impl Moment {
    pub(super) fn of(self, state: &AdamWState) -> &[f32] {
        match self {
            Self::First => &state.first,
            Self::Second => &state.second,
        }
    }

    pub(super) fn of_mut(self, state: &mut AdamWState) -> &mut [f32] {
        match self {
            Self::First => &mut state.first,
            Self::Second => &mut state.second,
        }
    }
}

/// Of the numbers `before` of a tensor, those of `after`, which is within.
pub(super) fn within<'a>(numbers: &'a [f32], before: &Range<usize>, after: &Range<usize>) -> &'a [f32] {
    if after.is_empty() { &[] } else { &numbers[after.start - before.start..after.end - before.start] }
}

/// A model in training that can be divided.
///
/// # Panics
/// Everywhere, when a part goes beyond the line, or beyond what is owned where only the owner can tell, or when a slice does
/// not have its length.
pub trait Divided {
    /// Keeps the optimizer's state, and all of each weight, of this part of what is owned alone: at first, everything is.
    ///
    /// # Errors
    /// When a tensor cannot be moved.
    fn own(&mut self, part: Range<usize>) -> Result<(), Error>;

    /// Of each trained tensor, whether a gradient has reached it.
    fn reached(&self) -> Vec<bool>;

    /// The gradients of a part; zero where none has arrived.
    ///
    /// # Errors
    /// When they cannot be brought from their device, as all that copies.
    fn copy_gradients(&self, part: Range<usize>, out: &mut [f32]) -> Result<(), Error>;

    /// Moves what is owned by these gradients of it.
    ///
    /// # Errors
    /// As [`Divided::copy_gradients`].
    fn update_own(&mut self, step: &OptimizerStep, gradients: &[f32]) -> Result<(), Error>;

    /// The numbers of a part that is owned, f32.
    ///
    /// # Errors
    /// As [`Divided::copy_gradients`].
    fn copy_values(&self, part: Range<usize>, out: &mut [f32]) -> Result<(), Error>;

    /// Moments of a part that is owned; zero before the first step.
    fn copy_moments(&self, which: Moment, part: Range<usize>, out: &mut [f32]);

    /// Sets moments of a part that is owned.
    fn set_moments(&mut self, which: Moment, part: Range<usize>, moments: &[f32]);

    /// Bytes that the weights of a part are, as other ranks compute with them.
    fn weight_bytes(&self, part: Range<usize>) -> usize;

    /// Adds those bytes to `out`.
    ///
    /// # Errors
    /// As [`Divided::copy_gradients`].
    fn copy_weights(&self, part: Range<usize>, out: &mut Vec<u8>) -> Result<(), Error>;

    /// Sets the weights of a part that another rank owns.
    ///
    /// # Errors
    /// As [`Divided::copy_gradients`].
    fn set_weights(&mut self, part: Range<usize>, bytes: &[u8]) -> Result<(), Error>;
}
