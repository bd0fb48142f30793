//! Holds a reply to any JSON object, token by token: a pushdown automaton over bytes, since such JSON nests.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tunebench_generate::Constraint;

use crate::vocabulary::Vocabulary;

/// Objects and arrays in each other.
const DEEPEST: usize = 32;
/// White space after each other: a model that may write it forever does.
const MOST_SPACE: u8 = 12;
/// Digits of a number before and behind its point.
const MOST_DIGITS: u8 = 17;
/// States whose tokens are kept; inside of a text it is one for long.
const MOST_KEPT: usize = 256;

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Expects {
    /// The object's brace.
    Start,
    Value,
    /// A value, or the end of an array that has none yet.
    ValueOrEnd,
    /// A key, or the end of an object that has none yet.
    KeyOrEnd,
    Key,
    Colon,
    /// A comma, or the end of what is open.
    CommaOrEnd,
    /// Inside of a text, which is a key or a value.
    Text {
        is_key: bool,
        within: Character,
    },
    /// Behind a minus.
    Minus,
    /// A number that began with 0.
    Zero,
    /// So many digits before the point.
    Digits(u8),
    Point,
    /// So many behind it.
    Fraction(u8),
    /// What is left of a word: which, and from where.
    Word(u8, u8),
    Done,
}

/// Where in a character of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Character {
    Begin,
    Escape,
    /// Hexadecimal digits left of `\u`, and whether the first was a d: a surrogate's begins so.
    Hex(u8, bool),
    /// UTF-8's bytes that follow: the range of the next, and how many come behind it.
    Rest(u8, u8, u8),
}

const WORDS: [&[u8]; 3] = [b"true", b"false", b"null"];

/// All that decides how it may go on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    expects: Expects,
    space: u8,
    /// What is open, from outside: whether it is an object.
    open: Vec<bool>,
}

impl State {
    fn start() -> Self {
        Self { expects: Expects::Start, space: 0, open: Vec::new() }
    }

    /// Reads a byte; false where it cannot stand there.
    fn read(&mut self, byte: u8) -> bool {
        let is_between =
            !matches!(self.expects, Expects::Text { .. } | Expects::Word(..) | Expects::Minus | Expects::Point);
        if is_between && matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            return self.read_space(byte);
        }
        self.space = 0;
        match self.next(byte) {
            Some(next) => {
                self.expects = next;
                true
            }
            None => false,
        }
    }

    fn read_space(&mut self, byte: u8) -> bool {
        // A space before the brace is how some tokenizers begin; nothing comes behind the end.
        let most = match self.expects {
            Expects::Start => u8::from(byte == b' '),
            Expects::Done => 0,
            _ => MOST_SPACE,
        };
        if matches!(self.expects, Expects::Zero | Expects::Digits(_) | Expects::Fraction(1..)) {
            self.expects = Expects::CommaOrEnd;
        }
        self.space += 1;
        self.space <= most && !matches!(self.expects, Expects::Fraction(_))
    }

    fn next(&mut self, byte: u8) -> Option<Expects> {
        match self.expects {
            Expects::Start => (byte == b'{').then(|| self.push(true)),
            Expects::ValueOrEnd if byte == b']' => self.pop(false),
            Expects::Value | Expects::ValueOrEnd => self.value(byte),
            Expects::KeyOrEnd if byte == b'}' => self.pop(true),
            Expects::KeyOrEnd | Expects::Key => {
                (byte == b'"').then_some(Expects::Text { is_key: true, within: Character::Begin })
            }
            Expects::Colon => (byte == b':').then_some(Expects::Value),
            Expects::CommaOrEnd => self.comma_or_end(byte),
            Expects::Text { is_key, within } => text(is_key, within, byte),
            Expects::Minus => digit(byte).then_some(if byte == b'0' { Expects::Zero } else { Expects::Digits(1) }),
            Expects::Zero if byte == b'.' => Some(Expects::Point),
            Expects::Digits(_) if byte == b'.' => Some(Expects::Point),
            Expects::Digits(n) if digit(byte) => (n < MOST_DIGITS).then_some(Expects::Digits(n + 1)),
            Expects::Point => digit(byte).then_some(Expects::Fraction(1)),
            Expects::Fraction(n) if digit(byte) => (n < MOST_DIGITS).then_some(Expects::Fraction(n + 1)),
            Expects::Zero | Expects::Digits(_) | Expects::Fraction(_) => self.comma_or_end(byte),
            Expects::Word(word, at) => {
                let letters = WORDS.get(usize::from(word))?;
                let is_last = usize::from(at) + 1 == letters.len();
                let next = if is_last { Expects::CommaOrEnd } else { Expects::Word(word, at + 1) };
                (letters.get(usize::from(at)) == Some(&byte)).then_some(next)
            }
            Expects::Done => None,
        }
    }

    fn value(&mut self, byte: u8) -> Option<Expects> {
        match byte {
            b'{' if self.open.len() < DEEPEST => Some(self.push(true)),
            b'[' if self.open.len() < DEEPEST => Some(self.push(false)),
            b'"' => Some(Expects::Text { is_key: false, within: Character::Begin }),
            b'-' => Some(Expects::Minus),
            b'0' => Some(Expects::Zero),
            b'1'..=b'9' => Some(Expects::Digits(1)),
            _ => {
                let word = WORDS.iter().position(|word| word[0] == byte)?;
                u8::try_from(word).ok().map(|word| Expects::Word(word, 1))
            }
        }
    }

    fn comma_or_end(&mut self, byte: u8) -> Option<Expects> {
        match (byte, self.open.last()?) {
            (b',', true) => Some(Expects::Key),
            (b',', false) => Some(Expects::Value),
            (b'}', true) => self.pop(true),
            (b']', false) => self.pop(false),
            _ => None,
        }
    }

    fn push(&mut self, is_object: bool) -> Expects {
        self.open.push(is_object);
        if is_object { Expects::KeyOrEnd } else { Expects::ValueOrEnd }
    }

    fn pop(&mut self, is_object: bool) -> Option<Expects> {
        let is_matched = self.open.pop()? == is_object;
        is_matched.then_some(if self.open.is_empty() { Expects::Done } else { Expects::CommaOrEnd })
    }
}

