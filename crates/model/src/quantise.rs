//! Frozen weights in fewer bits than their files have: the linear maps of all layers as NF4 (QLoRA, Dettmers et al. 2023).
//!
//! Embedding, head, norms and biases stay as they are, as in bitsandbytes' quantised models.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{DType, Tensor};
use tunebench_kernels::SimdLevel;
use tunebench_kernels::quant::{QuantTensor, QuantType};
use tunebench_spec::Decoder;
use tunebench_spec::decoder::{Part, Weight};
use tunebench_spec::names::Role;
use tunebench_spec::random::Stream;

use crate::weights::{INIT_STD, QuantisedWeight, QuantisedWeights, Stored};
use crate::{Error, Source, Weights};

/// The weights with all linear maps of layers as NF4.
///
/// # Errors
/// [`Error::Quantise`] names a weight that is in few bits already, has a number that is not finite, or whose rows are not
/// whole blocks.
pub fn nf4(shape: &Decoder, weights: Weights) -> Result<Weights, Error> {
    let maps = nf4_weights(shape)?;
    let mut all = weights.into_stored();
    for (name, stored) in all.iter_mut().filter(|(name, _)| maps.contains_key(*name)) {
        *stored = map_to_nf4(name, stored)?;
    }
    Weights::of_stored(shape, all)
}

/// The weights of a model's files with all linear maps of layers as NF4, each quantised as soon as it is read: memory holds one
/// of them as it was.
///
/// # Errors
/// As [`nf4`], and when a file cannot be read.
pub fn nf4_of(source: &Source) -> Result<Weights, Error> {
    let maps = nf4_weights(&source.shape)?;
    source.weights_by(&|name, stored| if maps.contains_key(name) { map_to_nf4(name, &stored) } else { Ok(stored) })
}

fn map_to_nf4(name: &str, stored: &Stored) -> Result<Stored, Error> {
    let fault = |fault: String| Error::Quantise { weight: name.into(), fault };
    if let Stored::Quantised(tensor) = stored
        && tensor.kind() != QuantType::F16
    {
        let kind = tensor.kind().name();
        return Err(fault(format!("it is {kind} already; quantise takes weights in 16 bits or more")));
    }
    let numbers = stored.tensor();
    let dims: [usize; 2] = numbers.dims2()?.into();
    let row = |i: usize, to: &mut [f32]| match numbers.get(i).and_then(|row| f32s(&row)) {
        Ok(row) => to.copy_from_slice(&row),
        Err(_) => to.fill(f32::NAN),
    };
    let tensor = QuantTensor::nf4(dims, row).ok_or_else(|| fault(misfit(&dims)))?;
    match tensor.not_finite(SimdLevel::best()) {
        Some(_) => Err(fault("it has a number that is not finite".into())),
        None => Ok(Stored::Quantised(Arc::new(tensor))),
    }
}

fn f32s(row: &Tensor) -> candle_core::Result<Vec<f32>> {
    row.to_dtype(candle_core::DType::F32)?.to_vec1()
}

/// The weights that [`nf4`] quantises, by name; they are made in memory.
///
/// # Errors
/// [`Error::Quantise`] names a weight whose rows are not whole blocks.
pub fn nf4_weights(shape: &Decoder) -> Result<QuantisedWeights, Error> {
    let mut all = BTreeMap::new();
    for Weight { name, shape, .. } in linear_maps(shape) {
        let bytes = match *shape {
            [rows, cols] => QuantType::Nf4.bytes(rows, cols),
            _ => None,
        };
        let Some(bytes) = bytes else { return Err(Error::Quantise { weight: name, fault: misfit(&shape) }) };
        all.insert(name, QuantisedWeight { kind: QuantType::Nf4, bytes: bytes as u64, is_mapped: false });
    }
    Ok(all)
}

/// Fresh weights of which these are held so, in blocks that mean nothing: for measurements of time, which does not depend on what
/// the numbers are.
///
/// # Errors
/// As [`Weights::init`].
pub fn drawn(shape: &Decoder, quantised: &QuantisedWeights, seed: u64) -> Result<Weights, Error> {
    let held = |weight: &Weight| {
        let (kind, &[rows, cols]) = (quantised.get(&weight.name)?.kind, weight.shape.as_slice()) else { return None };
        let tensor = drawn_blocks(kind, [rows, cols], Stream::named(seed, &weight.name))?;
        Some(Stored::Quantised(Arc::new(tensor)))
    };
    Weights::init_held(shape, seed, DType::F32, &held)
}

