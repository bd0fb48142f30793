//! The reference path's model, divided: every number is f32 and goes from rank to rank as it is.

use std::ops::Range;

use candle_core::Tensor;
use tunebench_kernels::optim::adamw::{Update, Weights, update};

use super::divided::within;
use super::reference::Training;
use super::{Divided, Moment, OptimizerStep};
use crate::Error;
use crate::flat::Piece;
use crate::optim::AdamWState;
use crate::reference::Param;

impl Divided for Training {
    fn own(&mut self, part: Range<usize>) -> Result<(), Error> {
        for (index, name) in self.model.params().keys().enumerate() {
            let Some(AdamWState { first, second }) = self.states.get_mut(name) else { continue };
            let (before, after) = (self.flat.overlap(index, &self.own), self.flat.overlap(index, &part));
            for moments in [first, second].into_iter().filter(|moments| !moments.is_empty()) {
                *moments = within(moments, &before, &after).to_vec();
            }
        }
        self.own = part;
        Ok(())
    }

    fn reached(&self) -> Vec<bool> {
        self.model.params().keys().map(|name| self.gradients.contains_key(name)).collect()
    }

    fn copy_gradients(&self, part: Range<usize>, out: &mut [f32]) -> Result<(), Error> {
        for (piece, (name, _)) in self.pieces(part) {
            match self.gradients.get(name) {
                Some(gradient) => out[piece.at.clone()].copy_from_slice(&numbers(gradient, &piece)?),
                None => out[piece.at].fill(0.0),
            }
        }
        Ok(())
    }

    fn update_own(&mut self, step: &OptimizerStep, gradients: &[f32]) -> Result<(), Error> {
        let Self { model, flat, own, states, level, .. } = self;
        for (piece, (name, param)) in with_params(flat.pieces(own.clone()), model.params().iter()) {
            let state = states.entry(name.clone()).or_default();
            state.resize(piece.inside.len());
            let mut weights = numbers(param.var.as_tensor(), &piece)?;
            let AdamWState { first, second } = state;
            let (gradient, step) = (&gradients[piece.at.clone()], step.of(param.options));
            update(*level, vec![Update { weights: Weights::Full(&mut weights), gradient, first, second, step }]);
            set(param, &piece, weights)?;
        }
        Ok(())
    }

    fn copy_values(&self, part: Range<usize>, out: &mut [f32]) -> Result<(), Error> {
        for (piece, (_, param)) in self.pieces(part) {
            out[piece.at.clone()].copy_from_slice(&numbers(param.var.as_tensor(), &piece)?);
        }
        Ok(())
    }

    fn copy_moments(&self, which: Moment, part: Range<usize>, out: &mut [f32]) {
        for (piece, (name, _)) in self.pieces(part) {
            let start = self.flat.overlap(piece.index, &self.own).start;
            match self.states.get(name).map(|state| which.of(state)).filter(|moments| !moments.is_empty()) {
                None => out[piece.at].fill(0.0),
                Some(moments) => {
                    out[piece.at].copy_from_slice(&moments[piece.inside.start - start..piece.inside.end - start]);
                }
            }
        }
    }

    fn set_moments(&mut self, which: Moment, part: Range<usize>, moments: &[f32]) {
        let Self { model, flat, own, states, .. } = self;
        for (piece, (name, _)) in with_params(flat.pieces(part), model.params().iter()) {
            let own = flat.overlap(piece.index, own);
            let state = states.entry(name.clone()).or_default();
            state.resize(own.len());
            let to = &mut which.of_mut(state)[piece.inside.start - own.start..piece.inside.end - own.start];
            to.copy_from_slice(&moments[piece.at]);
        }
    }

    fn weight_bytes(&self, part: Range<usize>) -> usize {
        size_of::<f32>() * part.len()
    }

    fn copy_weights(&self, part: Range<usize>, out: &mut Vec<u8>) -> Result<(), Error> {
        for (piece, (_, param)) in self.pieces(part) {
            let numbers = numbers(param.var.as_tensor(), &piece)?;
            out.extend(numbers.into_iter().flat_map(f32::to_le_bytes));
        }
        Ok(())
    }

    fn set_weights(&mut self, part: Range<usize>, bytes: &[u8]) -> Result<(), Error> {
        let (numbers, _) = bytes.as_chunks();
        for (piece, (_, param)) in self.pieces(part) {
            let numbers = &numbers[piece.at.clone()];
            set(param, &piece, numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())?;
        }
        Ok(())
    }
}

impl Training {
    fn pieces(&self, part: Range<usize>) -> impl Iterator<Item = (Piece, (&String, &Param))> {
        with_params(self.flat.pieces(part), self.model.params().iter())
    }
}

/// Each piece with the tensor that it is of; both come in the order of tensors.
fn with_params<'a>(
    pieces: impl Iterator<Item = Piece>,
    params: impl Iterator<Item = (&'a String, &'a Param)>,
) -> impl Iterator<Item = (Piece, (&'a String, &'a Param))> {
    let mut params = params.enumerate();
    pieces.filter_map(move |piece| {
        let (_, param) = params.by_ref().find(|(index, _)| *index == piece.index)?;
        Some((piece, param))
    })
}

/// The numbers of a piece.
fn numbers(tensor: &Tensor, piece: &Piece) -> Result<Vec<f32>, Error> {
    Ok(tensor.detach().flatten_all()?.narrow(0, piece.inside.start, piece.inside.len())?.to_vec1()?)
}

/// Sets the numbers of a piece, in place.
fn set(param: &Param, piece: &Piece, numbers: Vec<f32>) -> Result<(), Error> {
    let numbers = Tensor::from_vec(numbers, piece.inside.len(), param.var.device())?;
    Ok(param.var.as_detached_tensor().flatten_all()?.slice_set(&numbers, 0, piece.inside.start)?)
}
