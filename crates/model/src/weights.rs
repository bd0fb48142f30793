//! All weights of a model, on the CPU, named and shaped as in a Hugging Face checkpoint: f32, or as they were stored, bf16 or
//! quantised.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;
use tunebench_kernels::SimdLevel;
use tunebench_kernels::quant::{QuantTensor, QuantType};
use tunebench_spec::Decoder;
use tunebench_spec::decoder::{NormKind, Part, Weight};
use tunebench_spec::random::Stream;

use crate::Error;
use crate::formats::safetensors::Float;
use crate::prepared::Prepared;

/// Standard deviation of fresh weights, as transformers' `initializer_range`.
pub(crate) const INIT_STD: f64 = 0.02;

/// Every weight that [`Decoder::weights`] lists, and no other. Copies share their numbers.
#[derive(Clone, Debug)]
pub struct Weights {
    all: BTreeMap<String, Stored>,
    /// What engines have made of them, where that is kept; all copies share it.
    prepared: Option<Prepared>,
}

/// The weights of a base model that are held quantised, by name: what of them is frozen takes no more.
pub type QuantisedWeights = BTreeMap<String, QuantisedWeight>;

/// How a weight is held that is not plain numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuantisedWeight {
    pub kind: QuantType,
    pub bytes: u64,
    /// Whether it stays in a file that is mapped: the system may take its pages back and read them again.
    pub is_mapped: bool,
}

/// A weight as it is held.
#[derive(Clone, Debug)]
pub enum Stored {
    /// f32 or bf16.
    Plain(Tensor),
    /// A matrix in few bits, or in f16; all copies share it.
    Quantised(Arc<QuantTensor>),
}

impl Stored {
    /// Its axes, outermost first.
    pub fn dims(&self) -> Vec<usize> {
        match self {
            Self::Plain(tensor) => tensor.dims().to_vec(),
            Self::Quantised(tensor) => tensor.dims().to_vec(),
        }
    }

    /// Its numbers as a tensor: as it is, or what its blocks stand for, in f32.
    pub fn tensor(&self) -> Cow<'_, Tensor> {
        match self {
            Self::Plain(tensor) => Cow::Borrowed(tensor),
            Self::Quantised(tensor) => Cow::Owned(dequantised(tensor)),
        }
    }
}

/// A quantised matrix of a file, whose numbers are looked at.
///
/// # Errors
/// [`Error::NotFinite`] has the first that is none.
pub(crate) fn finite(tensor: QuantTensor, path: &Path, name: &str) -> Result<QuantTensor, Error> {
    match tensor.not_finite(SimdLevel::best()) {
        Some(number) => Err(Error::NotFinite { path: path.into(), name: name.into(), number }),
        None => Ok(tensor),
    }
}

/// What the blocks of a matrix stand for, f32.
fn dequantised(tensor: &QuantTensor) -> Tensor {
    let numbers = tensor.to_vec::<f32>(SimdLevel::best());
    Tensor::from_vec(numbers, &tensor.dims(), &Device::Cpu).expect("as many numbers as its axes say")
}

impl Weights {
    /// Takes tensors that fit `shape`: f32 or bf16, each of the listed names and shapes, no other.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Shape`], [`Error::Unexpected`] or [`Error::Type`] names the tensor.
    pub fn new(shape: &Decoder, tensors: BTreeMap<String, Tensor>) -> Result<Self, Error> {
        Self::of_stored(shape, tensors.into_iter().map(|(name, tensor)| (name, Stored::Plain(tensor))).collect())
    }

    /// As [`Weights::new`], of weights as they are held.
    ///
    /// # Errors
    /// As [`Weights::new`].
    pub fn of_stored(shape: &Decoder, all: BTreeMap<String, Stored>) -> Result<Self, Error> {
        let found = all.iter().map(|(name, stored)| (name.clone(), stored.dims())).collect();
        check("weights", shape, &found)?;
        for (name, stored) in &all {
            if let Stored::Plain(tensor) = stored
                && !matches!(tensor.dtype(), DType::F32 | DType::BF16)
            {
                let (found, supported) = (format!("{:?}", tensor.dtype()), "F32, BF16".into());
                return Err(Error::Type { place: "weights".into(), name: name.clone(), found, supported });
            }
        }
        Ok(Self { all, prepared: None })
    }