/// A matrix whose rows are all the same; none where they are not whole blocks.
fn drawn_blocks(kind: QuantType, [rows, cols]: [usize; 2], mut stream: Stream) -> Option<QuantTensor> {
    if kind == QuantType::Nf4 {
        let numbers: Vec<f32> = (0..cols).map(|_| (INIT_STD * stream.normal()) as f32).collect();
        return QuantTensor::nf4([rows, cols], |_, row| row.copy_from_slice(&numbers));
    }
    let mut row: Vec<u8> = (0..kind.bytes(1, cols)?).map(|_| stream.below(256) as u8).collect();
    // A scale's exponent may be in each second byte: below 2^-11, so that no number is above 2.
    row.iter_mut().skip(1).step_by(2).for_each(|byte| *byte &= 0x8f);
    QuantTensor::new(kind, [rows, cols], row.repeat(rows))
}

fn linear_maps(shape: &Decoder) -> impl Iterator<Item = Weight> {
    let is_map = |w: &Weight| w.role.is_linear() && w.role != Role::Head && w.part == Part::Weight;
    shape.weights().into_iter().filter(is_map)
}

fn misfit(dims: &[usize]) -> String {
    format!("its rows are not whole blocks of {} numbers, {dims:?}", QuantType::Nf4.elements())
}

/// What to say where these weights are written as plain numbers; none where they are such.
pub fn dequantised(weights: &Weights) -> Option<String> {
    let mut kinds: Vec<&str> = Vec::new();
    let mut count = 0;
    for (_, stored) in weights.stored() {
        let Stored::Quantised(tensor) = stored else { continue };
        if tensor.kind() == QuantType::F16 {
            continue;
        }
        count += 1;
        if !kinds.contains(&tensor.kind().name()) {
            kinds.push(tensor.kind().name());
        }
    }
    (count > 0).then(|| {
        let (all, kinds) = (weights.len(), kinds.join(", "));
        format!("{count} of {all} weights were held in few bits ({kinds}) and are written as the numbers that these stand for")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(hidden_size: usize) -> Decoder {
        let mut shape = Decoder::preset("tiny").unwrap_or_else(|_| Decoder::preset("llama-7b").unwrap());
        shape.hidden_size = hidden_size;
        shape.num_hidden_layers = 1;
        shape.vocab_size = 64;
        shape.mlp.intermediate_size = 128;
        (shape.attention.heads, shape.attention.kv_heads, shape.attention.head_dim) = (2, 2, hidden_size / 2);
        shape
    }

    #[test]
    fn linear_maps_are_quantised_and_nothing_else() {
        let shape = shape(128);
        let before = Weights::init_as(&shape, 3, DType::BF16).unwrap();
        let after = nf4(&shape, before.clone()).unwrap();
        let quantised = nf4_weights(&shape).unwrap();
        assert_eq!(after.quantised(), quantised);
        assert_eq!(quantised.len(), 7);
        for (name, stored) in after.stored() {
            let is_map = quantised.contains_key(name);
            assert_eq!(matches!(stored, Stored::Quantised(_)), is_map, "{name}");
            let (old, new) = (before.get(name).unwrap(), after.get(name).unwrap());
            let apart = (old.flatten_all().unwrap() - new.flatten_all().unwrap()).unwrap().sqr().unwrap();
            let apart = apart.mean_all().unwrap().to_scalar::<f32>().unwrap().sqrt();
            // A twelfth of their standard deviation, 0.02, for normal numbers.
            assert!(if is_map { (0.0001..0.0025).contains(&apart) } else { apart == 0.0 }, "{name}: {apart}");
        }
        let twice = nf4(&shape, after).unwrap_err().to_string();
        assert!(twice.contains("NF4 already"), "{twice}");
    }

    #[test]
    fn what_is_drawn_is_held_as_it_is_to_be() {
        let mut shape = shape(256);
        shape.mlp.intermediate_size = 512;
        for kind in QuantType::ALL.into_iter().filter(|kind| *kind != QuantType::F16) {
            let mut wanted = nf4_weights(&shape).unwrap();
            for (name, weight) in &mut wanted {
                let dims = shape.weights().into_iter().find(|of| of.name == *name).unwrap().shape;
                *weight =
                    QuantisedWeight { kind, bytes: kind.bytes(dims[0], dims[1]).unwrap() as u64, is_mapped: false };
            }
            let weights = drawn(&shape, &wanted, 3).unwrap();
            assert_eq!(weights.quantised(), wanted, "{}", kind.name());
            for (name, tensor) in weights.iter().filter(|(name, _)| wanted.contains_key(*name)) {
                let numbers: Vec<f32> = tensor.flatten_all().unwrap().to_vec1().unwrap();
                let largest = numbers.iter().fold(0f32, |most, number| most.max(number.abs()));
                assert!(largest > 1e-6 && largest < 4.0, "{} {name}: {largest}", kind.name());
            }
        }
    }

    #[test]
    fn rows_that_are_no_whole_blocks_are_refused() {
        let error = nf4_weights(&shape(96)).unwrap_err().to_string();
        assert!(error.contains("whole blocks of 64") && error.contains("q_proj"), "{error}");
    }
}
