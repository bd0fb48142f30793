//! How GGUF stores numbers: types, their blocks, and their values as f32.

use std::borrow::Cow;

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{Device, Tensor};

use crate::Error;
use crate::files::Reader;
use crate::formats::gguf::header::TensorInfo;
use crate::formats::safetensors::Float;

/// A storage type: `elements` numbers in each block of `bytes` bytes.
pub(crate) struct BlockType {
    pub(crate) name: &'static str,
    /// GGML's number for it.
    code: u32,
    pub(crate) elements: u64,
    pub(crate) bytes: u64,
    values: Values,
}

enum Values {
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

/// Reads one tensor as f32, in its order in the file.
pub(crate) fn read(reader: &mut Reader, name: &str, info: &TensorInfo) -> Result<Tensor, Error> {
    reader.seek(info.offset)?;
    match info.block.values {
        Values::Plain(float) => {
            let values = float.decode(&reader.bytes(info.size, name)?);
            Ok(Tensor::from_vec(values, info.shape.as_slice(), &Device::Cpu)?)
        }
        Values::Blocks(dtype) => {
            // candle's blocks begin with a 16-bit number and must lie at an even address.
            let size = info.size as usize;
            let mut buffer = vec![0; size + 1];
            let from = buffer.as_ptr().addr() % 2;
            let data = &mut buffer[from..from + size];
            reader.fill(data, name)?;
            let storage = QStorage::from_data(Cow::Borrowed(data), &Device::Cpu, dtype)?;
            Ok(QTensor::new(storage, info.shape.as_slice())?.dequantize(&Device::Cpu)?)
        }
    }
}
