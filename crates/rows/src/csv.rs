//! Tables of text: CSV as RFC 4180 has it, with any usual separator, and TSV.

use std::collections::BTreeSet;

use crate::MAX_ROW_BYTES;
use crate::error::Error;
use crate::row::{Row, Rows, push_member, push_text};
use crate::text::Text;

/// What separates fields; of equally frequent ones the first.
const SEPARATORS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// A column's name is no longer.
const LONGEST_NAME: usize = 100;
/// Columns whose cells may hold JSON.
const NESTED: [&str; 5] = ["messages", "conversations", "conversation", "history", "tools"];

/// The rows of a table.
pub(crate) struct Csv {
    text: Text,
    separator: u8,
    header: Vec<String>,
    rows: u64,
    fields: Vec<Vec<u8>>,
    /// The line on which the last record ended.
    ended: u64,
}

impl Csv {
    /// Reads the header; `separator` where the file's name tells it.
    pub fn open(mut text: Text, separator: Option<u8>) -> Result<Self, Error> {
        // A separator in front is a column without a name.
        text.behind(|byte| matches!(byte, b'\n' | b'\r'))?;
        let separator = separator.unwrap_or_else(|| frequent_separator(text.rest()));
        let mut this = Self { text, separator, header: Vec::new(), rows: 0, fields: Vec::new(), ended: 1 };
        if !this.record()? {
            return Err(Error::Empty { file: this.text.file });
        }
        let names = this.fields.iter().map(|name| String::from_utf8_lossy(name).trim().to_owned());
        // As pandas names the column of an index.
        let names = names.enumerate().map(|(i, name)| if name.is_empty() { format!("Unnamed: {i}") } else { name });
        this.header = names.collect();
        let mut seen = BTreeSet::new();
        if let Some(twice) = this.header.iter().find(|name| !seen.insert(name.as_str())) {
            return Err(this
                .text
                .shape(format!("its first line names the column `{twice}` twice; give each its own name")));
        }
        if this.header.iter().any(|name| name.len() > LONGEST_NAME || name.contains('\n')) {
            return Err(this
                .text
                .shape("its first line must name the columns, e.g. `instruction,output`; put such a line in front"));
        }
        Ok(this)
    }

    /// The fields of the next record; false at the end.
    fn record(&mut self) -> Result<bool, Error> {
        self.fields.clear();
        let begins = self.text.line();
        let (mut field, mut state, mut length) = (Vec::new(), State::Start, 0);
        loop {
            if self.text.rest().is_empty() && !self.text.fill()? {
                if state == State::Quoted {
                    return Err(Error::Structure {
                        file: self.text.file.clone(),
                        line: begins,
                        what:
                            "a quote that opens in this record is not closed up to the end of the file; write a quote \
                               within a text twice"
                                .into(),
                    });
                }
                let has_any = !self.fields.is_empty() || state != State::Start;
                self.fields.extend(has_any.then_some(field));
                self.ended = self.text.line();
                return Ok(has_any);
            }
            let rest = self.text.rest();
            let (mut used, mut is_over) = (0, false);
            for &byte in rest {
                used += 1;
                let is_end = matches!(byte, b'\n' | b'\r');
                match state {
                    State::Quoted if byte == b'"' => state = State::QuoteWithin,
                    State::Quoted => field.push(byte),
                    State::Start if byte == b'"' => state = State::Quoted,
                    State::QuoteWithin if byte == b'"' => {
                        field.push(byte);
                        state = State::Quoted;
                    }
                    _ if byte == self.separator => {
                        self.fields.push(std::mem::take(&mut field));
                        state = State::Start;
                    }
                    // The second half of a line's end, or an empty line.
                    State::Start if is_end && self.fields.is_empty() => {}
                    _ if is_end => {
                        self.fields.push(std::mem::take(&mut field));
                        is_over = true;
                        break;
                    }
                    State::QuoteWithin => {
                        self.text.advance(used - 1);
                        return Err(self.text.structure(
                            "text behind a closing quote; write a quote within a text twice, and no backslash before it",
                        ));
                    }
                    State::Start | State::Plain => {
                        field.push(byte);
                        state = State::Plain;
                    }
                }
            }
            length += used;
            self.text.advance(used - 1);
            self.ended = self.text.line();
            self.text.advance(1);
            if length > MAX_ROW_BYTES {
                return Err(Error::LongRow { file: self.text.file.clone(), row: self.rows + 1 });
            }
            if is_over {
                return Ok(true);
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first byte of a field.
    Start,
    Plain,
    Quoted,
    /// Behind a quote in a quoted field: the end of it, or half of a quote.
    QuoteWithin,
}

impl Rows for Csv {
    fn next(&mut self, row: &mut Row) -> Result<bool, Error> {
        if !self.record()? {
            return Ok(false);
        }
        self.rows += 1;
        let (found, wanted) = (self.fields.len(), self.header.len());
        if found != wanted {
            let what = format!(
                "row {} ends here with {found} fields where the header has {wanted}; put texts that hold `{}` or line breaks \
                 in double quotes",
                self.rows,
                char::from(self.separator).escape_default(),
            );
            return Err(Error::Structure { file: self.text.file.clone(), line: self.ended, what });
        }
        let mut cell = Vec::new();
        for (name, field) in self.header.iter().zip(&self.fields) {
            cell.clear();
            let is_nested = NESTED.contains(&name.as_str())
                && field.first() == Some(&b'[')
                && serde_json::from_slice::<serde::de::IgnoredAny>(field).is_ok();
            match is_nested {
                true => cell.extend_from_slice(field),
                false => push_text(&mut cell, field),
            }
            push_member(&mut row.bytes, name, &cell);
        }
        row.bytes.push(b'}');
        Ok(true)
    }
}

/// The separator that the first line has most of, outside of quotes.
fn frequent_separator(text: &[u8]) -> u8 {
    let mut counts = [0_usize; SEPARATORS.len()];
    let mut is_quoted = false;
    for byte in text {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\n' | b'\r' if !is_quoted => break,
            _ if is_quoted => {}
            _ => {
                if let Some(index) = SEPARATORS.iter().position(|separator| separator == byte) {
                    counts[index] += 1;
                }
            }
        }
    }
    let most = counts.iter().max().copied().unwrap_or(0);
    let index = counts.iter().position(|count| *count == most).unwrap_or(0);
    SEPARATORS[index]
}
