//! Parts of trained tensors, as ranks divide them: all have every weight as products read it, and its owner the rest.

use std::ops::Range;

use tunebench_kernels::optim::adamw::{self, AdamW, Update};

use super::model::Model;
use super::storage::Storage;
use super::trained::{TrainedTensor, Value};
use crate::flat::Flat;
use crate::optim::{AdamWState, ParamOptions};

impl<E: Storage> Model<E> {
    /// Keeps all of each weight in this part alone.
    pub(crate) fn own(&mut self, flat: &Flat, part: &Range<usize>) {
        for (slot, tensor) in self.trained.iter_mut().enumerate() {
            tensor.own(flat.overlap(slot, part));
        }
    }

    /// One step of AdamW over a part that is owned, by its gradients; `states` are those of what is owned of each tensor.
    pub(crate) fn update_part(
        &mut self,
        flat: &Flat,
        part: &Range<usize>,
        gradients: &[f32],
        states: &mut [AdamWState],
        step: impl Fn(ParamOptions) -> AdamW,
    ) {
        let mut pieces = flat.pieces(part.clone()).peekable();
        let mut updates = Vec::new();
        for (slot, (tensor, state)) in self.trained.iter_mut().zip(states).enumerate() {
            let Some(piece) = pieces.next_if(|piece| piece.index == slot) else { continue };
            state.resize(piece.inside.len());
            let step = step(tensor.options);
            let AdamWState { first, second } = state;
            let weights = tensor.owned(piece.inside);
            updates.push(Update { weights, gradient: &gradients[piece.at], first, second, step });
        }
        adamw::update(self.options.level, updates);
        for piece in flat.pieces(part.clone()) {
            self.trained[piece.index].round(piece.inside);
        }
    }

    /// The numbers of a part that is owned.
    pub(crate) fn copy_values(&self, flat: &Flat, part: Range<usize>, out: &mut [f32]) {
        for piece in flat.pieces(part) {
            self.trained[piece.index].copy_values(piece.inside, &mut out[piece.at]);
        }
    }

    /// Bytes of a part as products read it, small tensors whole.
    pub(crate) fn weight_bytes(&self, flat: &Flat, part: Range<usize>) -> usize {
        flat.pieces(part).map(|piece| self.trained[piece.index].size() * piece.inside.len()).sum()
    }

    /// Adds these bytes to `out`.
    pub(crate) fn copy_weights(&self, flat: &Flat, part: Range<usize>, out: &mut Vec<u8>) {
        for piece in flat.pieces(part) {
            match &self.trained[piece.index].value {
                Value::Weight { high, .. } => E::put(&high[piece.inside], out),
                Value::Small { full, .. } => <f32 as Storage>::put(&full[piece.inside], out),
            }
        }
    }

    /// Takes what another rank has copied of the same part.
    pub(crate) fn set_weights(&mut self, flat: &Flat, part: Range<usize>, mut bytes: &[u8]) {
        for piece in flat.pieces(part) {
            let tensor = &mut self.trained[piece.index];
            let (here, rest) = bytes.split_at(tensor.size() * piece.inside.len());
            bytes = rest;
            match &mut tensor.value {
                Value::Weight { high, .. } => E::get(here, &mut high[piece.inside.clone()]),
                Value::Small { full, .. } => <f32 as Storage>::get(here, &mut full[piece.inside.clone()]),
            }
            tensor.round(piece.inside);
        }
    }
}

impl<E: Storage> TrainedTensor<E> {
    fn own(&mut self, part: Range<usize>) {
        if let Value::Weight { low, start, .. } = &mut self.value {
            // In f32 there is nothing beyond what products read.
            let rest = if part.is_empty() { None } else { low.get(part.start - *start..part.end - *start) };
            *low = rest.unwrap_or_default().to_vec();
            *start = part.start;
        }
    }

    /// Bytes of a number, as other ranks need it.
    fn size(&self) -> usize {
        match self.value {
            Value::Weight { .. } => size_of::<E>(),
            Value::Small { .. } => size_of::<f32>(),
        }
    }

    fn copy_values(&self, part: Range<usize>, out: &mut [f32]) {
        match &self.value {
            Value::Weight { high, low, start } => {
                let rest = low.get(part.start - start..part.end - start).unwrap_or_default();
                out.copy_from_slice(&E::join(&high[part], rest));
            }
            Value::Small { full, .. } => out.copy_from_slice(&full[part]),
        }
    }
}