    /// Fresh weights for pre-training, the same for the same seed: norms 1, biases 0, the rest normal with standard
    /// deviation 0.02; the two projections that add to the residual stream smaller by sqrt(2 layers), so that its
    /// variance does not grow with depth (GPT-2).
    ///
    /// # Errors
    /// [`Error::Config`] when the dimensions do not fit together.
    pub fn init(shape: &Decoder, seed: u64) -> Result<Self, Error> {
        Self::init_as(shape, seed, DType::F32)
    }

    /// [`Weights::init`] rounded to `dtype`, f32 or bf16, tensor by tensor: for models that f32 would not fit.
    ///
    /// # Errors
    /// As [`Weights::init`].
    pub fn init_as(shape: &Decoder, seed: u64, dtype: DType) -> Result<Self, Error> {
        Self::init_held(shape, seed, dtype, &|_| None)
    }

    /// [`Weights::init_as`], but of weights that `held` has something for that.
    pub(crate) fn init_held(
        shape: &Decoder,
        seed: u64,
        dtype: DType,
        held: &(dyn Fn(&Weight) -> Option<Stored> + Sync),
    ) -> Result<Self, Error> {
        shape.check().map_err(|source| Error::Config { path: "shape".into(), source })?;
        let residual_std = INIT_STD / (2.0 * shape.num_hidden_layers as f64).sqrt();
        // Each has a stream of its own, so it is the same on whichever thread it is drawn.
        let is_offset = shape.norm.kind == NormKind::Rms { unit_offset: true };
        let draw = |weight: Weight| {
            if let Some(stored) = held(&weight) {
                return Ok((weight.name, stored));
            }
            let Weight { name, shape, role, part, .. } = weight;
            let tensor = match part {
                Part::Weight if role.is_norm() && !is_offset => Tensor::ones(shape, DType::F32, &Device::Cpu)?,
                Part::Weight if !role.is_norm() => {
                    let std = if role.is_residual() { residual_std } else { INIT_STD };
                    let mut stream = Stream::named(seed, &name);
                    let values = (0..shape.iter().product()).map(|_| (std * stream.normal()) as f32).collect();
                    Tensor::from_vec(values, shape, &Device::Cpu)?
                }
                _ => Tensor::zeros(shape, DType::F32, &Device::Cpu)?,
            };
            Ok((name, Stored::Plain(tensor.to_dtype(dtype)?)))
        };
        let all: Result<BTreeMap<String, Stored>, Error> = shape.weights().into_par_iter().map(draw).collect();
        Self::of_stored(shape, all?)
    }

    /// One weight, f32.
    ///
    /// # Errors
    /// [`Error::Missing`] when the model has none of that name.
    pub fn get(&self, name: &str) -> Result<Tensor, Error> {
        let missing = || Error::Missing { place: "weights".into(), name: name.into(), expected: vec![] };
        Ok(self.all.get(name).ok_or_else(missing)?.tensor().to_dtype(DType::F32)?)
    }

    /// How far a weight is from `other`, at its place of the largest difference; numbers that are none are infinitely far.
    ///
    /// # Errors
    /// [`Error::Missing`] when the model has none of that name.
    pub fn distance(&self, name: &str, other: &Tensor) -> Result<f32, Error> {
        let flat = |tensor: &Tensor| tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>();
        let (own, other) = (flat(&self.get(name)?)?, flat(other)?);
        if own.len() != other.len() {
            return Ok(f32::INFINITY);
        }
        let apart = |(a, b): (&f32, &f32)| if a.to_bits() == b.to_bits() { 0.0 } else { (a - b).abs() };
        let finite = |apart: f32| if apart.is_nan() { f32::INFINITY } else { apart };
        Ok(own.iter().zip(&other).map(apart).map(finite).fold(0.0, f32::max))
    }

