//! One safetensors file: the header read and checked first, then tensor by tensor as f32; or written whole.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use tunebench_files::write_file;

use crate::Error;
use crate::files::Reader;

/// The format's own limit.
const LARGEST_HEADER: u64 = 100_000_000;

/// An open safetensors file whose header has been checked against its length.
pub struct TensorFile {
    reader: Reader,
    header: Metadata,
    /// Where the first tensor begins.
    start: u64,
}

impl TensorFile {
    /// Reads and checks the header.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Corrupt`] when header and length contradict each other.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let mut reader = Reader::open(path)?;
        let size = u64::from_le_bytes(reader.array("the header's length")?);
        if size > LARGEST_HEADER {
            return Err(reader.corrupt(format!("the header claims {size} bytes")));
        }
        let bytes = reader.bytes(size, "the header")?;
        let header: Metadata =
            serde_json::from_slice(&bytes).map_err(|e| reader.corrupt(format!("safetensors header: {e}")))?;
        let start = reader.at();
        let (expected, found) = (header.data_len() as u64, reader.remaining());
        if expected != found {
            return Err(reader.corrupt(format!("the tensors need {expected} bytes, the file has {found}")));
        }
        Ok(Self { reader, header, start })
    }

    pub fn path(&self) -> &Path {
        self.reader.path()
    }

    /// Names and shapes of all tensors.
    pub fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        let names = self.header.offset_keys();
        names.into_iter().filter_map(|n| self.header.info(&n).map(|i| i.shape.clone()).map(|s| (n, s))).collect()
    }

    /// The shape of a tensor; none where there is no such tensor.
    pub fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.header.info(name).map(|info| info.shape.clone())
    }

    /// How the numbers of a tensor are stored; none where there is no such tensor, or it holds other numbers.
    pub fn float(&self, name: &str) -> Option<Float> {
        self.info(name).ok().map(|(float, _)| float)
    }

    /// What the header says of a tensor that can be read.
    fn info(&self, name: &str) -> Result<(Float, &TensorInfo), Error> {
        let place = || self.path().display().to_string();
        let Some(info) = self.header.info(name) else {
            return Err(Error::Missing { place: place(), name: name.into(), expected: vec![] });
        };
        let Some(float) = Float::of(info.dtype) else {
            let (found, supported) = (format!("{:?}", info.dtype), "F32, F16, BF16".into());
            return Err(Error::Type { place: place(), name: name.into(), found, supported });
        };
        Ok((float, info))
    }

    /// A note that the file's writer left under `key`, such as `format`.
    pub fn note(&self, key: &str) -> Option<&str> {
        self.header.metadata().as_ref()?.get(key).map(String::as_str)
    }

    /// Whether every tensor is one that can be read.
    ///
    /// # Errors
    /// [`Error::Type`] names one that is not f32, f16 or bf16.
    pub fn check_types(&self) -> Result<(), Error> {
        self.header.offset_keys().iter().try_for_each(|name| self.check_type(name))
    }

    /// [`TensorFile::check_types`] of one tensor.
    ///
    /// # Errors
    /// [`Error::Missing`] when there is none of that name, [`Error::Type`] unless it is f32, f16 or bf16.
    pub fn check_type(&self, name: &str) -> Result<(), Error> {
        self.info(name).map(drop)
    }

    /// The shape and the bytes of a tensor.
    ///
    /// # Errors
    /// As [`TensorFile::read`], without a look at its numbers.
    pub(crate) fn bytes(&mut self, name: &str) -> Result<(Vec<usize>, Vec<u8>), Error> {
        let (_, info) = self.info(name)?;
        let (shape, (from, to)) = (info.shape.clone(), info.data_offsets);
        self.reader.seek(self.start + from as u64)?;
        Ok((shape, self.reader.bytes((to - from) as u64, name)?))
    }

    /// One tensor on the CPU, converted to f32.
    ///
    /// # Errors
    /// [`Error::Missing`] when there is none of that name, [`Error::Type`] unless it is f32, f16 or bf16,
    /// [`Error::NotFinite`] when a number of it is none.
    pub fn read(&mut self, name: &str) -> Result<Tensor, Error> {
        Ok(self.read_stored(name)?.to_dtype(DType::F32)?)
    }

    /// One tensor on the CPU, bf16 if it is stored so, else f32.
    ///
    /// # Errors
    /// As [`TensorFile::read`].
    pub fn read_stored(&mut self, name: &str) -> Result<Tensor, Error> {
        let (float, info) = self.info(name)?;
        let (shape, (from, _)) = (info.shape.clone(), info.data_offsets);
        self.reader.seek(self.start + from as u64)?;
        float.read_tensor(&mut self.reader, &shape, name)
    }
}

