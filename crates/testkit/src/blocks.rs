//! Small models in few bits, and the same with plain numbers.

use std::collections::BTreeMap;
use std::sync::Arc;

use half::bf16;
use tunebench_kernels::quant::{QuantTensor, QuantType};
use tunebench_model::Weights;
use tunebench_model::weights::Stored;
use tunebench_spec::Decoder;
use tunebench_spec::random::Stream;

use crate::engines::levels;

/// Two layers whose rows are whole blocks of every format.
pub fn shape(tied: bool) -> Decoder {
    let mut shape = Decoder::preset("llama-7b").unwrap();
    (shape.hidden_size, shape.mlp.intermediate_size, shape.num_hidden_layers) = (256, 512, 2);
    (shape.vocab_size, shape.tie_word_embeddings) = (97, tied);
    (shape.attention.heads, shape.attention.kv_heads, shape.attention.head_dim) = (4, 2, 64);
    shape
}

/// A matrix in some format: NF4 by its quantiser, the others of bytes drawn at random with small scales.
fn quantised(kind: QuantType, name: &str, [rows, cols]: [usize; 2]) -> QuantTensor {
    let mut stream = Stream::named(11, name);
    if kind == QuantType::Nf4 {
        let numbers: Vec<f32> = (0..rows * cols).map(|_| (0.05 * stream.normal()) as f32).collect();
        let fill = |i: usize, row: &mut [f32]| row.copy_from_slice(&numbers[i * cols..][..cols]);
        return QuantTensor::nf4([rows, cols], fill).unwrap();
    }
    let mut bytes: Vec<u8> = (0..kind.bytes(rows, cols).unwrap()).map(|_| stream.below(256) as u8).collect();
    // A scale's exponent may be in each second byte: below 2^-11.
    bytes.iter_mut().skip(1).step_by(2).for_each(|byte| *byte &= 0x8f);
    QuantTensor::new(kind, [rows, cols], bytes).unwrap()
}

/// All matrices in one format, and the same numbers as bf16.
pub fn both(shape: &Decoder, kind: QuantType) -> [Weights; 2] {
    let level = levels()[0];
    let (mut blocks, mut plain) = (BTreeMap::new(), BTreeMap::new());
    for (name, stored) in Weights::init(shape, 5).unwrap().into_stored() {
        let (held, same) = match *stored.dims() {
            [rows, cols] => {
                let tensor = quantised(kind, &name, [rows, cols]);
                let numbers: Vec<bf16> = tensor.to_vec(level);
                let same = candle_core::Tensor::from_vec(numbers, (rows, cols), &candle_core::Device::Cpu).unwrap();
                (Stored::Quantised(Arc::new(tensor)), Stored::Plain(same))
            }
            _ => (stored.clone(), stored),
        };
        blocks.insert(name.clone(), held);
        plain.insert(name, same);
    }
    [blocks, plain].map(|all| Weights::of_stored(shape, all).unwrap())
}
