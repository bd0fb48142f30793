//! The bytes of a GGUF file, version 3: metadata, the place of each tensor, and their data at multiples of 32.

use std::io::{self, Write};
use std::path::Path;

use tunebench_files::write_file;

use crate::Error;
use crate::formats::gguf::block_type::BlockType;

const VERSION: u32 = 3;
/// What readers assume where the metadata say nothing.
const ALIGNMENT: u64 = 32;

/// A metadata value with the type that llama.cpp expects of its key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Meta {
    U32(u32),
    I64(i64),
    F32(f32),
    Bool(bool),
    Text(String),
    Texts(Vec<String>),
    I32s(Vec<i32>),
    F32s(Vec<f32>),
}

/// A tensor to be written.
pub(crate) struct Planned {
    pub(crate) name: String,
    /// Outermost axis first.
    pub(crate) shape: Vec<usize>,
    pub(crate) block: &'static BlockType,
}

impl Planned {
    /// Bytes of its data.
    pub(crate) fn size(&self) -> u64 {
        self.shape.iter().map(|d| *d as u64).product::<u64>() / self.block.elements * self.block.bytes
    }
}

/// Writes a file, whole or not at all; `data` gives the bytes of each tensor when its turn comes.
pub(crate) fn write(
    path: &Path,
    entries: &[(String, Meta)],
    tensors: &[Planned],
    mut data: impl FnMut(usize) -> Result<Vec<u8>, Error>,
) -> Result<(), Error> {
    let header = header(entries, tensors);
    let mut failed = None;
    let written = write_file(path, |out| {
        out.write_all(&header)?;
        pad(out, header.len() as u64)?;
        for (i, tensor) in tensors.iter().enumerate() {
            let bytes = data(i).map_err(|error| {
                let said = io::Error::other(error.to_string());
                failed = Some(error);
                said
            })?;
            if bytes.len() as u64 != tensor.size() {
                return Err(io::Error::other(format!("tensor `{}` does not have the size that was said", tensor.name)));
            }
            out.write_all(&bytes)?;
            pad(out, bytes.len() as u64)?;
        }
        Ok(())
    });
    match failed {
        Some(error) => Err(error),
        None => Ok(written?),
    }
}

fn pad(out: &mut dyn Write, after: u64) -> io::Result<()> {
    out.write_all(&[0; ALIGNMENT as usize][..(after.next_multiple_of(ALIGNMENT) - after) as usize])
}

fn header(entries: &[(String, Meta)], tensors: &[Planned]) -> Vec<u8> {
    let mut out = b"GGUF".to_vec();
    out.extend(VERSION.to_le_bytes());
    out.extend((tensors.len() as u64).to_le_bytes());
    out.extend((entries.len() as u64).to_le_bytes());
    for (key, value) in entries {
        text(&mut out, key);
        meta(&mut out, value);
    }
    let mut offset = 0u64;
    for tensor in tensors {
        text(&mut out, &tensor.name);
        out.extend((tensor.shape.len() as u32).to_le_bytes());
        tensor.shape.iter().rev().for_each(|axis| out.extend((*axis as u64).to_le_bytes()));
        out.extend(tensor.block.code.to_le_bytes());
        out.extend(offset.to_le_bytes());
        offset = (offset + tensor.size()).next_multiple_of(ALIGNMENT);
    }
    out
}

/// The format's number of each type.
fn meta(out: &mut Vec<u8>, value: &Meta) {
    let mut list = |kind: u32, len: usize| {
        out.extend(9u32.to_le_bytes());
        out.extend(kind.to_le_bytes());
        out.extend((len as u64).to_le_bytes());
    };
    match value {
        Meta::Texts(all) => list(8, all.len()),
        Meta::I32s(all) => list(5, all.len()),
        Meta::F32s(all) => list(6, all.len()),
        _ => {}
    }
    let mut kind = |kind: u32| out.extend(kind.to_le_bytes());
    match value {
        Meta::U32(_) => kind(4),
        Meta::F32(_) => kind(6),
        Meta::Bool(_) => kind(7),
        Meta::Text(_) => kind(8),
        Meta::I64(_) => kind(11),
        Meta::Texts(_) | Meta::I32s(_) | Meta::F32s(_) => {}
    }
    match value {
        Meta::U32(v) => out.extend(v.to_le_bytes()),
        Meta::I64(v) => out.extend(v.to_le_bytes()),
        Meta::F32(v) => out.extend(v.to_le_bytes()),
        Meta::Bool(v) => out.push((*v).into()),
        Meta::Text(v) => text(out, v),
        Meta::Texts(all) => all.iter().for_each(|v| text(out, v)),
        Meta::I32s(all) => all.iter().for_each(|v| out.extend(v.to_le_bytes())),
        Meta::F32s(all) => all.iter().for_each(|v| out.extend(v.to_le_bytes())),
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}
