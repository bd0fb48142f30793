//! What the forward pass keeps of each layer for the backward pass: all activations, or inputs to compute them again.

use std::mem::swap;

use super::layer::Activations;

/// The activations of a pass, in buffers that the next one uses again.
#[derive(Default)]
pub(super) struct ActivationStore<E> {
    /// One for the layers below `first` and, where all are kept, one for each layer from there on.
    layers: Vec<Activations<E>>,
    /// Where layers are computed again: the input of each, `[n, d]`.
    inputs: Vec<Vec<E>>,
    /// The first layer that the backward pass reaches.
    first: usize,
    recompute: bool,
}

impl<E: Clone + Default> ActivationStore<E> {
    /// Keeps nothing: all layers leave their activations in one place.
    pub fn keep_none(&mut self) {
        self.layers.resize_with(self.layers.len().max(1), Activations::default);
        (self.first, self.recompute) = (usize::MAX, false);
    }

    /// Keeps all that `count` layers compute, from layer `first` on; nothing of those below.
    pub fn keep_all(&mut self, count: usize, first: usize) {
        let places = count - first + 1;
        self.layers.resize_with(self.layers.len().max(places), Activations::default);
        (self.first, self.recompute) = (first, false);
    }

    /// Keeps the inputs of the layers from `first` on; their activations exist one layer at a time.
    pub fn recompute(&mut self, count: usize, first: usize) {
        self.layers.resize_with(self.layers.len().max(1), Activations::default);
        self.inputs.resize_with(count, Vec::new);
        (self.first, self.recompute) = (first, true);
    }

    /// Where a layer leaves its activations, its input `x` in place already; `x` becomes a buffer for its output.
    pub fn forward(&mut self, layer: usize, x: &mut Vec<E>) -> &mut Activations<E> {
        if self.recompute && layer >= self.first {
            self.inputs[layer].clone_from(x);
        }
        let activations = self.of(layer);
        swap(&mut activations.x, x);
        activations
    }

    /// What is kept of a layer: its input alone where it is computed again.
    pub fn backward(&mut self, layer: usize) -> &mut Activations<E> {
        if self.recompute {
            // All layers that are computed again share the first place.
            swap(&mut self.layers[0].x, &mut self.inputs[layer]);
        }
        self.of(layer)
    }

    fn of(&mut self, layer: usize) -> &mut Activations<E> {
        let is_kept = !self.recompute && layer >= self.first;
        &mut self.layers[if is_kept { layer - self.first + 1 } else { 0 }]
    }
}