    /// Names and tensors, sorted by name; of those that are held otherwise the numbers, f32, one at a time.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Cow<'_, Tensor>)> {
        self.all.iter().map(|(name, stored)| (name.as_str(), stored.tensor()))
    }

    /// Names and weights as they are held, sorted by name.
    pub fn stored(&self) -> impl Iterator<Item = (&str, &Stored)> {
        self.all.iter().map(|(name, stored)| (name.as_str(), stored))
    }

    /// Each rounded to the format that `floats` has for its name, f32 where it has none.
    ///
    /// # Errors
    /// [`Error::Type`] names one with a number that does not fit.
    pub fn stored_as(self, shape: &Decoder, floats: &BTreeMap<String, Float>) -> Result<Self, Error> {
        let mut all = self.all;
        for (name, stored) in &mut all {
            let float = floats.get(name).copied().unwrap_or(Float::F32);
            *stored = Stored::Plain(float.rounded(name, &stored.tensor())?);
        }
        Self::of_stored(shape, all)
    }

    /// Number of tensors.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The tensors by name, for a caller that changes them; f32 of what is quantised.
    pub fn into_map(self) -> BTreeMap<String, Tensor> {
        self.all.into_iter().map(|(name, stored)| (name, stored.tensor().into_owned())).collect()
    }

    /// The weights that an engine may hold quantised, by name.
    pub fn quantised(&self) -> QuantisedWeights {
        let held = |(name, stored): (&String, &Stored)| match stored {
            Stored::Quantised(tensor) if tensor.kind() != QuantType::F16 => {
                let (kind, bytes, is_mapped) = (tensor.kind(), tensor.bytes() as u64, tensor.is_mapped());
                Some((name.clone(), QuantisedWeight { kind, bytes, is_mapped }))
            }
            _ => None,
        };
        self.all.iter().filter_map(held).collect()
    }

    /// Bytes that stay in files until they are read.
    pub fn mapped_bytes(&self) -> u64 {
        self.quantised().values().filter(|weight| weight.is_mapped).map(|weight| weight.bytes).sum()
    }

    /// The weights by name as they are held.
    pub fn into_stored(self) -> BTreeMap<String, Stored> {
        self.all
    }

    /// The same, of which an engine keeps what it makes of frozen ones, as long as there is a copy: the next model over a copy
    /// need not make it again. What is kept takes memory beside the weights.
    pub fn kept(self) -> Self {
        Self { prepared: Some(self.prepared.unwrap_or_default()), ..self }
    }

    /// The same without what engines have made of them: that goes with the last copy that has it.
    pub fn unkept(self) -> Self {
        Self { prepared: None, ..self }
    }

    /// What is kept of these weights.
    pub(crate) fn prepared(&self) -> Option<&Prepared> {
        self.prepared.as_ref()
    }
}

/// Compares the shapes found at `place` with those that the model needs.
pub(crate) fn check(place: &str, shape: &Decoder, found: &BTreeMap<String, Vec<usize>>) -> Result<(), Error> {
    let place = || place.to_string();
    let expected: BTreeMap<String, Vec<usize>> = shape.weights().into_iter().map(|w| (w.name, w.shape)).collect();
    for (name, expected) in &expected {
        let (name, expected) = (name.clone(), expected.clone());
        match found.get(&name) {
            None => return Err(Error::Missing { place: place(), name, expected }),
            Some(found) if *found != expected => {
                return Err(Error::Shape { place: place(), name, expected, found: found.clone() });
            }
            Some(_) => {}
        }
    }
    match found.iter().find(|(name, _)| !expected.contains_key(*name)) {
        Some((name, found)) => Err(Error::Unexpected { place: place(), name: name.clone(), found: found.clone() }),
        None => Ok(()),
    }
}

/// `path` for the `place` of an error.
pub(crate) fn place(path: &Path) -> String {
    path.display().to_string()
}
