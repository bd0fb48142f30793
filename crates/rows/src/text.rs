//! A text read once from its start, with the line that is reached: what is visible next, and whole JSON values.

use std::io::{self, Read};

use memchr::memchr_iter;

use crate::MAX_ROW_BYTES;
use crate::error::Error;
use crate::scan::{Fault, Scan};

/// Bytes read at a time.
const PIECE: usize = 256 << 10;

const BOM: &[u8] = b"\xef\xbb\xbf";
/// The record separator that JSON text sequences put in front of each.
const SEPARATOR: u8 = 0x1e;

/// A text in UTF-8, or what is taken for it.
pub(crate) struct Text {
    pub file: String,
    input: Box<dyn Read + Send>,
    /// How the bytes are compressed, for errors.
    packing: Option<&'static str>,
    buffer: Vec<u8>,
    at: usize,
    /// Of what comes next, from 1.
    line: u64,
    line_end: u8,
    is_over: bool,
}

impl Text {
    pub fn new(file: &str, input: Box<dyn Read + Send>, packing: Option<&'static str>) -> Result<Self, Error> {
        let mut this = Self {
            file: file.to_owned(),
            input,
            packing,
            buffer: Vec::new(),
            at: 0,
            line: 1,
            line_end: b'\n',
            is_over: false,
        };
        this.fill()?;
        // Old Macintosh files.
        if !this.buffer.contains(&b'\n') && this.buffer.contains(&b'\r') {
            this.line_end = b'\r';
        }
        Ok(this)
    }

    pub fn line(&self) -> u64 {
        self.line
    }

    /// What was read and not used yet; more may come.
    pub fn rest(&self) -> &[u8] {
        &self.buffer[self.at..]
    }

    /// Reads more behind what is there; false at the end.
    pub fn fill(&mut self) -> Result<bool, Error> {
        if self.is_over {
            return Ok(false);
        }
        self.buffer.drain(..self.at);
        self.at = 0;
        let held = self.buffer.len();
        let read = (&mut self.input).take(PIECE as u64).read_to_end(&mut self.buffer);
        read.map_err(|e| self.fault_of(e))?;
        self.is_over = self.buffer.len() == held;
        Ok(!self.is_over)
    }

    fn fault_of(&self, e: io::Error) -> Error {
        let file = self.file.clone();
        match (e.kind(), self.packing) {
            (io::ErrorKind::InvalidData, None) if e.to_string().contains("UTF-16") => Error::NotUtf16 { file },
            (_, Some(packing)) => Error::Packed { file, packing, reason: e.to_string() },
            (_, None) => Error::Io { file, source: e },
        }
    }

    /// Uses bytes that [`Text::rest`] shows.
    pub fn advance(&mut self, count: usize) {
        let used = &self.buffer[self.at..self.at + count];
        self.line += memchr_iter(self.line_end, used).count() as u64;
        self.at += count;
    }

    /// The next byte that is neither blank nor a mark, which then is first in [`Text::rest`]; none at the end.
    pub fn visible(&mut self) -> Result<Option<u8>, Error> {
        self.behind(|byte| byte.is_ascii_whitespace() || byte == SEPARATOR)
    }

    /// As [`Text::visible`], where only these bytes are blank.
    pub fn behind(&mut self, is_blank: fn(u8) -> bool) -> Result<Option<u8>, Error> {
        loop {
            let rest = self.rest();
            let blank = rest.iter().position(|byte| !is_blank(*byte)).unwrap_or(rest.len());
            self.advance(blank);
            let rest = self.rest();
            if rest.len() < BOM.len() && !self.is_over && BOM.starts_with(rest) {
                self.fill()?;
                continue;
            }
            if rest.starts_with(BOM) {
                self.advance(BOM.len());
                continue;
            }
            return Ok(rest.first().copied());
        }
    }

    /// Takes the value that begins here, into `kept` where it is wanted. Says whether it has names like NaN.
    pub fn value(&mut self, row: u64, mut kept: Option<&mut Vec<u8>>) -> Result<bool, Error> {
        let (mut scan, begins) = (Scan::default(), self.line);
        let mut length = 0;
        loop {
            if self.rest().is_empty() && !self.fill()? {
                return match length {
                    // A number or a word ends with the text.
                    _ if !scan.is_open() && length > 0 => Ok(scan.has_names),
                    _ => Err(self.structure(format!(
                        "the file ends inside row {row}, which begins at line {begins}; it may have been cut off: fetch it \
                         again, or take that row out and close what is open"
                    ))),
                };
            }
            let (used, is_over) = match scan.run(self.rest()) {
                Ok(found) => found,
                Err((fault, at)) => {
                    self.advance(at);
                    return Err(self.fault(fault));
                }
            };
            if let Some(kept) = kept.as_deref_mut() {
                length += used;
                if length > MAX_ROW_BYTES {
                    return Err(Error::LongRow { file: self.file.clone(), row });
                }
                kept.extend_from_slice(&self.buffer[self.at..self.at + used]);
            } else {
                length = length.saturating_add(used);
            }
            self.advance(used);
            if is_over {
                return Ok(scan.has_names);
            }
        }
    }

    pub fn fault(&self, fault: Fault) -> Error {
        self.structure(fault.message())
    }

    pub fn structure(&self, what: impl Into<String>) -> Error {
        Error::Structure { file: self.file.clone(), line: self.line, what: what.into() }
    }

    pub fn shape(&self, what: impl Into<String>) -> Error {
        Error::Shape { file: self.file.clone(), what: what.into() }
    }

    /// The next line without its end, into `line`; false at the end of the text. Lines end with LF, CR LF or CR.
    pub fn line_into(&mut self, line: &mut Vec<u8>) -> Result<bool, Error> {
        line.clear();
        let mut has_any = false;
        loop {
            if self.rest().is_empty() && !self.fill()? {
                self.line += u64::from(has_any);
                return Ok(has_any);
            }
            has_any = true;
            let rest = self.rest();
            let end = memchr::memchr2(b'\n', b'\r', rest);
            let piece = end.unwrap_or(rest.len());
            if line.len() + piece > MAX_ROW_BYTES {
                return Err(Error::LongRow { file: self.file.clone(), row: self.line });
            }
            line.extend_from_slice(&rest[..piece]);
            let Some(end) = end else {
                self.at += piece;
                continue;
            };
            let is_return = rest[end] == b'\r';
            self.at += piece + 1;
            if is_return {
                if self.rest().is_empty() {
                    self.fill()?;
                }
                self.at += usize::from(self.rest().first() == Some(&b'\n'));
            }
            self.line += 1;
            return Ok(true);
        }
    }
}
