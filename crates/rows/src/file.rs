//! One file, read as JSON from any byte on.

use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use crate::bytes::{Packing, known_other, take_head, unpack};
use crate::columns::{Columns, Seen};
use crate::csv::Csv;
use crate::encoding::{FromUtf16, Legacy, utf16};
use crate::error::Error;
use crate::json;
use crate::parquet::Parquet;
use crate::parquet_chunks::{self, Chunks};
use crate::row::{Row, Rows};
use crate::scan::without_nan;
use crate::shape::{Shape, decide};
use crate::text::Text;

/// Bytes by which a file is recognised.
const HEAD: usize = 1024;
/// Bytes made ready at a time.
const AHEAD: usize = 1 << 20;
/// Bytes kept that were given already.
const BEHIND: usize = 4 << 20;
/// Bytes of faulty text by which its encoding is guessed.
const SAMPLE: usize = 64 << 10;
/// Faulty rows in the first of which a whole file is not yet refused, and their share above which it is.
const FEW: u64 = 100;
const MOST_FAULTY: f64 = 0.01;

/// A file of rows.
pub struct RowFile {
    source: Source,
    format: Format,
    columns: Columns,
    stream: Option<Stream>,
}

/// A file and how its bytes become text.
struct Source {
    name: String,
    file: Arc<File>,
    packings: Vec<Packing>,
    is_utf16: bool,
}

/// What a file is.
enum Format {
    /// Not recognised, and neither packed nor UTF-16.
    AsIs,
    /// Not recognised.
    Unpacked,
    Json(Shape),
    Csv(Option<u8>),
    /// The file is another one where it was packed: its parts are read where they are.
    Parquet(Chunks),
}

/// Rows on their way to whoever asks for bytes.
struct Stream {
    rows: Given,
    /// What is ready and not yet dropped.
    window: Vec<u8>,
    /// Where that begins.
    start: u64,
    is_over: bool,
    tally: Tally,
}

enum Given {
    Rows(Box<dyn Rows>),
    Bytes(Box<dyn Read + Send>),
}

/// What was read so far.
#[derive(Default)]
struct Tally {
    rows: u64,
    /// Rows that are not UTF-8, the first of them, and their bytes.
    faulty: u64,
    first_faulty: u64,
    sample: Vec<u8>,
    with_nan: u64,
    seen: Seen,
}

impl RowFile {
    /// Recognises a file; `name` is what messages call it.
    ///
    /// # Errors
    /// When it cannot be read, is empty, or is known to be something without rows that can be read.
    pub fn open(name: &str, file: File, columns: &Columns) -> Result<Self, Error> {
        let file = Arc::new(file);
        let (mut input, packings) = unpack(&file).map_err(|(e, packing)| fault_of(name, e, packing))?;
        let mut source = Source { name: name.to_owned(), file, packings, is_utf16: false };
        let head = take_head(&mut input, HEAD).map_err(|e| source.fault(e))?;
        if head.starts_with(parquet_chunks::MAGIC) {
            let file = match source.packings.is_empty() {
                true => source.file.clone(),
                false => Arc::new(spooled(io::Cursor::new(head).chain(input)).map_err(|e| source.fault(e))?),
            };
            // Its header is read now, so that a damaged one is known at once.
            let chunks = Chunks::new(file).map_err(|e| fault_of(name, e, None))?;
            Parquet::open(name, &chunks)?;
            return Ok(Self { source, format: Format::Parquet(chunks), columns: columns.clone(), stream: None });
        }
        if let Some((what, remedy)) = known_other(&head) {
            return Err(Error::Unreadable { file: name.to_owned(), what, remedy });
        }
        let legacy = Legacy::guess(&head);
        if legacy.is_utf32() {
            return Err(Error::NotUtf8 { file: name.to_owned(), found: "its text is".into(), legacy });
        }
        source.is_utf16 = utf16(&head).is_some();
        let found = source.format(columns).map_err(|error| source.explained(error))?;
        let is_as_is = matches!(found, Format::AsIs | Format::Unpacked);
        if is_as_is && !columns.is_empty() {
            return Err(Error::Columns(format!("{name} is no JSON, CSV or Parquet, so its columns are not known")));
        }
        Ok(Self { source, format: found, columns: columns.clone(), stream: None })
    }

    /// At most `max` bytes from `offset` on; none at or behind the end.
    ///
    /// # Errors
    /// When the file cannot be read on.
    pub fn read_at(&mut self, offset: u64, max: usize) -> Result<Vec<u8>, Error> {
        if matches!(self.format, Format::AsIs) {
            let mut bytes = vec![0; max];
            let mut used = 0;
            while used < max {
                match self.source.file.read_at(&mut bytes[used..], offset.saturating_add(used as u64)) {
                    Ok(0) => break,
                    Ok(count) => used += count,
                    Err(e) => return Err(self.source.fault(e)),
                }
            }
            bytes.truncate(used);
            return Ok(bytes);
        }
        let mut stream = match self.stream.take().filter(|stream| stream.start <= offset) {
            Some(stream) => stream,
            None => self.source.stream(&self.format)?,
        };
        let read = stream.read_at(offset, max, &self.source.name, &self.columns);
        // What failed is read again from its start.
        self.stream = read.is_ok().then_some(stream);
        read.map_err(|error| self.source.explained(error))
    }

