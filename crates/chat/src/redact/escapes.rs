//! Undoes the escapes of JSON, of addresses and of HTML, and knows where each byte stood.

use std::ops::Range;

/// Bytes as they are meant, and from where to where each one stands in the text.
pub(super) struct Spelled {
    pub bytes: Vec<u8>,
    /// None where each byte stands for itself.
    places: Option<Vec<(u32, u32)>>,
}

impl Spelled {
    /// A text as it is.
    pub(super) fn plain(text: &str) -> Self {
        Self { bytes: text.as_bytes().to_vec(), places: None }
    }

    /// Where a run of bytes stands in the text.
    pub(super) fn span(&self, run: Range<usize>) -> Range<usize> {
        self.place(run.start).start..run.end.checked_sub(1).map_or(0, |last| self.place(last).end)
    }

    fn place(&self, at: usize) -> Range<usize> {
        let place = self.places.as_ref().and_then(|places| places.get(at));
        place.map_or(at..at + 1, |(start, end)| *start as usize..*end as usize)
    }
}

/// With one layer of escapes undone; none where there is none.
pub(super) fn undone(spelled: &Spelled) -> Option<Spelled> {
    let mut bytes = Vec::new();
    let mut places = Vec::new();
    let mut found = false;
    let mut at = 0;
    while at < spelled.bytes.len() {
        let (character, length) = escape(&spelled.bytes[at..]).unwrap_or((None, 1));
        let span = spelled.span(at..at + length);
        let place = (u32::try_from(span.start).ok()?, u32::try_from(span.end).ok()?);
        match character {
            Some(character) => {
                found = true;
                let mut buffer = [0; 4];
                let encoded = character.encode_utf8(&mut buffer).as_bytes();
                bytes.extend_from_slice(encoded);
                places.extend(encoded.iter().map(|_| place));
            }
            None => {
                bytes.push(spelled.bytes[at]);
                places.push(place);
            }
        }
        at += length;
    }
    found.then_some(Spelled { bytes, places: Some(places) })
}

/// The character that an escape at the beginning means, and how long the escape is.
fn escape(bytes: &[u8]) -> Option<(Option<char>, usize)> {
    let (character, length) = match bytes {
        [b'\\', b'u', rest @ ..] => (hex(rest, 4)?, 6),
        [b'\\', b'x', rest @ ..] => (hex(rest, 2)?, 4),
        [b'\\', c @ (b'/' | b'\\' | b'"' | b'\''), ..] => (char::from(*c), 2),
        [b'%', rest @ ..] => (hex(rest, 2)?, 3),
        [b'&', b'#', rest @ ..] => entity(rest)?,
        [b'&', rest @ ..] => {
            let names = [("amp;", '&'), ("lt;", '<'), ("gt;", '>'), ("quot;", '"'), ("apos;", '\'')];
            let (name, character) = names.iter().find(|(name, _)| rest.starts_with(name.as_bytes()))?;
            (*character, name.len() + 1)
        }
        _ => return None,
    };
    Some((Some(character), length))
}

fn hex(bytes: &[u8], digits: usize) -> Option<char> {
    let digits = std::str::from_utf8(bytes.get(..digits)?).ok()?;
    let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    char::from_u32(u32::from_str_radix(digits, 16).ok().filter(|_| is_hex)?)
}

/// `&#45;` or `&#x2d;`.
fn entity(rest: &[u8]) -> Option<(char, usize)> {
    let end = rest.iter().take(9).position(|byte| *byte == b';')?;
    let number = std::str::from_utf8(&rest[..end]).ok()?;
    let value = match number.strip_prefix(['x', 'X']) {
        Some(digits) => u32::from_str_radix(digits, 16).ok()?,
        None => number.parse().ok()?,
    };
    Some((char::from_u32(value)?, end + 3))
}
