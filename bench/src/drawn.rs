//! Models that exist for measurements alone: the shapes of large ones with numbers drawn at random, each matrix quantised as soon
//! as it is drawn, so that memory never holds more than the model will.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use half::bf16;
use rayon::prelude::*;
use tunebench_kernels::quant::QuantTensor;
use tunebench_model::weights::Stored;
use tunebench_model::{Weights, quantise};
use tunebench_spec::Decoder;
use tunebench_spec::random::Stream;

use crate::tokens::SEED;

/// Of the numbers, as of fresh weights.
const STD: f64 = 0.02;

/// All weights of a shape, the linear maps of layers as NF4, the rest as bf16. The numbers are uniform, which takes a fraction of
/// the time that normal ones do, and means nothing to how long a step takes.
///
/// # Errors
/// When the shape cannot be quantised.
pub fn nf4(shape: &Decoder) -> Result<Weights> {
    let maps = quantise::nf4_weights(shape)?;
    let width = STD * 12f64.sqrt();
    let mut all = BTreeMap::new();
    for (number, weight) in shape.weights().into_iter().enumerate() {
        let fill = |row: usize, to: &mut [f32]| {
            let mut stream = Stream::new(SEED, &[number as u64, row as u64]);
            to.iter_mut().for_each(|to| *to = (width * (stream.uniform() - 0.5)) as f32);
        };
        let stored = match *weight.shape {
            [rows, cols] if maps.contains_key(&weight.name) => {
                let tensor = QuantTensor::nf4([rows, cols], fill);
                Stored::Quantised(Arc::new(tensor.expect("`nf4_weights` has looked at it")))
            }
            [rows, cols] => {
                let mut numbers = vec![bf16::ZERO; rows * cols];
                numbers.par_chunks_mut(cols).enumerate().for_each(|(row, to)| {
                    let mut wide = vec![0f32; cols];
                    fill(row, &mut wide);
                    to.iter_mut().zip(wide).for_each(|(to, wide)| *to = bf16::from_f32(wide));
                });
                Stored::Plain(Tensor::from_vec(numbers, (rows, cols), &Device::Cpu)?)
            }
            _ => Stored::Plain(Tensor::ones(weight.shape, DType::F32, &Device::Cpu)?),
        };
        all.insert(weight.name, stored);
    }
    Ok(Weights::of_stored(shape, all)?)
}