    /// What columns its rows had; none before it was read to its end.
    pub fn seen(&self) -> Option<&Seen> {
        self.stream.as_ref().filter(|stream| stream.is_over).map(|stream| &stream.tally.seen)
    }

    /// What a user should know of how it was read, once it was read to its end.
    pub fn remarks(&self) -> Vec<String> {
        let Some(stream) = self.stream.as_ref().filter(|stream| stream.is_over) else { return Vec::new() };
        let (name, tally) = (&self.source.name, &stream.tally);
        let (format, shape) = match &self.format {
            Format::AsIs | Format::Unpacked => return Vec::new(),
            Format::Parquet(_) => ("Parquet", None),
            Format::Csv(_) => ("CSV", None),
            Format::Json(shape) => ("JSON", shape.remark()),
        };
        let rows = tally.rows;
        let mut remarks = Vec::new();
        let packed: Vec<&str> = self.source.packings.iter().map(|packing| packing.name()).collect();
        if format != "JSON" || !packed.is_empty() || self.source.is_utf16 {
            let mut text = format!("{name}: {rows} rows read from {format}");
            if self.source.is_utf16 {
                text += " in UTF-16";
            }
            if !packed.is_empty() {
                text += &format!(", packed by {}", packed.join(" and "));
            }
            remarks.push(text);
        }
        remarks.extend(shape.map(|shape| format!("{name}: {rows} rows: {shape}")));
        if rows == 0 {
            remarks.push(format!("{name}: it holds no rows"));
        }
        if tally.with_nan > 0 {
            let count = tally.with_nan;
            remarks.push(format!("{name}: {count} of {rows} rows have NaN or Infinity, which was read as null"));
        }
        remarks
    }
}

impl Source {
    fn format(&self, columns: &Columns) -> Result<Format, Error> {
        let mut text = self.text()?;
        let Some(first) = text.visible()? else { return Err(Error::Empty { file: self.name.clone() }) };
        if matches!(first, b'{' | b'[')
            && let Some(shape) = decide(&|| self.text(), columns)?
        {
            return Ok(Format::Json(shape));
        }
        let name = self.name.to_lowercase();
        let name =
            [".gz", ".zst", ".zstd"].iter().fold(name.as_str(), |name, end| name.strip_suffix(end).unwrap_or(name));
        match name.rsplit_once('.').map(|(_, end)| end) {
            Some("csv") => Ok(Format::Csv(None)),
            Some("tsv" | "tab") => Ok(Format::Csv(Some(b'\t'))),
            _ if self.packings.is_empty() && !self.is_utf16 => Ok(Format::AsIs),
            _ => Ok(Format::Unpacked),
        }
    }

    /// The file's text from its start.
    fn text(&self) -> Result<Text, Error> {
        let packing = self.packings.first().map(|packing| packing.name());
        Text::new(&self.name, self.input().map_err(|e| self.fault(e))?, packing)
    }

    fn input(&self) -> io::Result<Box<dyn Read + Send>> {
        let (mut input, _) = unpack(&self.file).map_err(|(e, _)| e)?;
        let head = take_head(&mut input, 4)?;
        let encoding = utf16(&head);
        let whole = io::Cursor::new(head).chain(input);
        Ok(match encoding {
            Some(encoding) => Box::new(FromUtf16::new(whole, encoding)),
            None => Box::new(whole),
        })
    }

    fn stream(&self, format: &Format) -> Result<Stream, Error> {
        let rows = match format {
            Format::AsIs | Format::Unpacked => Given::Bytes(self.input().map_err(|e| self.fault(e))?),
            Format::Json(shape) => Given::Rows(json::open(shape, self.text()?)?),
            Format::Csv(separator) => Given::Rows(Box::new(Csv::open(self.text()?, *separator)?)),
            Format::Parquet(chunks) => Given::Rows(Box::new(Parquet::open(&self.name, chunks)?)),
        };
        Ok(Stream { rows, window: Vec::new(), start: 0, is_over: false, tally: Tally::default() })
    }

    fn fault(&self, e: io::Error) -> Error {
        fault_of(&self.name, e, self.packings.first().copied())
    }

