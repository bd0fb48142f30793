//! Values of stored tensors: as they lie in the file, or as plain numbers.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use tunebench_kernels::SimdLevel;
use tunebench_kernels::machine::mapping::Mapping;
use tunebench_kernels::quant::{QuantTensor, QuantType};

use crate::Error;
use crate::files::Reader;
use crate::formats::gguf::block_type::{BlockType, Values};
use crate::formats::gguf::header::TensorInfo;
use crate::formats::safetensors::Float;
use crate::weights::{Stored, finite};

/// Reads one tensor as f32, in its order in the file.
pub(crate) fn read(reader: &mut Reader, name: &str, info: &TensorInfo) -> Result<Tensor, Error> {
    Ok(read_stored(reader, None, name, info)?.tensor().to_dtype(DType::F32)?)
}

/// Reads one tensor as it is stored where that is a matrix of blocks or of 16 bits a number, else as f32. Blocks stay where they
/// are in `mapping`, the file in memory, where there is such.
pub(crate) fn read_stored(
    reader: &mut Reader,
    mapping: Option<&Arc<Mapping>>,
    name: &str,
    info: &TensorInfo,
) -> Result<Stored, Error> {
    reader.seek(info.offset)?;
    let kind = match info.block.values {
        Values::Blocks(kind) => Some(kind),
        Values::Plain(Float::F16) => Some(QuantType::F16),
        Values::Plain(_) => None,
    };
    if let Some(tensor) = kind.and_then(|kind| Shape::of(kind, &info.shape)) {
        let in_file = mapping.filter(|_| tensor.kind != QuantType::F16);
        let tensor =
            match in_file.and_then(|file| QuantTensor::mapped(tensor.kind, tensor.dims, file, info.offset as usize)) {
                Some(mapped) => mapped,
                None => tensor.filled(reader.bytes(info.size, name)?),
            };
        let tensor = finite(tensor, reader.path(), name)?;
        return match info.shape.len() {
            2 => Ok(Stored::Quantised(Arc::new(tensor))),
            _ => Ok(Stored::Plain(plain(&tensor, &info.shape)?)),
        };
    }
    let Values::Plain(float) = info.block.values else {
        return Err(reader.corrupt(format!("tensor `{name}` is not whole blocks")));
    };
    let tensor = float.read_tensor(reader, &info.shape, name)?;
    Ok(Stored::Plain(if info.shape.len() == 2 { tensor } else { tensor.to_dtype(DType::F32)? }))
}

/// The numbers of a tensor that is stored as these bytes.
pub(crate) fn decode(block: &BlockType, shape: &[usize], bytes: Vec<u8>) -> Result<Tensor, Error> {
    let misfit = || Error::Missing { place: "stored blocks".into(), name: block.name.into(), expected: shape.to_vec() };
    match block.values {
        Values::Plain(float) => Ok(Tensor::from_vec(float.decode(&bytes), shape, &Device::Cpu)?),
        Values::Blocks(kind) => {
            let blocks = Shape::of(kind, shape).filter(|blocks| blocks.bytes == bytes.len()).ok_or_else(misfit)?;
            plain(&blocks.filled(bytes), shape)
        }
    }
}

fn plain(tensor: &QuantTensor, shape: &[usize]) -> Result<Tensor, Error> {
    Ok(Tensor::from_vec(tensor.to_vec::<f32>(SimdLevel::best()), shape, &Device::Cpu)?)
}

/// A tensor in blocks, seen as the matrix of its innermost rows.
struct Shape {
    kind: QuantType,
    dims: [usize; 2],
    bytes: usize,
}

impl Shape {
    /// None where a row is not whole blocks.
    fn of(kind: QuantType, shape: &[usize]) -> Option<Self> {
        let (cols, outer) = shape.split_last()?;
        let dims = [outer.iter().product(), *cols];
        Some(Self { kind, dims, bytes: kind.bytes(dims[0], dims[1])? })
    }

    fn filled(&self, bytes: Vec<u8>) -> QuantTensor {
        QuantTensor::new(self.kind, self.dims, bytes).expect("as many bytes as its blocks take")
    }
}
