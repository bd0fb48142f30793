//! Where a JSON value ends, found byte by byte and piece by piece, without a tree of it.

use memchr::memchr3;

/// Deepest nesting of a row.
const MOST_DEPTH: usize = 512;

/// What no JSON value has outside of its texts, or within them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    SingleQuote,
    /// A text goes over the end of its line.
    LineBreak,
    /// A bracket closes another kind.
    Mismatch(u8, u8),
    Depth,
}

impl Fault {
    pub fn message(self) -> String {
        match self {
            Self::SingleQuote => {
                "a single quote where JSON has double ones, as Python prints its values; write the rows with `json.dumps`"
                    .to_owned()
            }
            Self::LineBreak => {
                "a text goes on behind the end of its line; a quote is missing, or a line break in it is not written as \\n"
                    .to_owned()
            }
            Self::Mismatch(open, close) => {
                format!("`{}` is closed by `{}`; a bracket or a quote before it is missing", char::from(open), char::from(close))
            }
            Self::Depth => format!("values nested more than {MOST_DEPTH} deep; no row is like that"),
        }
    }
}

/// The state of a value that has begun.
#[derive(Default)]
pub(crate) struct Scan {
    open: Vec<u8>,
    in_text: bool,
    is_escaped: bool,
    has_begun: bool,
    /// Whether something like NaN stands where JSON has a value.
    pub has_names: bool,
}

impl Scan {
    /// Whether more must come before the value can end.
    pub fn is_open(&self) -> bool {
        self.in_text || !self.open.is_empty()
    }

    /// Goes on over more bytes: how many belong to the value, and whether it ends with them. A number or a word ends
    /// before the first byte that is none of it.
    ///
    /// # Errors
    /// The fault, and the index of its byte.
    pub fn run(&mut self, bytes: &[u8]) -> Result<(usize, bool), (Fault, usize)> {
        let mut at = 0;
        while at < bytes.len() {
            if self.in_text {
                if self.is_escaped {
                    self.is_escaped = false;
                    at += 1;
                    continue;
                }
                let Some(found) = memchr3(b'"', b'\\', b'\n', &bytes[at..]) else { return Ok((bytes.len(), false)) };
                at += found;
                match bytes[at] {
                    b'"' => {
                        self.in_text = false;
                        if self.open.is_empty() {
                            return Ok((at + 1, true));
                        }
                    }
                    b'\\' => self.is_escaped = true,
                    _ => return Err((Fault::LineBreak, at)),
                }
                at += 1;
                continue;
            }
            let byte = bytes[at];
            match byte {
                b'"' => self.in_text = true,
                b'{' | b'[' => {
                    if self.open.len() == MOST_DEPTH {
                        return Err((Fault::Depth, at));
                    }
                    self.open.push(byte);
                }
                b'}' | b']' => {
                    let Some(open) = self.open.pop() else { return Ok((at, true)) };
                    // `{` and `}` are two apart, as are `[` and `]`.
                    if byte != open + 2 {
                        return Err((Fault::Mismatch(open, byte), at));
                    }
                    if self.open.is_empty() {
                        return Ok((at + 1, true));
                    }
                }
                b'\'' => return Err((Fault::SingleQuote, at)),
                b'N' | b'I' => self.has_names = true,
                b',' if self.open.is_empty() => return Ok((at, true)),
                _ if self.open.is_empty() && self.has_begun && byte.is_ascii_whitespace() => return Ok((at, true)),
                _ => {}
            }
            self.has_begun = true;
            at += 1;
        }
        Ok((at, false))
    }
}

/// The end of the value that begins at `at`; none when it does not end, or is no JSON.
pub(crate) fn value_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut scan = Scan::default();
    match scan.run(&bytes[at..]) {
        Ok((used, is_over)) if is_over || scan.open.is_empty() && !scan.in_text => Some(at + used),
        _ => None,
    }
}

/// The first index from `at` on of a byte that is not blank.
pub(crate) fn visible(bytes: &[u8], at: usize) -> usize {
    at + bytes[at..].iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(bytes.len() - at)
}

/// The members of the object that `bytes` are: each key as it is written, with its quotes, and its value.
pub(crate) fn members(bytes: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let mut members = Vec::new();
    let mut at = visible(bytes, 0);
    if bytes.get(at) != Some(&b'{') {
        return None;
    }
    at = visible(bytes, at + 1);
    while *bytes.get(at)? != b'}' {
        if bytes[at] != b'"' {
            return None;
        }
        let end = value_end(bytes, at)?;
        let colon = visible(bytes, end);
        if bytes.get(colon) != Some(&b':') {
            return None;
        }
        let start = visible(bytes, colon + 1);
        let stop = value_end(bytes, start)?;
        members.push((&bytes[at..end], &bytes[start..stop]));
        at = behind(bytes, stop, b'}')?;
    }
    is_last(bytes, at).then_some(members)
}

/// Where the next element begins behind one that ends at `end`, or the bracket that closes its list.
fn behind(bytes: &[u8], end: usize, close: u8) -> Option<usize> {
    let at = visible(bytes, end);
    if *bytes.get(at)? == close {
        return Some(at);
    }
    let next = visible(bytes, at + 1);
    (bytes[at] == b',' && *bytes.get(next)? != close).then_some(next)
}

/// Whether nothing but blanks is behind the byte at `at`.
fn is_last(bytes: &[u8], at: usize) -> bool {
    visible(bytes, at + 1) == bytes.len()
}

/// The elements of the list that `bytes` are.
pub(crate) fn elements(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut elements = Vec::new();
    let mut at = visible(bytes, 0);
    if bytes.get(at) != Some(&b'[') {
        return None;
    }
    at = visible(bytes, at + 1);
    while *bytes.get(at)? != b']' {
        let end = value_end(bytes, at)?;
        if end == at {
            return None;
        }
        elements.push(&bytes[at..end]);
        at = visible(bytes, end);
        if bytes.get(at) == Some(&b',') {
            at = visible(bytes, at + 1);
        }
    }
    Some(elements)
}

/// The text that a key is; as it is written where that is no JSON.
pub(crate) fn key_text(key: &[u8]) -> String {
    serde_json::from_slice(key).unwrap_or_else(|_| String::from_utf8_lossy(key).trim_matches('"').to_owned())
}

/// A row in which what Python writes for numbers that are none is null, and whether there was any.
pub(crate) fn without_nan(row: &[u8]) -> Option<Vec<u8>> {
    const NAMES: [&[u8]; 3] = [b"NaN", b"-Infinity", b"Infinity"];
    let mut out = Vec::with_capacity(row.len());
    let (mut at, mut is_changed) = (0, false);
    while at < row.len() {
        if row[at] == b'"' {
            let end = value_end(row, at)?;
            out.extend_from_slice(&row[at..end]);
            at = end;
            continue;
        }
        let name = NAMES.iter().find(|name| row[at..].starts_with(name));
        out.extend_from_slice(name.map_or(&row[at..=at], |_| b"null"));
        is_changed |= name.is_some();
        at += name.map_or(1, |name| name.len());
    }
    is_changed.then_some(out)
}
