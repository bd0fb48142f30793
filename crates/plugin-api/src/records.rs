//! Reading JSON Lines or a JSON array row by row, from any place in the middle, without ever holding a whole file.

use serde_json::Value;

use crate::source::ReadAt;
use crate::{Error, Example, Position, Result, Row};

/// The most bytes one row may have; a longer one is reported as a bad row.
pub const MAX_ROW_BYTES: usize = 64 << 20;

/// Bytes asked of the host at a time.
const CHUNK_BYTES: usize = 1 << 20;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// One row of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Index of its file.
    pub file: usize,
    /// `train.jsonl:17` for line 17, `train.json#17` for the 17th element of an array; counted from 1.
    pub place: String,
    /// The row, or what is wrong with it.
    pub value: std::result::Result<Value, String>,
}

impl Record {
    /// The example that `read` makes of this row, given its place and value, or a skip with the reason it gives.
    pub fn into_row(self, read: impl FnOnce(&str, &Value) -> std::result::Result<Example, String>) -> Row {
        match self.value.and_then(|value| read(&self.place, &value)) {
            Ok(example) => Row::Example(example),
            Err(reason) => Row::Skip { place: self.place, reason },
        }
    }
}

/// The rows of all files of a source, one file after the other.
///
/// Whether a file is a JSON array or JSON Lines is told by its first byte that is neither blank nor a byte order mark.
/// Blank lines are passed over. A line or element that is no JSON is a [`Record`] with an error, and reading goes on
/// behind it.
#[derive(Debug)]
pub struct Records<S> {
    source: S,
    at: Position,
    /// Per file, once known.
    formats: Vec<Option<Format>>,
    window: Window,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Format {
    /// The first line begins here.
    Lines { start: u64 },
    /// `[` is here. Between elements a position points at the `[`, `,` or `]` before the next one, so that the
    /// bytes there say how to go on.
    Array { start: u64 },
}

/// The bytes read last.
#[derive(Debug, Default)]
struct Window {
    file: usize,
    start: u64,
    bytes: Vec<u8>,
}

impl<S: ReadAt> Records<S> {
    /// Reads from the start of the first file.
    pub fn new(source: S) -> Self {
        let formats = vec![None; source.files().len()];
        Self { source, at: Position::default(), formats, window: Window::default() }
    }

    /// Number of files.
    pub fn n_files(&self) -> usize {
        self.source.files().len()
    }

    /// Where the next row begins. After the last row, `file` is the number of files.
    pub fn position(&self) -> Position {
        self.at
    }

    /// Continues from a position given before.
    ///
    /// # Errors
    /// When no row can begin there: the position is of other files, or the files have changed.
    pub fn seek(&mut self, position: &Position) -> Result<()> {
        if !self.begins_row(position)? {
            return Err(Error::new(format!(
                "no row begins at byte {} of {}; has the file changed since?",
                position.offset,
                self.source.files().get(position.file as usize).map_or("an absent file", String::as_str),
            )));
        }
        self.at = *position;
        Ok(())
    }

    fn skip_file(&mut self) {
        self.at = Position { file: self.at.file.saturating_add(1), offset: 0, row: 0 };
    }

    /// The next row; `None` after the last one of the last file.
    ///
    /// # Errors
    /// When the source cannot be read. A bad row is a [`Record`] with an error.
    #[expect(clippy::should_implement_trait, reason = "an Iterator of Results would read on after an error")]
    pub fn next(&mut self) -> Result<Option<Record>> {
        while (self.at.file as usize) < self.source.files().len() {
            let file = self.at.file as usize;
            let record = match self.format(file)? {
                Format::Lines { start } => self.next_line(file, start)?,
                Format::Array { start } => self.next_element(file, start)?,
            };
            if record.is_some() {
                return Ok(record);
            }
        }
        Ok(None)
    }

    /// The line at the position; `None` when it is blank or the file ends here.
    fn next_line(&mut self, file: usize, start: u64) -> Result<Option<Record>> {
        let offset = self.at.offset.max(start);
        let taken = self.take(file, offset, |bytes| bytes.iter().position(|b| *b == b'\n'))?;
        self.at = Position { offset: taken.end + 1, row: self.at.row.saturating_add(1), ..self.at };
        let row = self.at.row;
        if taken.stop.is_none() {
            self.skip_file();
        }
        if taken.is_blank() {
            return Ok(None);
        }
        let name = &self.source.files()[file];
        Ok(Some(Record { file, place: format!("{name}:{row}"), value: taken.parse() }))
    }

    /// The element behind the position; `None` when the array ends here.
    fn next_element(&mut self, file: usize, start: u64) -> Result<Option<Record>> {
        let offset = self.at.offset.max(start);
        let opening = self.bytes(file, offset)?.first().copied();
        if opening == Some(b']') {
            return self.end_array(file, offset + 1);
        }
        let mut scanner = ElementEnd::default();
        let taken = self.take(file, offset + 1, |bytes| scanner.find(bytes))?;
        self.at = Position { offset: taken.end, ..self.at };
        if taken.stop == Some(b']') && opening == Some(b'[') && taken.is_blank() {
            return Ok(None);
        }
        self.at.row = self.at.row.saturating_add(1);
        let place = format!("{}#{}", self.source.files()[file], self.at.row);
        if taken.stop.is_none() {
            self.skip_file();
            return Ok(Some(Record { file, place, value: Err("the file ends inside its JSON array".into()) }));
        }
        let value = if taken.is_blank() { Err("nothing between two commas".into()) } else { taken.parse() };
        Ok(Some(Record { file, place, value }))
    }

