//! The bytes of a file: unpacked when they are compressed, which their first bytes tell and not a name.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

/// Compressed in compressed in compressed: no deeper.
const MOST_LAYERS: usize = 3;

/// A file from some place on. Several can read one file, since none moves a position that they share.
#[derive(Clone)]
pub(crate) struct FileBytes {
    pub file: Arc<File>,
    pub at: u64,
}

impl FileBytes {
    pub fn new(file: &Arc<File>) -> Self {
        Self { file: file.clone(), at: 0 }
    }
}

impl Read for FileBytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    Gzip,
    Zstd,
}

impl Packing {
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    fn of(head: &[u8]) -> Option<Self> {
        let is_zstd = head.len() >= 4
            && (head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
                // A frame to be skipped, which parallel compressors put in front.
                || (head[0] & 0xf0 == 0x50 && head[1..4] == [0x2a, 0x4d, 0x18]));
        match head {
            [0x1f, 0x8b, 8, ..] => Some(Self::Gzip),
            _ if is_zstd => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// Bytes from a file's start, unpacked.
pub(crate) type Unpacked = Box<dyn Read + Send>;

/// The bytes of a file with all compression undone, and what was undone, outermost first.
///
/// # Errors
/// What went wrong, behind which compression.
pub(crate) fn unpack(file: &Arc<File>) -> Result<(Unpacked, Vec<Packing>), (io::Error, Option<Packing>)> {
    let mut input: Unpacked = Box::new(FileBytes::new(file));
    let mut packings = Vec::new();
    loop {
        let outermost = packings.first().copied();
        let head = take_head(&mut input, 8).map_err(|e| (e, outermost))?;
        let packing = Packing::of(&head).filter(|_| packings.len() < MOST_LAYERS);
        let whole = io::Cursor::new(head).chain(input);
        input = match packing {
            None => return Ok((Box::new(whole), packings)),
            // All members and frames of a file, one after the other.
            Some(Packing::Gzip) => Box::new(flate2::read::MultiGzDecoder::new(whole)),
            Some(Packing::Zstd) => Box::new(zstd::stream::read::Decoder::new(whole).map_err(|e| (e, packing))?),
        };
        packings.extend(packing);
    }
}

/// The first bytes, at most so many.
pub(crate) fn take_head(input: &mut impl Read, most: usize) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    input.take(most as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// What is known by its first bytes and holds no rows that can be read: what it is, and what to do.
pub(crate) fn known_other(head: &[u8]) -> Option<(&'static str, &'static str)> {
    const KNOWN: [(&[u8], &str, &str); 16] = [
        (b"BZh", "it is compressed by bzip2", "unpack it with `bunzip2`, or pack it with gzip or zstd"),
        (b"\xfd7zXZ\0", "it is compressed by xz", "unpack it with `unxz`, or pack it with gzip or zstd"),
        (b"\x04\x22\x4d\x18", "it is compressed by lz4", "unpack it with `unlz4`, or pack it with gzip or zstd"),
        (b"PK\x03\x04", "it is a zip archive (or an Excel file)", "unpack it, or save the sheet as CSV in UTF-8"),
        (b"7z\xbc\xaf\x27\x1c", "it is a 7z archive", "unpack it and name the file in it"),
        (b"Rar!", "it is a rar archive", "unpack it and name the file in it"),
        (b"ARROW1", "it is an Arrow file", "write it as Parquet, as `datasets.Dataset.to_parquet` does"),
        (
            b"\xff\xff\xff\xff",
            "it is a stream of Arrow data",
            "write it as Parquet, as `datasets.Dataset.to_parquet` does",
        ),
        (b"Obj\x01", "it is an Avro file", "write it as Parquet or JSON Lines"),
        (b"ORC", "it is an ORC file", "write it as Parquet or JSON Lines"),
        (b"SQLite format 3\0", "it is an SQLite database", "write the table as CSV, with `sqlite3 -csv -header`"),
        (b"\xd0\xcf\x11\xe0", "it is an old Excel file", "save the sheet as CSV in UTF-8"),
        (b"\x80\x03", "it is a Python pickle", "write the rows as JSON Lines"),
        (b"\x80\x04", "it is a Python pickle", "write the rows as JSON Lines"),
        (b"\x80\x05", "it is a Python pickle", "write the rows as JSON Lines"),
        (
            b"version https://git-lfs.github.com/spec/",
            "it is a pointer of Git LFS and not the data",
            "fetch the data with `git lfs pull`",
        ),
    ];
    let text = head.trim_ascii_start();
    let is_page = [&b"<!doctype html"[..], b"<html"].iter().any(|start| starts_with_any_case(text, start));
    if is_page {
        return Some(("it is a web page and not the data", "fetch the file behind the page's download link"));
    }
    if head.get(257..262) == Some(b"ustar") {
        return Some(("it is a tar archive", "unpack it and name the file in it"));
    }
    KNOWN.iter().find(|(magic, ..)| head.starts_with(magic)).map(|(_, what, remedy)| (*what, *remedy))
}

fn starts_with_any_case(text: &[u8], start: &[u8]) -> bool {
    text.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start))
}
