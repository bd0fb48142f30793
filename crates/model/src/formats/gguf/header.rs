//! The header of a GGUF file, versions 2 and 3: metadata and the place of each tensor, all checked against the
//! file's length. Layout: magic, version, tensor count, entry count, entries, tensor infos, padding, tensor data.

use std::collections::BTreeMap;
use std::path::Path;

use crate::Error;
use crate::files::Reader;
use crate::formats::gguf::block_type::BlockType;

/// No list in a real file is longer (a vocabulary is the longest).
const LONGEST_LIST: u64 = 1 << 24;
/// Bytes of the smallest metadata entry and tensor info: a count beyond what fits is wrong.
const SMALLEST_ENTRY: u64 = 8 + 4 + 1;
const SMALLEST_INFO: u64 = 8 + 4 + 8 + 4 + 8;
/// Bytes of a key or a tensor's name, by the format.
const LONGEST_NAME: u64 = 65535;
/// Tensors of a LLaMA-family model have one axis or two.
const MOST_AXES: u32 = 4;

/// A metadata value; the widths of numbers do not matter to readers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Int(i64),
    Float(f64),
    Bool(bool),
    Text(String),
    Texts(Vec<String>),
    Ints(Vec<i64>),
    Floats(Vec<f64>),
}

/// Where a tensor is and how it is stored.
#[derive(Clone)]
pub(crate) struct TensorInfo {
    /// Outermost axis first, as in PyTorch (the file has it the other way round).
    pub(crate) shape: Vec<usize>,
    pub(crate) block: &'static BlockType,
    /// From the start of the file.
    pub(crate) offset: u64,
    /// Bytes.
    pub(crate) size: u64,
}

pub(crate) struct Header {
    pub(crate) metadata: BTreeMap<String, Value>,
    pub(crate) tensors: BTreeMap<String, TensorInfo>,
}

impl Header {
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let mut reader = Reader::open(path)?;
        let reader = &mut reader;
        if &reader.array::<4>("the magic number")? != b"GGUF" {
            return Err(reader.corrupt("does not begin with `GGUF`"));
        }
        let version = u32::from_le_bytes(reader.array("the version")?);
        if !matches!(version, 2 | 3) {
            let what = format!("has GGUF version {version}; supported: 2 and 3, little-endian");
            return Err(Error::unsupported(path, what));
        }
        let (tensor_count, entry_count) = (u64(reader, "the tensor count")?, u64(reader, "the entry count")?);
        let most = (reader.remaining() / SMALLEST_INFO, reader.remaining() / SMALLEST_ENTRY);
        if tensor_count > most.0 || entry_count > most.1 {
            let fault = format!("{tensor_count} tensors and {entry_count} metadata entries do not fit into the file");
            return Err(reader.corrupt(fault));
        }
        let mut metadata = BTreeMap::new();
        for _ in 0..entry_count {
            let key = name(reader, "a metadata key")?;
            let kind = u32(reader, &key)?;
            let value = value(reader, &key, kind)?;
            if metadata.insert(key.clone(), value).is_some() {
                return Err(reader.corrupt(format!("metadata key `{key}` is there twice")));
            }
        }
        let infos = (0..tensor_count).map(|_| info(reader)).collect::<Result<Vec<_>, _>>()?;
        let tensors = place(reader, &metadata, infos)?;
        Ok(Self { metadata, tensors })
    }
}

/// Turns offsets into the data section into checked places in the file.
fn place(
    reader: &Reader,
    metadata: &BTreeMap<String, Value>,
    infos: Vec<(String, TensorInfo)>,
) -> Result<BTreeMap<String, TensorInfo>, Error> {
    let alignment = match metadata.get("general.alignment") {
        None => 32,
        Some(Value::Int(n)) if (1..=1 << 20).contains(n) && n.count_ones() == 1 => *n as u64,
        Some(other) => return Err(reader.corrupt(format!("general.alignment is {other:?}, not a power of two"))),
    };
    let start = reader.at().next_multiple_of(alignment);
    let mut tensors = BTreeMap::new();
    for (name, mut info) in infos {
        let offset = start.checked_add(info.offset).filter(|_| info.offset.is_multiple_of(alignment));
        let end = offset.and_then(|o| o.checked_add(info.size));
        let (Some(offset), Some(end)) = (offset, end) else {
            return Err(reader.corrupt(format!("tensor `{name}` is said to be at impossible offset {}", info.offset)));
        };
        if end > reader.len() {
            let (dims, kind, len) = (&info.shape, info.block.name, reader.len());
            let fault = format!("tensor `{name}` {dims:?} {kind} ends at byte {end}, the file has {len} bytes");
            return Err(reader.corrupt(fault));
        }
        info.offset = offset;
        if tensors.insert(name.clone(), info).is_some() {
            return Err(reader.corrupt(format!("tensor `{name}` is there twice")));
        }
    }
    Ok(tensors)
}

