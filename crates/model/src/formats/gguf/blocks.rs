//! Values of stored tensors as f32.

use std::borrow::Cow;

use candle_core::quantized::{QStorage, QTensor};
use candle_core::{Device, Tensor};

use crate::Error;
use crate::files::Reader;
use crate::formats::gguf::block_type::Values;
use crate::formats::gguf::header::TensorInfo;

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
