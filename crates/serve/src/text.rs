//! Tokens to text as they come: never half a character, nothing of a stop sequence, and each token with its place.
//!
//! Of a stop sequence any beginning is held back until it is clear that it is none. Bytes that are no UTF-8 become U+FFFD, as
//! decoding them all at once would have it.

use std::collections::VecDeque;
use std::sync::Arc;

use tunebench_generate::TokenLogprobs;

/// A token of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Said {
    pub token: u32,
    /// Where they were asked for.
    pub logprobs: Option<TokenLogprobs>,
    /// Characters of the answer before it; of a token within a character, before that.
    pub offset: usize,
}

/// Text that is certain, and the tokens that begin in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Piece {
    pub text: String,
    pub tokens: Vec<Said>,
}

impl Piece {
    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty() && self.tokens.is_empty()
    }
}

/// Stop sequences, none of them empty.
pub(crate) type Stops = Arc<[String]>;

/// The text of one answer.
#[derive(Debug)]
pub(crate) struct TextWriter {
    stops: Stops,
    /// Whether a space at the beginning is left out.
    drops_space: bool,
    /// All that came.
    bytes: Vec<u8>,
    /// Bytes, and characters, that are said.
    said: usize,
    characters: usize,
    /// Tokens that are not said, with the byte that each begins at.
    pending: VecDeque<(usize, u32, Option<TokenLogprobs>)>,
}

impl TextWriter {
    pub(crate) fn new(stops: Stops, drops_space: bool) -> Self {
        Self { stops, drops_space, bytes: Vec::new(), said: 0, characters: 0, pending: VecDeque::new() }
    }

    /// Takes a token that adds these bytes; what is certain then, and whether a stop sequence ends the answer there.
    pub(crate) fn push(&mut self, token: u32, bytes: &[u8], logprobs: Option<TokenLogprobs>) -> (Piece, bool) {
        let before = self.bytes.len();
        self.pending.push_back((before, token, logprobs));
        let bytes = if self.drops_space && before == 0 { bytes.strip_prefix(b" ").unwrap_or(bytes) } else { bytes };
        self.drops_space &= bytes.is_empty();
        self.bytes.extend_from_slice(bytes);
        match self.stop_from(before) {
            Some(cut) => {
                self.bytes.truncate(cut);
                self.pending.retain(|(start, ..)| *start < cut);
                (self.say(cut, true), true)
            }
            None => (self.say(self.bytes.len() - self.held(), false), false),
        }
    }

    /// All that is left.
    pub(crate) fn end(&mut self) -> Piece {
        let mut piece = self.say(self.bytes.len(), true);
        let offset = self.characters;
        piece.tokens.extend(self.pending.drain(..).map(|(_, token, logprobs)| Said { token, logprobs, offset }));
        piece
    }

    /// Characters that are said.
    pub(crate) fn characters(&self) -> usize {
        self.characters
    }

    /// Where the first stop sequence begins that ends behind byte `before`.
    fn stop_from(&self, before: usize) -> Option<usize> {
        let of = |stop: &String| {
            let stop = stop.as_bytes();
            let from = (before + 1).saturating_sub(stop.len()).max(self.said);
            let found = self.bytes.get(from..)?.windows(stop.len().max(1)).position(|window| window == stop);
            found.map(|at| from + at)
        };
        self.stops.iter().filter_map(of).min()
    }

    /// Bytes at the end that may be the beginning of a stop sequence.
    fn held(&self) -> usize {
        let of = |stop: &String| {
            let most = (stop.len() - 1).min(self.bytes.len() - self.said);
            (1..=most).rev().find(|n| self.bytes.ends_with(&stop.as_bytes()[..*n])).unwrap_or(0)
        };
        self.stops.iter().filter(|stop| !stop.is_empty()).map(of).max().unwrap_or(0)
    }

    /// Says the bytes up to `to`, but for a character that is not whole yet unless they are the last.
    fn say(&mut self, to: usize, is_last: bool) -> Piece {
        let mut piece = Piece::default();
        while self.said < to {
            let left = &self.bytes[self.said..to];
            let (valid, bad) = match std::str::from_utf8(left) {
                Ok(_) => (left.len(), 0),
                Err(error) => {
                    let incomplete = if is_last { left.len() - error.valid_up_to() } else { 0 };
                    (error.valid_up_to(), error.error_len().unwrap_or(incomplete))
                }
            };
            if valid + bad == 0 {
                break;
            }
            let mut text = String::from_utf8_lossy(&left[..valid]).into_owned();
            if bad > 0 {
                text.push(char::REPLACEMENT_CHARACTER);
            }
            self.place(&text, valid, valid + bad, &mut piece.tokens);
            self.said += valid + bad;
            self.characters += text.chars().count();
            piece.text += &text;
        }
        piece
    }

    /// Places the tokens that begin in the next `len` bytes, which are `text`: of these `valid` are as they came, and the rest is
    /// one character.
    fn place(&mut self, text: &str, valid: usize, len: usize, tokens: &mut Vec<Said>) {
        while let Some((start, ..)) = self.pending.front()
            && *start < self.said + len
        {
            let at = (*start - self.said).min(valid);
            let begun = text.char_indices().take_while(|(i, _)| *i <= at).count();
            let Some((_, token, logprobs)) = self.pending.pop_front() else { return };
            tokens.push(Said { token, logprobs, offset: self.characters + begun.saturating_sub(1) });
        }
    }
}

