//! The types in which GGUF stores numbers.

use rayon::prelude::*;
use tunebench_kernels::quant::QuantType;

use crate::formats::gguf::quantize;
use crate::formats::safetensors::Float;

/// A storage type: `elements` numbers in each block of `bytes` bytes.
pub(crate) struct BlockType {
    pub(crate) name: &'static str,
    /// GGML's number for it.
    pub(crate) code: u32,
    pub(crate) elements: u64,
    pub(crate) bytes: u64,
    pub(crate) values: Values,
}

pub(crate) enum Values {
    Plain(Float),
    Blocks(QuantType),
}

static TYPES: [BlockType; 14] = [
    plain("F32", 0, Float::F32),
    plain("F16", 1, Float::F16),
    plain("BF16", 30, Float::BF16),
    blocks(2, QuantType::Q4_0),
    blocks(3, QuantType::Q4_1),
    blocks(6, QuantType::Q5_0),
    blocks(7, QuantType::Q5_1),
    blocks(8, QuantType::Q8_0),
    blocks(10, QuantType::Q2K),
    blocks(11, QuantType::Q3K),
    blocks(12, QuantType::Q4K),
    blocks(13, QuantType::Q5K),
    blocks(14, QuantType::Q6K),
    blocks(20, QuantType::Iq4Nl),
];

const fn plain(name: &'static str, code: u32, float: Float) -> BlockType {
    BlockType { name, code, elements: 1, bytes: float.size() as u64, values: Values::Plain(float) }
}

const fn blocks(code: u32, kind: QuantType) -> BlockType {
    let (elements, bytes) = (kind.elements() as u64, kind.block_bytes() as u64);
    BlockType { name: kind.name(), code, elements, bytes, values: Values::Blocks(kind) }
}

impl BlockType {
    pub(crate) fn from_code(code: u32) -> Option<&'static Self> {
        TYPES.iter().find(|t| t.code == code)
    }

    /// The type of this name.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        TYPES.iter().find(|t| t.name == name)
    }

    /// The numbers in this type, where it is one that is written; their count is a multiple of a block's.
    pub(crate) fn encode(&self, numbers: &[f32]) -> Option<Vec<u8>> {
        let kind = match &self.values {
            Values::Plain(float) => return Some(float.encode(numbers)),
            Values::Blocks(kind) => kind,
        };
        let block: fn(&[f32], &mut Vec<u8>) = match kind {
            QuantType::Q8_0 => quantize::q8_0,
            QuantType::Q5_0 => quantize::q5_0,
            QuantType::Q5_1 => quantize::q5_1,
            QuantType::Q4K => quantize::q4_k,
            QuantType::Q5K => quantize::q5_k,
            QuantType::Q6K => quantize::q6_k,
            _ => return None,
        };
        let elements = self.elements as usize;
        // Pieces of many blocks, so that threads have work and the order stays.
        let piece = |numbers: &[f32]| {
            let mut bytes = Vec::with_capacity(numbers.len() / elements * self.bytes as usize);
            numbers.chunks_exact(elements).for_each(|numbers| block(numbers, &mut bytes));
            bytes
        };
        Some(numbers.par_chunks(256 * elements).flat_map_iter(piece).collect())
    }

    /// All names, for messages.
    pub(crate) fn names() -> String {
        let names: Vec<&str> = TYPES.iter().map(|t| t.name).collect();
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use super::BlockType;
    use crate::formats::gguf::blocks;

    /// What llama.cpp wrote of these numbers (`tests/golden/make_blocks.c`), and how many of its bytes may differ in what is
    /// written here: sums in another order can make the better of two ranges that are nearly as good the other one.
    const TYPES: [(&str, &str, Option<f64>); 8] = [
        ("q8_0", "Q8_0", Some(0.0)),
        ("q5_0", "Q5_0", Some(0.0)),
        ("q5_1", "Q5_1", Some(0.0)),
        ("q2_K", "Q2_K", None),
        ("q3_K", "Q3_K", None),
        ("q4_K", "Q4_K", Some(0.02)),
        ("q5_K", "Q5_K", Some(0.02)),
        ("q6_K", "Q6_K", Some(0.02)),
    ];

    #[test]
    fn blocks_are_those_of_llama_cpp() {
        let golden = include_str!("../../../../../tests/golden/gguf/blocks.json");
        let golden: BTreeMap<String, Value> = serde_json::from_str(golden).unwrap();
        let floats = |key: &str| -> Vec<f32> {
            golden[key].as_array().unwrap().iter().map(|bits| f32::from_bits(bits.as_u64().unwrap() as u32)).collect()
        };
        let numbers = floats("numbers");
        for (key, name, share) in TYPES {
            let block = BlockType::named(name).unwrap();
            let hex = golden[key].as_str().unwrap().as_bytes();
            let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
            let theirs: Vec<u8> = hex.chunks(2).map(byte).collect();
            let read = blocks::decode(block, &[numbers.len()], theirs.clone()).unwrap().to_vec1::<f32>().unwrap();
            let read: Vec<f32> = read.into_iter().step_by(8).collect();
            for (ours, theirs) in read.iter().zip(floats(&format!("{key} read"))) {
                assert!((ours - theirs).abs() <= 1e-6 * theirs.abs(), "{name}: {ours} for {theirs}");
            }
            let Some(share) = share else { continue };
            let ours = block.encode(&numbers).unwrap();
            assert_eq!(ours.len(), theirs.len(), "{name}");
            let other = ours.iter().zip(&theirs).filter(|(a, b)| a != b).count();
            assert!(other as f64 <= share * ours.len() as f64, "{name}: {other} of {} bytes", ours.len());
        }
    }
}