/// The floating-point formats that weights are stored in, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Float {
    F32,
    F16,
    BF16,
}

impl Float {
    fn of(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::F32 => Some(Self::F32),
            Dtype::F16 => Some(Self::F16),
            Dtype::BF16 => Some(Self::BF16),
            _ => None,
        }
    }

    /// The format that `config.json` spells so.
    pub fn of_torch_name(name: &str) -> Option<Self> {
        [Self::F32, Self::F16, Self::BF16]
            .into_iter()
            .find(|float| float.torch_name() == name.trim_start_matches("torch."))
    }

    /// A tensor of numbers as they come back from this format: f32, or bf16 where that is the format.
    ///
    /// # Errors
    /// [`Error::Type`] when a finite number of it becomes infinite; `name` is for the message.
    pub fn rounded(self, name: &str, tensor: &Tensor) -> Result<Tensor, Error> {
        if tensor.dtype() == DType::BF16 && self != Self::F16 {
            // Nothing is wider than it.
            return Ok(if self == Self::BF16 { tensor.clone() } else { tensor.to_dtype(DType::F32)? });
        }
        let numbers = flat(tensor)?;
        let kept = self.decode(&self.encode(&numbers));
        if let Some(at) = kept.iter().zip(&numbers).position(|(kept, number)| number.is_finite() && !kept.is_finite()) {
            let found = format!("{:?} with the number {}", tensor.dtype(), numbers[at]);
            let supported = format!("numbers that {self:?} can hold; store it as F32 or BF16");
            return Err(Error::Type { place: "weights to be written".into(), name: name.into(), found, supported });
        }
        let kept = Tensor::from_vec(kept, tensor.shape(), &Device::Cpu)?;
        Ok(if self == Self::BF16 { kept.to_dtype(DType::BF16)? } else { kept })
    }

    /// As `config.json` spells it.
    pub fn torch_name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::BF16 => "bfloat16",
        }
    }

    fn dtype(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::F16 => Dtype::F16,
            Self::BF16 => Dtype::BF16,
        }
    }

    /// Bytes of one number.
    pub const fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
        }
    }

    /// The next numbers of a file as f32; `name` is their tensor's.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the file has fewer, [`Error::NotFinite`] when one of them is none.
    pub(crate) fn read(self, reader: &mut Reader, count: usize, name: &str) -> Result<Vec<f32>, Error> {
        match self {
            Self::F32 => numbers(reader, count, name, f32::from_le_bytes),
            Self::F16 => numbers(reader, count, name, |bytes| f16::from_le_bytes(bytes).to_f32()),
            Self::BF16 => numbers(reader, count, name, |bytes| bf16::from_le_bytes(bytes).to_f32()),
        }
    }

    /// The next numbers of a file as a tensor, bf16 if they are stored so, else f32.
    ///
    /// # Errors
    /// As [`Float::read`].
    pub(crate) fn read_tensor(self, reader: &mut Reader, shape: &[usize], name: &str) -> Result<Tensor, Error> {
        let count = shape.iter().product();
        match self {
            Self::BF16 => {
                Ok(Tensor::from_vec(numbers(reader, count, name, bf16::from_le_bytes)?, shape, &Device::Cpu)?)
            }
            Self::F16 | Self::F32 => Ok(Tensor::from_vec(self.read(reader, count, name)?, shape, &Device::Cpu)?),
        }
    }

    /// The numbers as bytes, rounded to the nearest, to even where two are as near.
    pub(crate) fn encode(self, numbers: &[f32]) -> Vec<u8> {
        match self {
            Self::F32 => numbers.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Self::F16 => numbers.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect(),
            Self::BF16 => numbers.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect(),
        }
    }

    /// The numbers in `bytes`; a last, incomplete one is left out, so callers check the length.
    pub(crate) fn decode(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::F32 => bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            Self::F16 => bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
            Self::BF16 => bytes.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).collect(),
        }
    }
}

/// Bytes that are read at once: so few that they are at hand until they have been converted and looked at.
const PIECE: usize = 1 << 17;