    /// Text in another encoding can look like any fault, so that is looked for first.
    fn explained(&self, error: Error) -> Error {
        if !error.may_be_encoding() || self.is_utf16 {
            return error;
        }
        let Ok(mut input) = self.input() else { return error };
        let Ok(head) = take_head(&mut input, BEHIND) else { return error };
        match std::str::from_utf8(&head) {
            Err(e) if e.error_len().is_some() => {
                let begin = e.valid_up_to();
                let faulty = &head[begin..head.len().min(begin + SAMPLE)];
                Error::NotUtf8 { file: self.name.clone(), found: "its text is".into(), legacy: Legacy::guess(faulty) }
            }
            _ => error,
        }
    }
}

impl Stream {
    fn end(&self) -> u64 {
        self.start + self.window.len() as u64
    }

    fn read_at(&mut self, offset: u64, max: usize, file: &str, columns: &Columns) -> Result<Vec<u8>, Error> {
        let wanted = offset.saturating_add(max.clamp(1, AHEAD) as u64);
        while !self.is_over && self.end() < wanted {
            self.go_on(file, columns)?;
            let passed = usize::try_from(offset.min(self.end()) - self.start).unwrap_or(usize::MAX);
            if passed > 2 * BEHIND {
                self.window.drain(..passed - BEHIND);
                self.start += (passed - BEHIND) as u64;
            }
        }
        let from = usize::try_from(offset - self.start).unwrap_or(usize::MAX).min(self.window.len());
        let to = from.saturating_add(max).min(self.window.len());
        let read = self.window[from..to].to_vec();
        if read.is_empty() {
            // Of a file that was read to its end nothing is held: there may be thousands.
            self.start = self.end();
            self.window = Vec::new();
        }
        Ok(read)
    }

    /// Makes the next row ready, or the next bytes.
    fn go_on(&mut self, file: &str, columns: &Columns) -> Result<(), Error> {
        let rows = match &mut self.rows {
            Given::Bytes(input) => {
                let before = self.window.len();
                let read = input.take(AHEAD as u64).read_to_end(&mut self.window);
                read.map_err(|source| Error::Io { file: file.to_owned(), source })?;
                self.is_over = self.window.len() == before;
                if self.is_over {
                    *input = Box::new(io::empty());
                }
                return Ok(());
            }
            Given::Rows(rows) => rows,
        };
        let mut row = Row::default();
        let found = rows.next(&mut row)?;
        let by_lines = rows.by_lines();
        if !found {
            self.is_over = true;
            self.rows = Given::Bytes(Box::new(io::empty()));
            if !by_lines {
                self.window.extend_from_slice(if self.tally.rows == 0 { b"[]\n" } else { b"\n]\n" });
            }
            return self.tally.check_encoding(file, 0);
        }
        if !by_lines {
            self.window.extend_from_slice(if self.tally.rows == 0 { b"[\n" } else { b",\n" });
        }
        let is_blank = row.bytes.is_empty();
        if !is_blank || !by_lines {
            let bytes = self.tally.add(file, row, columns)?;
            self.window.extend_from_slice(&bytes);
        }
        if by_lines {
            self.window.push(b'\n');
        }
        self.tally.check_encoding(file, FEW)
    }
}

impl Tally {
    /// Counts a row, and gives it as it is to be read.
    fn add(&mut self, file: &str, row: Row, columns: &Columns) -> Result<Vec<u8>, Error> {
        let Row { mut bytes, has_names } = row;
        self.rows += 1;
        if has_names && let Some(changed) = without_nan(&bytes) {
            self.with_nan += 1;
            bytes = changed;
        }
        if !columns.is_empty()
            && let Some(renamed) = columns.rename(file, self.rows, &bytes, &mut self.seen)?
        {
            bytes = renamed;
        }
        if std::str::from_utf8(&bytes).is_err() {
            self.faulty += 1;
            if self.first_faulty == 0 {
                self.first_faulty = self.rows;
            }
            let free = SAMPLE.saturating_sub(self.sample.len());
            self.sample.extend_from_slice(&bytes[..bytes.len().min(free)]);
        }
        Ok(bytes)
    }

    /// Refuses a file of which more than a few rows are in another encoding.
    fn check_encoding(&self, file: &str, few: u64) -> Result<(), Error> {
        if self.faulty <= few || self.faulty as f64 <= MOST_FAULTY * self.rows as f64 {
            return Ok(());
        }
        let found = format!("{} of {} rows, the first of them row {}, are", self.faulty, self.rows, self.first_faulty);
        Err(Error::NotUtf8 { file: file.to_owned(), found, legacy: Legacy::guess(&self.sample) })
    }
}

/// Why bytes cannot be read, perhaps behind a compression.
fn fault_of(name: &str, e: io::Error, packing: Option<Packing>) -> Error {
    let file = name.to_owned();
    match packing {
        Some(packing) => Error::Packed { file, packing: packing.name(), reason: e.to_string() },
        None => Error::Io { file, source: e },
    }
}

/// What a stream holds, in a file that has no name.
fn spooled(mut input: impl Read) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    io::copy(&mut input, &mut file)?;
    file.rewind()?;
    Ok(file)
}