    /// Goes on to the next file; a record only when something follows the array, which must not be lost in silence.
    fn end_array(&mut self, file: usize, behind: u64) -> Result<Option<Record>> {
        self.skip_file();
        if self.first_visible(file, behind)?.is_none() {
            return Ok(None);
        }
        let value = Err("text after the end of the JSON array; the rest of the file is not read".into());
        Ok(Some(Record { file, place: self.source.files()[file].clone(), value }))
    }

    /// Whether a row can begin at `position`.
    fn begins_row(&mut self, position: &Position) -> Result<bool> {
        let (file, offset) = (position.file as usize, position.offset);
        if file >= self.source.files().len() {
            return Ok(file == self.source.files().len() && offset == 0);
        }
        if offset == 0 {
            return Ok(position.row == 0);
        }
        Ok(match self.format(file)? {
            Format::Lines { .. } => self.bytes(file, offset - 1)?.first() == Some(&b'\n'),
            Format::Array { start } => {
                offset >= start && matches!(self.bytes(file, offset)?.first(), Some(b'[' | b',' | b']'))
            }
        })
    }

    fn format(&mut self, file: usize) -> Result<Format> {
        if let Some(format) = self.formats[file] {
            return Ok(format);
        }
        let start = if self.bytes(file, 0)?.starts_with(BOM) { BOM.len() as u64 } else { 0 };
        let format = match self.first_visible(file, start)? {
            Some((start, b'[')) => Format::Array { start },
            _ => Format::Lines { start },
        };
        self.formats[file] = Some(format);
        Ok(format)
    }

    /// The first byte from `offset` on that is not blank, and where it is.
    fn first_visible(&mut self, file: usize, offset: u64) -> Result<Option<(u64, u8)>> {
        let mut offset = offset;
        loop {
            let bytes = self.bytes(file, offset)?;
            if bytes.is_empty() {
                return Ok(None);
            }
            if let Some(index) = bytes.iter().position(|b| !b.is_ascii_whitespace()) {
                return Ok(Some((offset + index as u64, bytes[index])));
            }
            offset += bytes.len() as u64;
        }
    }

    /// All bytes up to the one whose index `find` gives, over as many pieces as that takes.
    fn take(&mut self, file: usize, offset: u64, mut find: impl FnMut(&[u8]) -> Option<usize>) -> Result<Taken> {
        let mut taken = Taken { bytes: Vec::new(), too_long: false, end: offset, stop: None };
        loop {
            let bytes = self.bytes(file, taken.end)?;
            if bytes.is_empty() {
                return Ok(taken);
            }
            let found = find(bytes);
            let piece = &bytes[..found.unwrap_or(bytes.len())];
            taken.too_long |= taken.bytes.len() + piece.len() > MAX_ROW_BYTES;
            if taken.too_long {
                taken.bytes = Vec::new();
            } else {
                taken.bytes.extend_from_slice(piece);
            }
            taken.end += piece.len() as u64;
            if let Some(index) = found {
                taken.stop = Some(bytes[index]);
                return Ok(taken);
            }
        }
    }

    /// Bytes of a file from `offset` on: what the window holds, or else the next piece; empty at the end.
    fn bytes(&mut self, file: usize, offset: u64) -> Result<&[u8]> {
        let held = self.window.start..self.window.start.saturating_add(self.window.bytes.len() as u64);
        if self.window.file != file || !held.contains(&offset) {
            let bytes = self.source.read(file, offset, CHUNK_BYTES)?;
            self.window = Window { file, start: offset, bytes };
        }
        Ok(&self.window.bytes[(offset - self.window.start) as usize..])
    }
}

/// The text of a row as it was found.
struct Taken {
    /// Empty when `too_long`.
    bytes: Vec<u8>,
    too_long: bool,
    /// Where the text ends in the file.
    end: u64,
    /// The byte there; `None` at the end of the file.
    stop: Option<u8>,
}

impl Taken {
    fn is_blank(&self) -> bool {
        !self.too_long && self.bytes.iter().all(u8::is_ascii_whitespace)
    }

    fn parse(&self) -> std::result::Result<Value, String> {
        if self.too_long {
            return Err(format!("longer than {} MiB", MAX_ROW_BYTES >> 20));
        }
        let text = std::str::from_utf8(&self.bytes).map_err(|_| "not valid UTF-8")?;
        serde_json::from_str(text).map_err(|e| {
            // Without serde's "at line 1 column 57" equal faults have equal reasons and can be counted together.
            let message = e.to_string();
            format!("not valid JSON: {}", message.split(" at line ").next().unwrap_or(&message))
        })
    }
}

/// Finds where an array's element ends, piece by piece.
#[derive(Default)]
struct ElementEnd {
    /// Brackets open within the element.
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl ElementEnd {
    /// The index of the `,` or `]` behind the element, when it is in `bytes`.
    fn find(&mut self, bytes: &[u8]) -> Option<usize> {
        for (index, byte) in bytes.iter().enumerate() {
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b',' | b']' if self.depth == 0 => return Some(index),
                b'"' => self.in_string = true,
                b'[' | b'{' => self.depth += 1,
                b']' | b'}' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
        None
    }
}