/// The next numbers of a file, each of `N` bytes.
///
/// # Errors
/// As [`Float::read`].
fn numbers<const N: usize, T: Copy + Into<f32>>(
    reader: &mut Reader,
    count: usize,
    name: &str,
    number: impl Fn([u8; N]) -> T,
) -> Result<Vec<T>, Error> {
    reader.check((N * count) as u64, name)?;
    let (mut numbers, mut bytes) = (Vec::with_capacity(count), vec![0; PIECE.min(N * count)]);
    while numbers.len() < count {
        let (from, size) = (numbers.len(), PIECE.min(N * (count - numbers.len())));
        reader.fill(&mut bytes[..size], name)?;
        numbers.extend(bytes[..size].as_chunks().0.iter().map(|bytes| number(*bytes)));
        reader.check_finite(&numbers[from..], name)?;
    }
    Ok(numbers)
}

/// Writes tensors as f32 with the metadata that PyTorch's readers ask for, whole or not at all.
///
/// # Errors
/// [`Error::Files`] names the path.
pub fn write<'a>(path: &Path, tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>) -> Result<(), Error> {
    let (names, values): (Vec<_>, Vec<_>) =
        tensors.into_iter().map(|(name, t)| ((name.to_owned(), t.dims().to_vec()), t)).unzip();
    write_each(path, names, |i| Ok(Cow::Owned(flat(values[i])?)))
}

/// As [`write`], each tensor in a format of its own, to which its numbers are rounded.
///
/// # Errors
/// [`Error::Type`] names a tensor with a number that its format cannot hold; [`Error::Files`] names the path.
pub fn write_as(path: &Path, tensors: &[(&str, &Tensor, Float)]) -> Result<(), Error> {
    let infos = tensors.iter().map(|(name, t, float)| ((*name).to_owned(), t.dims().to_vec(), *float)).collect();
    // Rounded first: a number that does not fit is an error of the tensor and not of the file.
    let value = |i: usize| {
        let (name, tensor, float) = tensors[i];
        Ok(Cow::Owned(flat(&float.rounded(name, tensor)?)?))
    };
    write_stored(path, infos, value)
}

/// [`write`] where tensors are made one by one: names and shapes first, then the numbers of each when its turn comes, so
/// that no more than one is there twice.
///
/// # Errors
/// [`Error::Files`] names the path; or what `value` says.
pub fn write_each<'a, E: From<Error> + fmt::Display>(
    path: &Path,
    shapes: Vec<(String, Vec<usize>)>,
    value: impl FnMut(usize) -> Result<Cow<'a, [f32]>, E>,
) -> Result<(), E> {
    write_stored(path, shapes.into_iter().map(|(name, shape)| (name, shape, Float::F32)).collect(), value)
}

fn write_stored<'a, E: From<Error> + fmt::Display>(
    path: &Path,
    stored: Vec<(String, Vec<usize>, Float)>,
    mut value: impl FnMut(usize) -> Result<Cow<'a, [f32]>, E>,
) -> Result<(), E> {
    let floats: Vec<Float> = stored.iter().map(|(_, _, float)| *float).collect();
    let (mut infos, mut end) = (Vec::with_capacity(stored.len()), 0);
    for (name, shape, float) in stored {
        let (from, count) = (end, shape.iter().product::<usize>());
        end += float.size() * count;
        infos.push((name, TensorInfo { dtype: float.dtype(), shape, data_offsets: (from, end) }));
    }
    let sizes: Vec<usize> = infos.iter().map(|(_, info)| info.data_offsets.1 - info.data_offsets.0).collect();
    let notes = HashMap::from([("format".to_string(), "pt".to_string())]);
    let fault = |e: String| Error::unsupported(path, format!("cannot be written as safetensors: {e}"));
    let header = Metadata::new(Some(notes), infos).map_err(|e| fault(e.to_string()))?;
    let mut header = serde_json::to_vec(&header).map_err(|e| fault(e.to_string()))?;
    // Readers map the file and expect the numbers aligned.
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut failed = None;
    let written = write_file(path, |out| {
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        for (i, (float, size)) in floats.into_iter().zip(sizes).enumerate() {
            let numbers = value(i).map_err(|error| {
                let said = std::io::Error::other(error.to_string());
                failed = Some(error);
                said
            })?;
            if float.size() * numbers.len() != size {
                return Err(std::io::Error::other("a tensor does not have the size that was said"));
            }
            for piece in numbers.chunks(1 << 16) {
                out.write_all(&float.encode(piece))?;
            }
        }
        Ok(())
    });
    match failed {
        Some(error) => Err(error),
        None => Ok(written.map_err(Error::from)?),
    }
}

fn flat(tensor: &Tensor) -> candle_core::Result<Vec<f32>> {
    tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}
