//! Trained tensors by slot: their values, and the optimizer's pass over all of them.

use std::borrow::Cow;
use std::ops::Range;

use candle_core::Tensor;
use tunebench_kernels::SimdLevel;
use tunebench_kernels::optim::adamw::{self, AdamW, Update, Weights};

use super::gradients::Gradients;
use super::storage::Storage;
use crate::Error;
use crate::optim::{AdamWState, ParamOptions};

/// Number of a trained tensor, in the order in which the model was built: its value, its gradient and its optimizer
/// state are found by it. Names are for files and messages.
pub(super) type Slot = usize;

/// One trained tensor.
pub(super) struct TrainedTensor<E> {
    pub name: String,
    pub dims: Vec<usize>,
    pub options: ParamOptions,
    pub(super) value: Value<E>,
}

pub(super) enum Value<E> {
    /// A weight of the model that products read. Where ranks divide it, `low` is what is owned, from number `start` on.
    Weight { high: Vec<E>, low: Vec<i16>, start: usize },
    /// A small tensor: all of it, and rounded for products.
    Small { full: Vec<f32>, rounded: Vec<E> },
}

impl<E: Storage> TrainedTensor<E> {
    /// A weight of the model that products read.
    pub fn weight(name: &str, tensor: &Tensor, options: ParamOptions) -> Result<Self, Error> {
        let (high, low) = E::split(f32::take(tensor)?);
        let value = Value::Weight { high, low, start: 0 };
        Ok(Self { name: name.into(), dims: tensor.dims().to_vec(), options, value })
    }

    /// A small tensor: a norm's weight, a parameter of an adapter.
    pub fn small(name: &str, tensor: &Tensor, options: ParamOptions) -> Result<Self, Error> {
        let full = f32::take(tensor)?;
        let rounded = full.iter().map(|x| E::from_f32(*x)).collect();
        let value = Value::Small { full, rounded };
        Ok(Self { name: name.into(), dims: tensor.dims().to_vec(), options, value })
    }

    /// As products read it.
    pub fn rounded(&self) -> &[E] {
        match &self.value {
            Value::Weight { high, .. } => high,
            Value::Small { rounded, .. } => rounded,
        }
    }

    /// As it is trained, where it is small.
    pub fn full(&self) -> &[f32] {
        match &self.value {
            Value::Weight { .. } => &[],
            Value::Small { full, .. } => full,
        }
    }

    pub fn len(&self) -> usize {
        self.rounded().len()
    }

    /// As it is trained, in f32.
    pub fn values(&self) -> Cow<'_, [f32]> {
        match &self.value {
            Value::Weight { high, low, .. } => Cow::Owned(E::join(high, low)),
            Value::Small { full, .. } => Cow::Borrowed(full),
        }
    }

    /// Numbers that are owned, as the optimizer moves them.
    pub(super) fn owned(&mut self, part: Range<usize>) -> Weights<'_> {
        match &mut self.value {
            Value::Weight { high, low, start } => {
                let rest = low.get_mut(part.start - *start..part.end - *start).unwrap_or_default();
                E::master(&mut high[part], rest)
            }
            Value::Small { full, .. } => Weights::Full(&mut full[part]),
        }
    }

    /// Rounds numbers of a small tensor anew.
    pub(super) fn round(&mut self, part: Range<usize>) {
        if let Value::Small { full, rounded } = &mut self.value {
            let rounded = &mut rounded[part.clone()];
            rounded.iter_mut().zip(&full[part]).for_each(|(to, from)| *to = E::from_f32(*from));
        }
    }
}

/// A vector of f32 numbers, a norm's weight or a bias: frozen, or a trained tensor.
pub(super) enum Vector {
    Frozen(Vec<f32>),
    /// A trained tensor, and what is added to each of its numbers: 1 where a norm's weight is kept as its distance from 1.
    Trained {
        slot: Slot,
        offset: f32,
    },
}

impl Vector {
    pub fn values<'a, E: Storage>(&'a self, trained: &'a [TrainedTensor<E>]) -> Cow<'a, [f32]> {
        match *self {
            Self::Frozen(ref values) => Cow::Borrowed(values),
            Self::Trained { slot, offset: 0.0 } => Cow::Borrowed(trained[slot].full()),
            Self::Trained { slot, offset } => trained[slot].full().iter().map(|value| value + offset).collect(),
        }
    }

    pub fn is_trained(&self) -> bool {
        self.slot().is_some()
    }

    pub fn slot(&self) -> Option<Slot> {
        match self {
            Self::Frozen(_) => None,
            Self::Trained { slot, .. } => Some(*slot),
        }
    }
}

/// One step of AdamW over all trained tensors; `states` are theirs by slot, and `step` says the numbers of the step for a
/// tensor's options.
pub(super) fn update<E: Storage>(
    level: SimdLevel,
    trained: &mut [TrainedTensor<E>],
    gradients: &Gradients,
    states: &mut [AdamWState],
    step: impl Fn(ParamOptions) -> AdamW,
) {
    let mut updates = Vec::with_capacity(trained.len());
    for ((slot, t), state) in trained.iter_mut().enumerate().zip(states) {
        let Some(gradient) = gradients.get(slot) else { continue };
        state.resize(gradient.len());
        let AdamWState { first, second } = state;
        let step = step(t.options);
        updates.push(Update { weights: t.owned(0..gradient.len()), gradient, first, second, step });
    }
    adamw::update(level, updates);
    for t in trained {
        t.round(0..t.len());
    }
}
