//! The fast engine's model, divided: bf16 weights go from rank to rank, what f32 has beyond them stays.

use std::ops::Range;

use super::divided::within;
use super::fast::Training;
use super::{Divided, Moment, OptimizerStep};
use crate::Error;
use crate::optim::AdamWState;

impl Divided for Training {
    fn own(&mut self, part: Range<usize>) -> Result<(), Error> {
        self.model.own(&self.flat, &part);
        for (slot, AdamWState { first, second }) in self.states.iter_mut().enumerate() {
            let (before, after) = (self.flat.overlap(slot, &self.own), self.flat.overlap(slot, &part));
            for moments in [first, second].into_iter().filter(|moments| !moments.is_empty()) {
                *moments = within(moments, &before, &after).to_vec();
            }
        }
        self.own = part;
        Ok(())
    }

    fn reached(&self) -> Vec<bool> {
        (0..self.states.len()).map(|slot| self.gradients.get(slot).is_some()).collect()
    }

    fn copy_gradients(&self, part: Range<usize>, out: &mut [f32]) -> Result<(), Error> {
        for piece in self.flat.pieces(part) {
            match self.gradients.get(piece.index) {
                Some(gradient) => out[piece.at].copy_from_slice(&gradient[piece.inside]),
                None => out[piece.at].fill(0.0),
            }
        }
        Ok(())
    }

    fn update_own(&mut self, step: &OptimizerStep, gradients: &[f32]) -> Result<(), Error> {
        self.model.update_part(&self.flat, &self.own, gradients, &mut self.states, |options| step.of(options));
        Ok(())
    }

    fn copy_values(&self, part: Range<usize>, out: &mut [f32]) -> Result<(), Error> {
        self.model.copy_values(&self.flat, part, out);
        Ok(())
    }

    fn copy_moments(&self, which: Moment, part: Range<usize>, out: &mut [f32]) {
        for piece in self.flat.pieces(part) {
            let start = self.flat.overlap(piece.index, &self.own).start;
            let moments = which.of(&self.states[piece.index]);
            match moments.is_empty() {
                true => out[piece.at].fill(0.0),
                false => out[piece.at].copy_from_slice(&moments[piece.inside.start - start..piece.inside.end - start]),
            }
        }
    }

    fn set_moments(&mut self, which: Moment, part: Range<usize>, moments: &[f32]) {
        for piece in self.flat.pieces(part) {
            let own = self.flat.overlap(piece.index, &self.own);
            let state = &mut self.states[piece.index];
            state.resize(own.len());
            let to = &mut which.of_mut(state)[piece.inside.start - own.start..piece.inside.end - own.start];
            to.copy_from_slice(&moments[piece.at]);
        }
    }

    fn weight_bytes(&self, part: Range<usize>) -> usize {
        self.model.weight_bytes(&self.flat, part)
    }

    fn copy_weights(&self, part: Range<usize>, out: &mut Vec<u8>) -> Result<(), Error> {
        self.model.copy_weights(&self.flat, part, out);
        Ok(())
    }

    fn set_weights(&mut self, part: Range<usize>, bytes: &[u8]) -> Result<(), Error> {
        self.model.set_weights(&self.flat, part, bytes);
        Ok(())
    }
}
