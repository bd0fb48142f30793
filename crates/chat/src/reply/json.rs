//! Reads JSON as it comes: a reply that was paid for is not lost because its writer was careless.

use serde_json::Value;

/// Parses JSON; what Python and others write beside the standard is read too: bare control characters, halves of surrogate
/// pairs, escapes that are none, `NaN` and `Infinity` (as null).
///
/// # Errors
/// As `serde_json`, of the text as it came.
pub(super) fn parse(text: &str) -> Result<Value, serde_json::Error> {
    serde_json::from_str(text).or_else(|error| match error.is_syntax() {
        true => serde_json::from_str(&mended(text)).map_err(|_| error),
        false => Err(error),
    })
}

fn mended(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 64);
    let mut rest = text;
    let mut in_string = false;
    while let Some(c) = rest.chars().next() {
        let taken = match c {
            '"' => {
                in_string = !in_string;
                out.push(c);
                1
            }
            '\\' if in_string => escape(rest, &mut out),
            c if in_string && c < ' ' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
                1
            }
            'N' | 'I' | '-' if !in_string => {
                let word = ["NaN", "-NaN", "Infinity", "-Infinity"].into_iter().find(|word| rest.starts_with(word));
                out.push_str(if word.is_some() { "null" } else { &rest[..1] });
                word.map_or(1, str::len)
            }
            c => {
                out.push(c);
                c.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    out
}

/// Writes the escape that `rest` begins with, mended; gives its length.
fn escape(rest: &str, out: &mut String) -> usize {
    let unit = |at: usize| {
        let digits = rest.get(at..at + 6)?.strip_prefix("\\u")?;
        digits.chars().all(|c| c.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
    };
    match (rest.as_bytes().get(1), unit(0), unit(6)) {
        (_, Some(0xd800..0xdc00), Some(0xdc00..0xe000)) => {
            out.push_str(&rest[..12]);
            12
        }
        (_, Some(0xd800..0xe000), _) => {
            out.push('\u{fffd}');
            6
        }
        (_, Some(_), _) => {
            out.push_str(&rest[..6]);
            6
        }
        (Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't'), ..) => {
            out.push_str(&rest[..2]);
            2
        }
        _ => {
            out.push_str("\\\\");
            1
        }
    }
}
