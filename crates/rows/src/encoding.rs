//! Text in UTF-16 as UTF-8, and what text is likely to be that is neither.

use std::fmt;
use std::io::{self, Read};

use encoding_rs::{BIG5, Decoder, DecoderResult, EUC_JP, EUC_KR, Encoding, GB18030, SHIFT_JIS, UTF_16BE, UTF_16LE};

/// Bytes that are decoded at a time.
const PIECE: usize = 64 << 10;

/// The encoding that the first bytes of a file tell, none for UTF-8 or whatever else.
pub(crate) fn utf16(head: &[u8]) -> Option<&'static Encoding> {
    // Two characters of ASCII in a row are never the four bytes of anything else that rows begin with.
    let is_ascii = |byte: u8| (0x20..0x7f).contains(&byte) || byte.is_ascii_whitespace();
    match head {
        [0xff, 0xfe, 0, 0, ..] => None,
        [0xff, 0xfe, ..] => Some(UTF_16LE),
        [0xfe, 0xff, ..] => Some(UTF_16BE),
        [a, 0, b, 0, ..] if is_ascii(*a) && is_ascii(*b) => Some(UTF_16LE),
        [0, a, 0, b, ..] if is_ascii(*a) && is_ascii(*b) => Some(UTF_16BE),
        _ => None,
    }
}

/// UTF-16 read as UTF-8, without its mark. What is no UTF-16 is an error of kind `InvalidData`.
pub(crate) struct FromUtf16<R> {
    input: R,
    decoder: Decoder,
    bytes: Vec<u8>,
    used: usize,
    text: Vec<u8>,
    given: usize,
    is_over: bool,
}

impl<R: Read> FromUtf16<R> {
    pub fn new(input: R, encoding: &'static Encoding) -> Self {
        let decoder = encoding.new_decoder_with_bom_removal();
        Self { input, decoder, bytes: Vec::new(), used: 0, text: Vec::new(), given: 0, is_over: false }
    }

    fn decode(&mut self) -> io::Result<()> {
        if self.used == self.bytes.len() && !self.is_over {
            self.bytes.resize(PIECE, 0);
            let count = self.input.read(&mut self.bytes)?;
            self.bytes.truncate(count);
            (self.used, self.is_over) = (0, count == 0);
        }
        // A unit of two bytes is at most three in UTF-8.
        self.text.resize(2 * PIECE, 0);
        let (result, read, written) =
            self.decoder.decode_to_utf8_without_replacement(&self.bytes[self.used..], &mut self.text, self.is_over);
        self.used += read;
        self.text.truncate(written);
        self.given = 0;
        match result {
            DecoderResult::Malformed(..) => Err(io::Error::new(io::ErrorKind::InvalidData, "not valid UTF-16")),
            DecoderResult::InputEmpty | DecoderResult::OutputFull => Ok(()),
        }
    }
}

impl<R: Read> Read for FromUtf16<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.text.len() {
            if self.is_over && self.used == self.bytes.len() {
                return Ok(0);
            }
            self.decode()?;
        }
        let count = buffer.len().min(self.text.len() - self.given);
        buffer[..count].copy_from_slice(&self.text[self.given..self.given + count]);
        self.given += count;
        Ok(count)
    }
}

/// What text that is not UTF-8 is likely to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Legacy(Option<(&'static str, &'static str)>);

impl Legacy {
    /// A guess by the characters that each encoding makes of a piece of text.
    pub(crate) fn guess(bytes: &[u8]) -> Self {
        if bytes.starts_with(&[0xff, 0xfe, 0, 0]) || bytes.starts_with(&[0, 0, 0xfe, 0xff]) {
            return Self(Some(("UTF-32", "UTF-32")));
        }
        let best = CANDIDATES.iter().filter_map(|candidate| Some((score(candidate, bytes)?, candidate)));
        // Of equal ones the first.
        let best = best.fold(None, |best: Option<(u64, &Candidate)>, next| match best {
            Some(held) if held.0 >= next.0 => Some(held),
            _ => Some(next),
        });
        match best {
            Some((score, candidate)) if score > 0 => Self(Some((candidate.name, candidate.iconv))),
            _ => Self(Some(("Windows-1252 or Latin-1", "WINDOWS-1252"))),
        }
    }

    /// Known by its mark.
    pub(crate) fn is_utf32(&self) -> bool {
        self.0.is_some_and(|(name, _)| name == "UTF-32")
    }

    pub(crate) fn advice(&self, file: &str) -> String {
        match self.0 {
            Some((name, iconv)) => {
                format!("it looks like {name}: `iconv -f {iconv} -t UTF-8 {file} > utf8-{file}` makes it UTF-8")
            }
            None => "convert it to UTF-8 with `iconv`".to_owned(),
        }
    }
}

impl fmt::Display for Legacy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.map_or("unknown", |(name, _)| name))
    }
}

struct Candidate {
    name: &'static str,
    iconv: &'static str,
    encoding: &'static Encoding,
    /// Whether a character is one of its language.
    is_own: fn(char) -> bool,
    /// The most frequent characters, by which languages of the same script differ.
    frequent: &'static str,
}

const CANDIDATES: [Candidate; 5] = [
    Candidate {
        name: "GBK",
        iconv: "GB18030",
        encoding: GB18030,
        is_own: is_han,
        frequent: "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里",
    },
    Candidate {
        name: "Big5",
        iconv: "BIG5",
        encoding: BIG5,
        is_own: is_han,
        frequent: "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過發後作裡",
    },
    Candidate {
        name: "Shift JIS",
        iconv: "SHIFT_JIS",
        encoding: SHIFT_JIS,
        is_own: is_kana,
        frequent: "のにはをたがでてとしれさあるいるもすなこ",
    },
    Candidate {
        name: "EUC-JP",
        iconv: "EUC-JP",
        encoding: EUC_JP,
        is_own: is_kana,
        frequent: "のにはをたがでてとしれさあるいるもすなこ",
    },
    Candidate {
        name: "EUC-KR",
        iconv: "EUC-KR",
        encoding: EUC_KR,
        is_own: is_hangul,
        frequent: "이다는에을의가를고하지은로한",
    },
];

fn is_han(c: char) -> bool {
    ('\u{4e00}'..='\u{9fff}').contains(&c)
}

fn is_kana(c: char) -> bool {
    ('\u{3041}'..='\u{30fe}').contains(&c)
}

fn is_hangul(c: char) -> bool {
    ('\u{ac00}'..='\u{d7a3}').contains(&c)
}

/// How much text looks like this encoding: frequent characters count most. None where it is not of the encoding.
fn score(candidate: &Candidate, bytes: &[u8]) -> Option<u64> {
    let (text, faulty) = candidate.encoding.decode_without_bom_handling(bytes);
    // The piece may end within a character.
    let faults = if faulty { text.matches('\u{fffd}').count() } else { 0 };
    let (mut all, mut own, mut frequent) = (0_u64, 0_u64, 0_u64);
    for c in text.chars().filter(|c| !c.is_ascii()) {
        all += 1;
        own += u64::from((candidate.is_own)(c));
        frequent += u64::from(candidate.frequent.contains(c));
    }
    let is_language = faults <= 1 + text.len() / 1000 && 2 * own > all;
    is_language.then_some(own + 20 * frequent)
}