fn digit(byte: u8) -> bool {
    byte.is_ascii_digit()
}

/// A byte of a text in quotes: UTF-8 but for control characters, and escapes but for halves of surrogate pairs.
fn text(is_key: bool, within: Character, byte: u8) -> Option<Expects> {
    let rest = |low, high, more| Some(Character::Rest(low, high, more));
    let next = match within {
        Character::Begin => match byte {
            b'"' => return Some(if is_key { Expects::Colon } else { Expects::CommaOrEnd }),
            b'\\' => Some(Character::Escape),
            b' '..=b'~' => Some(Character::Begin),
            0xc2..=0xdf => rest(0x80, 0xbf, 0),
            0xe0 => rest(0xa0, 0xbf, 1),
            0xed => rest(0x80, 0x9f, 1),
            0xe1..=0xef => rest(0x80, 0xbf, 1),
            0xf0 => rest(0x90, 0xbf, 2),
            0xf1..=0xf3 => rest(0x80, 0xbf, 2),
            0xf4 => rest(0x80, 0x8f, 2),
            _ => None,
        },
        Character::Escape => match byte {
            b'u' => Some(Character::Hex(4, false)),
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(Character::Begin),
            _ => None,
        },
        Character::Hex(left, is_d) => {
            let is_half = left == 3 && is_d && !matches!(byte, b'0'..=b'7');
            let is_d = left == 4 && matches!(byte, b'd' | b'D');
            let next = if left == 1 { Character::Begin } else { Character::Hex(left - 1, is_d) };
            (byte.is_ascii_hexdigit() && !is_half).then_some(next)
        }
        Character::Rest(low, high, more) => {
            let next = if more == 0 { Character::Begin } else { Character::Rest(0x80, 0xbf, more - 1) };
            (low..=high).contains(&byte).then_some(next)
        }
    };
    next.map(|within| Expects::Text { is_key, within })
}

/// Which tokens may come next, a bit each.
type Allowed = Arc<Vec<u64>>;

/// The form of any JSON object, for the tokens of one vocabulary.
pub(crate) struct JsonObject {
    vocabulary: Arc<Vocabulary>,
    kept: Mutex<BTreeMap<State, Allowed>>,
}