/// One tensor info, its offset still relative to the data section.
fn info(reader: &mut Reader) -> Result<(String, TensorInfo), Error> {
    let name = name(reader, "a tensor's name")?;
    let axes = u32(reader, &name)?;
    if !(1..=MOST_AXES).contains(&axes) {
        return Err(reader.corrupt(format!("tensor `{name}` has {axes} axes")));
    }
    let mut shape = (0..axes).map(|_| u64(reader, &name)).collect::<Result<Vec<_>, _>>()?;
    shape.reverse();
    let code = u32(reader, &name)?;
    let Some(block) = BlockType::from_code(code) else {
        let (place, found) = (crate::weights::place(reader.path()), format!("GGML type {code}"));
        return Err(Error::Type { place, name, found, supported: BlockType::names() });
    };
    let count = shape.iter().try_fold(1u64, |n, d| n.checked_mul(*d));
    let row = shape.last().copied().unwrap_or_default();
    let size = count.filter(|_| row.is_multiple_of(block.elements)).map(|n| n / block.elements);
    let Some(size) = size.and_then(|n| n.checked_mul(block.bytes)).filter(|n| (1..=reader.len()).contains(n)) else {
        let (dims, kind, len) = (shape, block.name, reader.len());
        return Err(reader.corrupt(format!("tensor `{name}` {dims:?} {kind} is impossible in a file of {len} bytes")));
    };
    // Each axis is at most the count, and the count at most 256/18 of the file's length.
    let shape = shape.into_iter().map(|d| d as usize).collect();
    Ok((name, TensorInfo { shape, block, offset: u64(reader, "a tensor's offset")?, size }))
}

fn value(reader: &mut Reader, key: &str, kind: u32) -> Result<Value, Error> {
    Ok(match kind {
        0..=5 | 10 | 11 => Value::Int(int(reader, key, kind)?),
        6 | 12 => Value::Float(float(reader, key, kind)?),
        7 => Value::Bool(reader.array::<1>(key)? != [0]),
        8 => Value::Text(text(reader, key)?),
        9 => list(reader, key)?,
        _ => return Err(reader.corrupt(format!("metadata `{key}` has unknown type {kind}"))),
    })
}

fn list(reader: &mut Reader, key: &str) -> Result<Value, Error> {
    let (kind, count) = (u32(reader, key)?, u64(reader, key)?);
    if count > reader.remaining().min(LONGEST_LIST) {
        return Err(reader.corrupt(format!("metadata `{key}` claims {count} items")));
    }
    // Collected one by one: memory grows with what is really there.
    Ok(match kind {
        0..=5 | 10 | 11 => Value::Ints((0..count).map(|_| int(reader, key, kind)).collect::<Result<_, _>>()?),
        7 => Value::Ints((0..count).map(|_| int(reader, key, 0)).collect::<Result<_, _>>()?),
        6 | 12 => Value::Floats((0..count).map(|_| float(reader, key, kind)).collect::<Result<_, _>>()?),
        8 => Value::Texts((0..count).map(|_| text(reader, key)).collect::<Result<_, _>>()?),
        _ => return Err(reader.corrupt(format!("metadata `{key}` is a list of unknown type {kind}"))),
    })
}

fn int(reader: &mut Reader, key: &str, kind: u32) -> Result<i64, Error> {
    Ok(match kind {
        0 => u8::from_le_bytes(reader.array(key)?).into(),
        1 => i8::from_le_bytes(reader.array(key)?).into(),
        2 => u16::from_le_bytes(reader.array(key)?).into(),
        3 => i16::from_le_bytes(reader.array(key)?).into(),
        4 => u32::from_le_bytes(reader.array(key)?).into(),
        5 => i32::from_le_bytes(reader.array(key)?).into(),
        11 => i64::from_le_bytes(reader.array(key)?),
        _ => i64::try_from(u64(reader, key)?).map_err(|_| reader.corrupt(format!("metadata `{key}` is too large")))?,
    })
}

/// An f32 becomes the f64 of the same shortest decimal, so that 1e-5 is what a config.json says.
fn float(reader: &mut Reader, key: &str, kind: u32) -> Result<f64, Error> {
    if kind == 12 {
        return Ok(f64::from_le_bytes(reader.array(key)?));
    }
    let value = f32::from_le_bytes(reader.array(key)?);
    Ok(value.to_string().parse().unwrap_or_else(|_| value.into()))
}

fn name(reader: &mut Reader, what: &str) -> Result<String, Error> {
    let len = u64(reader, what)?;
    if len > LONGEST_NAME {
        return Err(reader.corrupt(format!("{what} claims {len} bytes")));
    }
    utf8(reader, len, what)
}

fn text(reader: &mut Reader, what: &str) -> Result<String, Error> {
    let len = u64(reader, what)?;
    utf8(reader, len, what)
}

fn utf8(reader: &mut Reader, len: u64, what: &str) -> Result<String, Error> {
    let bytes = reader.bytes(len, what)?;
    String::from_utf8(bytes).map_err(|_| reader.corrupt(format!("{what} is not UTF-8")))
}

fn u32(reader: &mut Reader, what: &str) -> Result<u32, Error> {
    Ok(u32::from_le_bytes(reader.array(what)?))
}

fn u64(reader: &mut Reader, what: &str) -> Result<u64, Error> {
    Ok(u64::from_le_bytes(reader.array(what)?))
}
