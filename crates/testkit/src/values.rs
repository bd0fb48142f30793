//! Trained values that have moved from where they begin, weights of the size that trained models have, and both as bf16
//! keeps them.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use tunebench_model::{Tuning, Weights};
use tunebench_spec::Decoder;
use tunebench_spec::plan::RecordedPlan;
use tunebench_spec::random::Stream;

/// A tuning that has moved, so that nothing zero hides a product (LoRA's B begins at zero).
pub fn moved(shape: &Decoder, weights: &Weights, recorded: RecordedPlan) -> Tuning {
    let start = Tuning::init(shape, weights, recorded, 3).unwrap();
    with(shape, &start, |name, value| {
        let mut stream = Stream::named(5, name);
        let noise: Vec<f32> = (0..value.elem_count()).map(|_| 0.05 * stream.normal() as f32).collect();
        (value + Tensor::from_vec(noise, value.dims(), &Device::Cpu).unwrap()).unwrap()
    })
}

/// `tuning` with other values.
pub fn with(shape: &Decoder, tuning: &Tuning, value: impl Fn(&str, &Tensor) -> Tensor) -> Tuning {
    let values = tuning.values().iter().map(|(name, old)| (name.clone(), value(name, old)));
    Tuning::new(shape, tuning.recorded().clone(), values.collect()).unwrap()
}

/// Weights of half the size, and norms as they are. The golden models' are so large (0.3 in a model 32 wide) that every
/// product makes its input 1.7 to 2.2 times as large and attention looks at one token: that finds errors in f32, and
/// multiplies the roundings of bf16. Half of them is the gain that trained models have, about 1. To halve rounds nothing.
pub fn halved(shape: &Decoder, weights: &Weights) -> Weights {
    let half = |t: &Tensor| if t.rank() == 1 { t.clone() } else { (t * 0.5).unwrap() };
    Weights::new(shape, weights.iter().map(|(name, t)| (name.to_owned(), half(&t))).collect()).unwrap()
}

/// Weights and tuning as bf16 keeps them, in f32 still: what a model in bf16 computes with, so that only the roundings on
/// the way are compared.
pub fn in_bf16(shape: &Decoder, weights: &Weights, tuning: &Tuning) -> (Weights, Tuning) {
    let rounded: BTreeMap<_, _> = weights.iter().map(|(name, t)| (name.to_owned(), round(&t))).collect();
    (Weights::new(shape, rounded).unwrap(), with(shape, tuning, |_, value| round(value)))
}

fn round(tensor: &Tensor) -> Tensor {
    tensor.to_dtype(DType::BF16).unwrap().to_dtype(DType::F32).unwrap()
}
