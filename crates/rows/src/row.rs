//! One row on its way, and what gives rows.

use crate::error::Error;

/// A row as JSON.
#[derive(Default)]
pub(crate) struct Row {
    pub bytes: Vec<u8>,
    /// Whether something like NaN may stand in it where JSON has a value.
    pub has_names: bool,
}

/// Rows, one after the other.
pub(crate) trait Rows: Send {
    /// Writes the next row to `row`, which is empty; false at the end.
    ///
    /// # Errors
    /// When the file cannot be read on.
    fn next(&mut self, row: &mut Row) -> Result<bool, Error>;

    /// Whether each is a line of the file, with the line's number.
    fn by_lines(&self) -> bool {
        false
    }
}

/// Writes a member of an object, the first one with the opening bracket.
pub(crate) fn push_member(row: &mut Vec<u8>, key: &str, value: &[u8]) {
    row.extend_from_slice(if row.is_empty() { b"{" } else { b", " });
    push_text(row, key.as_bytes());
    row.extend_from_slice(b": ");
    row.extend_from_slice(value);
}

/// Writes text in quotes; bytes that are not UTF-8 stay what they are, so that whoever reads the row sees it.
pub(crate) fn push_text(row: &mut Vec<u8>, text: &[u8]) {
    row.push(b'"');
    for byte in text {
        match byte {
            b'"' => row.extend_from_slice(b"\\\""),
            b'\\' => row.extend_from_slice(b"\\\\"),
            b'\n' => row.extend_from_slice(b"\\n"),
            b'\r' => row.extend_from_slice(b"\\r"),
            b'\t' => row.extend_from_slice(b"\\t"),
            0..0x20 => row.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => row.push(*byte),
        }
    }
    row.push(b'"');
}
