//! How a secret may be written: as it is, in base64 and in hexadecimal digits.

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};

/// A run of a key as long as this is blanked.
const LONG_RUN: usize = 8;
/// No run that is shorter than this is taken for a part of a key, however short the key: it would be a word.
const SHORT_RUN: usize = 6;
/// What is shorter is no secret.
const SHORTEST: usize = 4;

/// One way to write a secret, and how much of it gives it away.
#[derive(Clone)]
pub(super) struct Form {
    pub bytes: Vec<u8>,
    /// The shortest run that is blanked.
    least: usize,
    /// Whether it counts only where it is no part of a word.
    whole_word: bool,
}

impl Form {
    /// How long the run is that agrees from `place` on with the text from `at` on, if it is long enough.
    pub(super) fn run(&self, place: usize, text: &[u8], at: usize) -> Option<usize> {
        let run = self.bytes[place..].iter().zip(&text[at..]).take_while(|(a, b)| a == b).count();
        let is_word = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let is_part = is_word(at.checked_sub(1).and_then(|before| text.get(before))) || is_word(text.get(at + run));
        (run >= self.least && !(self.whole_word && is_part)).then_some(run)
    }
}

/// All forms of a secret.
pub(super) fn of(secret: &str) -> Vec<Form> {
    let (bytes, length) = (secret.as_bytes(), secret.len());
    if length < SHORTEST {
        return Vec::new();
    }
    // Keys of fewer than 8 characters count as a whole only, those of fewer than 16 by half.
    let least = match length {
        0..LONG_RUN => length,
        _ => LONG_RUN.min((length / 2).max(SHORT_RUN)),
    };
    let mut forms = vec![Form { bytes: bytes.to_vec(), least, whole_word: length < LONG_RUN }];
    for digits in ["0123456789abcdef", "0123456789ABCDEF"] {
        let digit = |value: u8| digits.as_bytes()[usize::from(value)];
        let hex = bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect();
        forms.push(Form { bytes: hex, least: 2 * least, whole_word: false });
    }
    for alphabet in [&STANDARD, &URL_SAFE] {
        let engine = GeneralPurpose::new(alphabet, NO_PAD);
        // Within a longer text a secret begins at the first, second or third byte of a group.
        forms.extend((0..3).filter_map(|shift| base64_form(&engine, bytes, shift, least)));
    }
    forms
}

/// The digits of base64 that the secret alone decides, `shift` bytes after the beginning of a group.
fn base64_form(engine: &GeneralPurpose, secret: &[u8], shift: usize, least: usize) -> Option<Form> {
    let text = engine.encode([&vec![0; shift], secret].concat());
    let (first, end) = ((8 * shift).div_ceil(6), 8 * (shift + secret.len()) / 6);
    let bytes = text.as_bytes().get(first..end)?.to_vec();
    // A run of so many bytes decides so many digits, wherever it begins.
    let least = (8 * least / 6 - 1).min(bytes.len());
    (least >= SHORT_RUN - 1).then_some(Form { bytes, least, whole_word: false })
}