impl JsonObject {
    pub(crate) fn new(vocabulary: Arc<Vocabulary>) -> Self {
        Self { vocabulary, kept: Mutex::default() }
    }

    fn allowed_after(&self, state: &State) -> Allowed {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(state).cloned();
        if let Some(allowed) = kept {
            return allowed;
        }
        let mut bits = Vec::new();
        for (token, bytes) in self.vocabulary.texts().enumerate() {
            if token % 64 == 0 {
                bits.push(0);
            }
            let goes_on = |mut state: State| bytes.iter().all(|byte| state.read(*byte));
            if let Some(word) = bits.last_mut().filter(|_| !bytes.is_empty() && goes_on(state.clone())) {
                *word |= 1 << (token % 64);
            }
        }
        let allowed = Arc::new(bits);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST_KEPT {
            kept.clear();
        }
        kept.insert(state.clone(), allowed.clone());
        allowed
    }
}

impl fmt::Debug for JsonObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JsonObject")
    }
}

impl Constraint for JsonObject {
    fn mask(&self, answer: &[u32], stop_tokens: &[u32], scores: &mut [f32]) {
        let mut state = State::start();
        let reads = answer.iter().all(|token| self.vocabulary.bytes(*token).iter().all(|byte| state.read(*byte)));
        let allowed = reads.then(|| self.allowed_after(&state));
        let may_end = reads && state.expects == Expects::Done;
        for (token, score) in (0u32..).zip(scores.iter_mut()) {
            let bit = |bits: &Allowed| bits.get(token as usize / 64).is_some_and(|word| word >> (token % 64) & 1 == 1);
            let is_allowed = if stop_tokens.contains(&token) { may_end } else { allowed.as_ref().is_some_and(bit) };
            if !is_allowed {
                *score = f32::NEG_INFINITY;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use tunebench_spec::random::Stream;

    use super::*;

    fn reads(text: &[u8]) -> bool {
        let mut state = State::start();
        text.iter().all(|byte| state.read(*byte)) && state.expects == Expects::Done
    }

    #[test]
    fn objects_are_read_and_nothing_else() {
        for text in [
            "{}",
            " {}",
            r#"{"a":1}"#,
            "{\n  \"a\": [1, -2.50, 0, 0.1],\n  \"b\": {\"c\": null, \"d\": [true, false, []]}\n}",
            r#"{"é\u00e9\n":"\ud7ff是"}"#,
        ] {
            assert!(reads(text.as_bytes()), "{text}");
            serde_json::from_str::<Value>(text).unwrap();
        }
        for text in [
            "",
            "{",
            "[]",
            "1",
            "{}}",
            "{} ",
            "{,}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{\"a\":01}",
            "{\"a\":1.}",
            "{\"a\":.5}",
            "{\"a\":-}",
            "{\"a\":tru}",
            "{\"a\":[1,]}",
            "{\"a\":[}",
            "{\"a\":1]",
            "{\"a\":\"\n\"}",
            r#"{"a":"\ud800"}"#,
            r#"{"a":"\x"}"#,
            "{a:1}",
            "{\"a\":1 2}",
            "{\"a\":1. 5}",
        ] {
            assert!(!reads(text.as_bytes()), "{text}");
        }
        assert!(!reads(b"{\"\xff\":1}") && !reads(b"{\"\xed\xa0\x80\":1}"), "no text but UTF-8");
    }

    /// Walks at random, and always comes to an end that is JSON.
    #[test]
    fn whatever_is_written_byte_by_byte_is_json() {
        for key in 0..300 {
            let mut stream = Stream::new(key, &[1]);
            let (mut state, mut written) = (State::start(), Vec::new());
            while state.expects != Expects::Done {
                let next: Vec<u8> = (0..=u8::MAX).filter(|byte| state.clone().read(*byte)).collect();
                assert!(!next.is_empty(), "no way on from {}", String::from_utf8_lossy(&written));
                let end =
                    next.iter().find(|byte| matches!(**byte, b'"' | b'}' | b']')).filter(|_| stream.below(2) == 0);
                let byte = *end.unwrap_or(&next[stream.below(next.len() as u64) as usize]);
                written.push(byte);
                assert!(state.read(byte));
            }
            assert!(serde_json::from_slice::<Value>(&written).unwrap().is_object());
        }
    }
}
