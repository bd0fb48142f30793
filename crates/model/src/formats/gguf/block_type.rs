//! The types in which GGUF stores numbers.

use candle_core::quantized::GgmlDType;

use crate::formats::safetensors::Float;

/// A storage type: `elements` numbers in each block of `bytes` bytes.
pub(crate) struct BlockType {
    pub(crate) name: &'static str,
    /// GGML's number for it.
    code: u32,
    pub(crate) elements: u64,
    pub(crate) bytes: u64,
    pub(crate) values: Values,
}

pub(crate) enum Values {
    Plain(Float),
    Blocks(GgmlDType),
}

static TYPES: [BlockType; 8] = [
    BlockType { name: "F32", code: 0, elements: 1, bytes: 4, values: Values::Plain(Float::F32) },
    BlockType { name: "F16", code: 1, elements: 1, bytes: 2, values: Values::Plain(Float::F16) },
    BlockType { name: "BF16", code: 30, elements: 1, bytes: 2, values: Values::Plain(Float::BF16) },
    BlockType { name: "Q4_0", code: 2, elements: 32, bytes: 18, values: Values::Blocks(GgmlDType::Q4_0) },
    BlockType { name: "Q4_1", code: 3, elements: 32, bytes: 20, values: Values::Blocks(GgmlDType::Q4_1) },
    BlockType { name: "Q8_0", code: 8, elements: 32, bytes: 34, values: Values::Blocks(GgmlDType::Q8_0) },
    BlockType { name: "Q4_K", code: 12, elements: 256, bytes: 144, values: Values::Blocks(GgmlDType::Q4K) },
    BlockType { name: "Q6_K", code: 14, elements: 256, bytes: 210, values: Values::Blocks(GgmlDType::Q6K) },
];

impl BlockType {
    pub(crate) fn from_code(code: u32) -> Option<&'static Self> {
        TYPES.iter().find(|t| t.code == code)
    }

    /// All names, for messages.
    pub(crate) fn names() -> String {
        let names: Vec<&str> = TYPES.iter().map(|t| t.name).collect();
        names.join(", ")
    }
}
