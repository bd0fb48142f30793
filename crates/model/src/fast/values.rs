//! Trained tensors: their values, their gradients, their moments, and the optimiser's pass over all of them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use candle_core::{DType, Tensor};
use half::bf16;
use tunebench_kernels::gemm::Store;
use tunebench_kernels::optim::adamw::{self, AdamW, Update, Weights};
use tunebench_kernels::{Element, SimdLevel};

use crate::Error;

/// What weights and activations are stored as. A trained f32 weight is kept whole: in bf16 as the rounded number, which
/// is what products read, and the 16 bits that rounding took.
pub trait Storage: Element {
    fn split(values: Vec<f32>) -> (Vec<Self>, Vec<i16>);
    fn join(high: &[Self], low: &[i16]) -> Vec<f32>;
    fn master<'a>(high: &'a mut [Self], low: &'a mut [i16]) -> Weights<'a>;
    /// A tensor's numbers in order.
    ///
    /// # Errors
    /// When candle cannot convert them.
    fn take(tensor: &Tensor) -> Result<Vec<Self>, Error>;
}

impl Storage for f32 {
    fn split(values: Vec<f32>) -> (Vec<Self>, Vec<i16>) {
        (values, Vec::new())
    }

    fn join(high: &[Self], _: &[i16]) -> Vec<f32> {
        high.to_vec()
    }

    fn master<'a>(high: &'a mut [Self], _: &'a mut [i16]) -> Weights<'a> {
        Weights::Full(high)
    }

    fn take(tensor: &Tensor) -> Result<Vec<Self>, Error> {
        Ok(tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
    }
}

impl Storage for bf16 {
    fn split(values: Vec<f32>) -> (Vec<Self>, Vec<i16>) {
        let (mut high, mut low) = (vec![bf16::ZERO; values.len()], vec![0; values.len()]);
        adamw::split(&values, &mut high, &mut low);
        (high, low)
    }

    fn join(high: &[Self], low: &[i16]) -> Vec<f32> {
        let mut values = vec![0.0; high.len()];
        adamw::join(high, low, &mut values);
        values
    }

    fn master<'a>(high: &'a mut [Self], low: &'a mut [i16]) -> Weights<'a> {
        Weights::Split { high, low }
    }

    fn take(tensor: &Tensor) -> Result<Vec<Self>, Error> {
        Ok(tensor.to_dtype(DType::BF16)?.flatten_all()?.to_vec1()?)
    }
}

/// One trained tensor.
pub(super) struct Trained<E> {
    pub name: String,
    pub dims: Vec<usize>,
    pub lr_scale: f64,
    pub value: Value<E>,
}

pub(super) enum Value<E> {
    /// A weight of the model that products read.
    Weight { high: Vec<E>, low: Vec<i16> },
    /// A small tensor: all of it, and rounded for products.
    Small { full: Vec<f32>, rounded: Vec<E> },
}

impl<E: Storage> Trained<E> {
    pub fn weight(name: &str, tensor: &Tensor, lr_scale: f64) -> Result<Self, Error> {
        let (high, low) = E::split(f32::take(tensor)?);
        let value = Value::Weight { high, low };
        Ok(Self { name: name.into(), dims: tensor.dims().to_vec(), lr_scale, value })
    }

    pub fn small(name: &str, tensor: &Tensor, lr_scale: f64) -> Result<Self, Error> {
        let full = f32::take(tensor)?;
        let rounded = full.iter().map(|x| E::from_f32(*x)).collect();
        let value = Value::Small { full, rounded };
        Ok(Self { name: name.into(), dims: tensor.dims().to_vec(), lr_scale, value })
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
            Value::Weight { high, low } => Cow::Owned(E::join(high, low)),
            Value::Small { full, .. } => Cow::Borrowed(full),
        }
    }
}

/// Gradients of all trained tensors, summed over the pieces of a step.
pub struct Gradients {
    slots: Vec<Slot>,
}

struct Slot {
    values: Vec<f32>,
    /// Whether anything has been written since [`Gradients::clear`]; before, the values mean nothing.
    is_set: bool,
}

impl Gradients {
    pub(super) fn new<E: Storage>(trained: &[Trained<E>]) -> Self {
        let slots = trained.iter().map(|t| Slot { values: vec![0.0; t.len()], is_set: false });
        Self { slots: slots.collect() }
    }

    /// Before the first piece of a step.
    pub fn clear(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.is_set = false);
    }

    /// Where a product puts its result: it replaces what an earlier step left, or adds to what this one has.
    pub(super) fn target(&mut self, slot: usize) -> (&mut [f32], Store) {
        let Slot { values, is_set } = &mut self.slots[slot];
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

    /// The gradient of the trained tensor number `slot`, in the order of the model's names; none when nothing led there.
    pub fn get(&self, slot: usize) -> Option<&[f32]> {
        self.slots.get(slot).filter(|s| s.is_set).map(|s| s.values.as_slice())
    }
}

/// First and second moments of a tensor's gradients.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moments {
    pub first: Vec<f32>,
    pub second: Vec<f32>,
}

/// One step of AdamW over all trained tensors, each with moments of its size; `step` says the numbers of the step for a
/// tensor's factor of the learning rate.
pub(super) fn update<E: Storage>(
    level: SimdLevel,
    trained: &mut [Trained<E>],
    gradients: &Gradients,
    moments: &mut BTreeMap<String, Moments>,
    step: impl Fn(f64) -> AdamW,
) {
    for t in trained.iter() {
        let moments = moments.entry(t.name.clone()).or_default();
        moments.first.resize(t.len(), 0.0);
        moments.second.resize(t.len(), 0.0);
    }
    // Both are in the order of the names; a moment without a tensor is passed over.
    let mut moments: BTreeMap<&str, &mut Moments> = moments.iter_mut().map(|(n, m)| (n.as_str(), m)).collect();
    let mut updates = Vec::with_capacity(trained.len());
    for (slot, t) in trained.iter_mut().enumerate() {
        let (Some(gradient), Some(Moments { first, second })) = (gradients.get(slot), moments.remove(t.name.as_str()))
        else {
            continue;
        };
        let weights = match &mut t.value {
            Value::Weight { high, low } => E::master(high, low),
            Value::Small { full, .. } => Weights::Full(full),
        };
        updates.push(Update { weights, gradient, first, second, step: step(t.lr_scale) });
    }
    adamw::update(level, updates);
    for t in trained {
        if let Value::Small { full, rounded } = &mut t.value {
            rounded.iter_mut().zip(full).for_each(|(to, from)| *to = E::from_f32(*from));
        }
    }
}
