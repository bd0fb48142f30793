//! Values of stored tensors as f32.

use std::borrow::Cow;

use candle_core::quantized::{QStorage, QTensor};
use candle_core::{CpuStorage, Device, Storage, Tensor};

use crate::Error;
use crate::files::Reader;
use crate::formats::gguf::block_type::{BlockType, Values};
use crate::formats::gguf::header::TensorInfo;

/// Reads one tensor as f32, in its order in the file.
pub(crate) fn read(reader: &mut Reader, name: &str, info: &TensorInfo) -> Result<Tensor, Error> {
    reader.seek(info.offset)?;
    if let Values::Plain(float) = info.block.values {
        let numbers = float.read(reader, info.shape.iter().product(), name)?;
        return Ok(Tensor::from_vec(numbers, info.shape.as_slice(), &Device::Cpu)?);
    }
    let tensor = decode(info.block, &info.shape, info.size as usize, |data| reader.fill(data, name))?;
    if let Storage::Cpu(CpuStorage::F32(numbers)) = &*tensor.storage_and_layout().0 {
        reader.check_finite(numbers, name)?;
    }
    Ok(tensor)
}

/// The numbers of a tensor that is stored as `size` bytes of blocks; `fill` gives those.
pub(crate) fn decode(
    block: &BlockType,
    shape: &[usize],
    size: usize,
    fill: impl FnOnce(&mut [u8]) -> Result<(), Error>,
) -> Result<Tensor, Error> {
    // candle's blocks begin with a 16-bit number and must lie at an even address.
    let mut buffer = vec![0; size + 1];
    let from = buffer.as_ptr().addr() % 2;
    let data = &mut buffer[from..from + size];
    fill(data)?;
    match block.values {
        Values::Plain(float) => Ok(Tensor::from_vec(float.decode(data), shape, &Device::Cpu)?),
        Values::Blocks(dtype) => {
            let storage = QStorage::from_data(Cow::Borrowed(data), &Device::Cpu, dtype)?;
            Ok(QTensor::new(storage, shape)?.dequantize(&Device::Cpu)?)
        }
    }
}
