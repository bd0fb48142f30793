//! Blanks out secrets in what is kept or shown, however they are written.
//!
//! A server may echo a key in an error: cut, in escapes of JSON, of addresses or of HTML, in base64 or in hexadecimal digits. A
//! run of 8 characters of it is blanked; shorter ones, as in `sk-ab***yz`, are what servers show on purpose.

mod escapes;
mod forms;

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use self::escapes::{Spelled, undone};
use self::forms::Form;

/// What stands in the place of a secret.
const BLANK: &str = "[key]";
/// Escapes are undone so often, for those within others.
const MOST_LAYERS: usize = 3;
/// Runs are found by their first bytes.
const HEAD: usize = 4;

/// Knows the secrets of a server, and finds them in text.
#[derive(Clone, Default)]
pub struct Redactor {
    forms: Vec<Form>,
    /// Where in which form these bytes stand.
    heads: HashMap<[u8; HEAD], Vec<(usize, usize)>>,
    /// Whether some of them begin with these two bytes; most of a text does not, and is passed over by this.
    pairs: Vec<bool>,
}

impl Redactor {
    /// Of these secrets. What is shorter than 4 characters is none: blanked out wherever it stands, it would take marks away.
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        let forms: Vec<Form> = secrets.into_iter().flat_map(|secret| forms::of(secret.trim())).collect();
        let mut heads: HashMap<[u8; HEAD], Vec<(usize, usize)>> = HashMap::new();
        for (form, Form { bytes, .. }) in forms.iter().enumerate() {
            for (place, head) in bytes.windows(HEAD).enumerate() {
                let Ok(head) = <[u8; HEAD]>::try_from(head) else { continue };
                heads.entry(head).or_default().push((form, place));
            }
        }
        let mut pairs = vec![false; 1 << 16];
        heads.keys().for_each(|[first, second, ..]| pairs[pair(*first, *second)] = true);
        Self { forms, heads, pairs }
    }

    /// The text with each secret blanked out.
    pub fn redact(&self, text: &str) -> String {
        if self.forms.is_empty() {
            return text.to_owned();
        }
        let mut spans = Vec::new();
        let mut spelled = Spelled::plain(text);
        for layer in 0..=MOST_LAYERS {
            spans.extend(self.find(&spelled.bytes).into_iter().map(|run| spelled.span(run)));
            if layer == MOST_LAYERS {
                break;
            }
            let Some(next) = undone(&spelled) else { break };
            spelled = next;
        }
        blank(text, spans)
    }

    /// Runs of secrets.
    fn find(&self, bytes: &[u8]) -> Vec<Range<usize>> {
        let mut runs = Vec::new();
        let mut at = 0;
        let may_begin = |two: &[u8]| matches!(two, [first, second] if self.pairs[pair(*first, *second)]);
        while let Some(found) = bytes.get(at..).and_then(|rest| rest.windows(2).position(may_begin)) {
            at += found;
            let Some(head) = bytes.get(at..at + HEAD).and_then(|head| <[u8; HEAD]>::try_from(head).ok()) else { break };
            let places = self.heads.get(&head).map(Vec::as_slice).unwrap_or_default();
            let lengths = places.iter().filter_map(|(form, place)| self.forms[*form].run(*place, bytes, at));
            match lengths.max() {
                Some(length) => {
                    runs.push(at..at + length);
                    at += length;
                }
                None => at += 1,
            }
        }
        runs
    }
}

fn pair(first: u8, second: u8) -> usize {
    usize::from(first) << 8 | usize::from(second)
}

/// Says how many, and not which.
impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redactor({} forms of secrets)", self.forms.len())
    }
}

/// The text without these spans, which may overlap.
fn blank(text: &str, mut spans: Vec<Range<usize>>) -> String {
    spans.sort_by_key(|span| (span.start, span.end));
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    let mut blanked = None;
    for span in spans {
        if span.end <= at {
            continue;
        }
        let start = text.floor_char_boundary(span.start).max(at);
        out.push_str(&text[at..start]);
        if blanked != Some(start) {
            out.push_str(BLANK);
        }
        at = text.ceil_char_boundary(span.end);
        blanked = Some(at);
    }
    out.push_str(&text[at..]);
    out
}