/// A whole text at once, and where each of its tokens begins, in characters.
pub(crate) fn of_all<'b>(tokens: impl Iterator<Item = &'b [u8]>) -> (String, Vec<usize>) {
    let mut writer = TextWriter::new(Arc::new([]), false);
    let (mut text, mut offsets) = (String::new(), Vec::new());
    let pieces = tokens.map(|bytes| writer.push(0, bytes, None).0).collect::<Vec<_>>();
    for piece in pieces.into_iter().chain([writer.end()]) {
        text += &piece.text;
        offsets.extend(piece.tokens.iter().map(|said| said.offset));
    }
    (text, offsets)
}

#[cfg(test)]
mod tests {
    use tunebench_spec::random::Stream;

    use super::*;

    /// What is said of tokens with these bytes, piece by piece, and whether a stop sequence ended it.
    fn written(stops: &[&str], tokens: &[&[u8]]) -> (Vec<String>, Vec<(u32, usize)>, bool) {
        let stops: Vec<String> = stops.iter().map(ToString::to_string).collect();
        let mut writer = TextWriter::new(stops.into(), false);
        let (mut texts, mut places) = (Vec::new(), Vec::new());
        let mut note = |piece: Piece| {
            texts.push(piece.text);
            places.extend(piece.tokens.into_iter().map(|said| (said.token, said.offset)));
        };
        for (token, bytes) in (0..).zip(tokens) {
            let (piece, is_end) = writer.push(token, bytes, None);
            note(piece);
            if is_end {
                return (texts, places, true);
            }
        }
        note(writer.end());
        (texts, places, false)
    }

    #[test]
    fn a_stop_sequence_is_held_back_until_it_is_none() {
        for (stops, tokens, want, places, is_stopped) in [
            (&[][..], &[&b"a"[..], b"b"][..], &["a", "b", ""][..], &[(0, 0), (1, 1)][..], false),
            (&["\n"], &[b"a", b"\n", b"b"], &["a", ""], &[(0, 0)], true),
            (&["END"], &[b"aE", b"N", b"d"], &["a", "", "ENd", ""], &[(0, 0), (1, 2), (2, 3)], false),
            (&["END"], &[b"aE", b"N", b"D b"], &["a", "", ""], &[(0, 0)], true),
            (&["END"], &[b"aE", b"N"], &["a", "", "EN"], &[(0, 0), (1, 2)], false),
            (&["bc", "abcd"], &[b"ab", b"c"], &["", "a"], &[(0, 0)], true),
            (&["aab"], &[b"a", b"a", b"a", b"b"], &["", "", "a", ""], &[(0, 0)], true),
            (&["a"], &[b"a"], &[""], &[], true),
            (&["x", "y"], &[b"1y2x"], &["1"], &[(0, 0)], true),
            (&["是"], &[b"a\xe6", b"\x98", b"\xaf"], &["a", "", ""], &[(0, 0)], true),
            (&["是"], &[b"a\xe6", b"\x98", b"\xae"], &["a", "", "昮", ""], &[(0, 0), (1, 1), (2, 1)], false),
        ] {
            assert_eq!(
                written(stops, tokens),
                (want.iter().map(ToString::to_string).collect(), places.to_vec(), is_stopped)
            );
        }
    }

    #[test]
    fn characters_are_whole_and_what_is_none_is_replaced() {
        let (texts, places, _) = written(&[], &[b"\xf0\x9f", b"\x98", b"\x80", b"", b"!", b"\xff", b"\xe6\x98"]);
        assert_eq!(texts, ["", "", "😀", "", "!", "\u{fffd}", "", "\u{fffd}"]);
        assert_eq!(places, [(0, 0), (1, 0), (2, 0), (3, 1), (4, 1), (5, 2), (6, 3)]);
    }

    #[test]
    fn however_bytes_are_cut_the_text_is_that_of_all_at_once() {
        for key in 0..2000 {
            let mut stream = Stream::new(key, &[7]);
            let source = "a是😀 é\n".as_bytes();
            let mut bytes: Vec<u8> = (0..stream.below(12))
                .flat_map(|_| {
                    let from = stream.below(source.len() as u64) as usize;
                    source[from..(from + 1 + stream.below(4) as usize).min(source.len())].to_vec()
                })
                .collect();
            if stream.below(3) == 0 {
                bytes.extend("是\n".as_bytes());
            }
            let mut tokens: Vec<&[u8]> = Vec::new();
            let mut left = &bytes[..];
            while !left.is_empty() {
                let (token, rest) = left.split_at(stream.below(4).min(left.len() as u64) as usize);
                tokens.push(token);
                left = rest;
            }
            let (text, offsets) = of_all(tokens.iter().copied());
            assert_eq!(text, String::from_utf8_lossy(&bytes));
            assert_eq!(offsets.len(), tokens.len());
            assert!(offsets.is_sorted() && offsets.iter().all(|offset| *offset <= text.chars().count()));
            let stops = ["是\n", "\n"];
            let (texts, _, is_stopped) = written(&stops, &tokens);
            let cut = (0..bytes.len()).find(|at| stops.iter().any(|stop| bytes[*at..].starts_with(stop.as_bytes())));
            assert_eq!(is_stopped, cut.is_some());
            assert_eq!(texts.concat(), String::from_utf8_lossy(&bytes[..cut.unwrap_or(bytes.len())]), "{bytes:?}");
        }
    }
}
