//! Gradients of all trained tensors, by slot, summed over the micro-batches of a step.

use tunebench_kernels::Store;

/// One buffer a trained tensor, in the order of their slots.
pub struct Gradients {
    slots: Vec<Gradient>,
}

struct Gradient {
    name: String,
    values: Vec<f32>,
    /// Whether anything has been written since [`Gradients::clear`]; before, the values mean nothing.
    is_set: bool,
}

impl Gradients {
    /// Buffers for tensors of these names and sizes.
    pub(super) fn new<'a>(tensors: impl Iterator<Item = (&'a str, usize)>) -> Self {
        let slot = |(name, len): (&str, usize)| Gradient { name: name.into(), values: vec![0.0; len], is_set: false };
        Self { slots: tensors.map(slot).collect() }
    }

    /// Before the first micro-batch of a step.
    pub fn clear(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.is_set = false);
    }

    /// Where a product puts its result: it replaces what an earlier step left, or adds to what this one has.
    pub(super) fn target(&mut self, slot: usize) -> (&mut [f32], Store) {
        let Gradient { values, is_set, .. } = &mut self.slots[slot];
        let store = if *is_set { Store::Add } else { Store::Set };
        *is_set = true;
        (values, store)
    }

    /// As [`Gradients::target`], for a kernel that can only add.
    pub(super) fn sum(&mut self, slot: usize) -> &mut [f32] {
        let (values, store) = self.target(slot);
        if store == Store::Set {
            values.fill(0.0);
        }
        values
    }

    /// The gradient of trained tensor number `slot`, in the order of [`super::Model::trained`]; none when none arrived.
    pub fn get(&self, slot: usize) -> Option<&[f32]> {
        self.slots.get(slot).filter(|s| s.is_set).map(|s| s.values.as_slice())
    }

    /// Every gradient with its tensor's name, in the order of [`super::Model::trained`]: the same on every process that
    /// built the same model. One that has not arrived is zero, and counts as arrived.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut [f32])> {
        self.slots.iter_mut().map(|Gradient { name, values, is_set }| {
            if !*is_set {
                values.fill(0.0);
                *is_set = true;
            }
            (name.as_str(), values.as_mut_slice())
        })
    }
}
