//! The bytes of a Parquet file as the library asks for them, and what of their places and sizes is not believed.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::reader::{ChunkReader, Length};

use crate::bytes::FileBytes;

/// A page is decompressed as a whole, into as much memory as its header says.
const LARGEST_PAGE: u64 = 400 << 20;
/// The bytes that every Parquet file begins and ends with.
pub(crate) const MAGIC: &[u8] = b"PAR1";

/// A file whose parts are read where they are.
#[derive(Clone)]
pub(crate) struct Chunks {
    file: Arc<File>,
    length: u64,
}

impl Chunks {
    /// Asks for the length now: in a sandbox that is not allowed later.
    pub fn new(file: Arc<File>) -> std::io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self { file, length })
    }
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Chunks {
    type T = BufReader<FileBytes>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        let mut read = BufReader::new(FileBytes { file: self.file.clone(), at: start });
        match page_size(read.fill_buf()?) {
            Some(size) if size > LARGEST_PAGE => Err(ParquetError::General(format!(
                "a page of {size} bytes, where {LARGEST_PAGE} is the most; write it anew with smaller pages (pyarrow: data_page_size and write_batch_size)"
            ))),
            _ => Ok(read),
        }
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        // A length that only the file's own header says is not asked of the memory.
        if start.checked_add(length as u64).is_none_or(|end| end > self.length) {
            return Err(ParquetError::EOF("it ends before what its header promises".into()));
        }
        let mut bytes = Vec::new();
        let mut input = FileBytes { file: self.file.clone(), at: start };
        std::io::Read::read_to_end(&mut std::io::Read::take(&mut input, length as u64), &mut bytes)?;
        if bytes.len() < length {
            return Err(ParquetError::EOF("it ends too early".into()));
        }
        Ok(bytes.into())
    }
}

/// What the header of a page promises to be its size, decompressed: the second of three numbers, of which the first is its kind.
/// None where no such header begins. (Thrift's compact protocol: each number has its field's 0x15 in front, and is a zigzag
/// varint.)
fn page_size(header: &[u8]) -> Option<u64> {
    const KINDS: u64 = 4;
    let mut rest = header;
    let mut number = || {
        rest = rest.strip_prefix(&[0x15])?;
        let length = rest.iter().take(10).position(|byte| byte & 0x80 == 0)? + 1;
        let (bytes, after) = rest.split_at(length);
        rest = after;
        let value = bytes.iter().rev().fold(0u64, |value, byte| (value << 7) | u64::from(byte & 0x7f));
        // Below zero, a size is as wrong as one that is too large, and no less is made ready for it.
        Some(value / 2)
    };
    let kind = number()?;
    let (size, _compressed) = (number()?, number()?);
    (kind < KINDS).then_some(size)
}

/// What the library asserts of a footer, and what it would only find at the row group.
pub(crate) fn check_places(metadata: &ParquetMetaData) -> Result<(), String> {
    for (number, group) in metadata.row_groups().iter().enumerate() {
        let is_damaged = |column: &ColumnChunkMetaData| {
            let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
            start < 0 || column.compressed_size() < 0
        };
        if group.num_rows() < 0 || group.columns().iter().any(is_damaged) {
            return Err(format!("its footer is damaged: row group {number} has a place or a size below zero"));
        }
    }
    Ok(())
}
