//! Text to tokens where some text is to be trusted and some is not: a template may write a tokenizer's added tokens, such as
//! `<|im_start|>`, by their text; a message that holds the same text is read letter by letter.
//!
//! Most messages hold nothing of the kind, and stand in the text as they are. Where one does, a mark, a character that stands nowhere else, tells one from the other: it is put inside whatever in a message could be
//! read as an added token, and at the ends of the message, so that nothing outside can complete one. Marks are taken out
//! again before text becomes tokens, and there such a text is cut into two behind its first letter, so that the tokenizer
//! never sees it whole.

use std::collections::{BTreeMap, BTreeSet};

use tokenizers::AddedToken;
use tunebench_spec::escape;

use crate::tokenizer;

/// An added token as text.
#[derive(Clone, Debug)]
struct Added {
    id: u32,
    text: String,
    is_special: bool,
    /// Whether white space before it belongs to it, and white space behind it.
    takes_before: bool,
    takes_behind: bool,
}

/// A tokenizer with what it finds in a text before anything else.
#[derive(Clone, Debug)]
pub struct AddedTokens {
    inner: tokenizers::Tokenizer,
    /// What only a template may write, the longest first.
    added: Vec<Added>,
    /// Places in `added` of those that begin with a letter.
    by_first: BTreeMap<char, Vec<usize>>,
    /// Numbers of the special ones: they begin and end turns, and are no text.
    special: BTreeSet<u32>,
    /// What a text that the vocabulary does not have is read as, special or not.
    unknown: Option<u32>,
    /// A special token that takes nothing of what stands behind it: its number and text.
    anchor: Option<(u32, String)>,
}

/// A token of a text, and how many of the text's cuts stand before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    pub id: u32,
    pub cuts_before: usize,
}

/// A piece of a conversation, in bytes of the marked text.
enum Piece<'t> {
    Token { token: &'t Added, at: usize },
    Text { from: usize, to: usize },
}

/// A token of plain text, and where it stands in it.
struct Placed {
    id: u32,
    from: usize,
    to: usize,
}

impl AddedTokens {
    /// Only a template may write those added tokens that `is_control` says.
    pub fn new(inner: &tokenizers::Tokenizer, is_control: impl Fn(u32, &AddedToken) -> bool) -> Self {
        let all = inner.get_added_tokens_decoder();
        let special = all.iter().filter(|(_, token)| token.special).map(|(id, _)| *id).collect();
        let control = all.into_iter().filter(|(id, token)| !token.content.is_empty() && is_control(*id, token));
        let mut added: Vec<Added> = control
            .map(|(id, token)| Added {
                id,
                text: token.content,
                is_special: token.special,
                takes_before: token.lstrip,
                takes_behind: token.rstrip,
            })
            .collect();
        added.sort_by(|a, b| b.text.len().cmp(&a.text.len()).then(a.id.cmp(&b.id)));
        let mut by_first: BTreeMap<char, Vec<usize>> = BTreeMap::new();
        for (place, token) in added.iter().enumerate() {
            by_first.entry(token.text.chars().next().unwrap_or_default()).or_default().push(place);
        }
        let mut inner = inner.clone();
        inner.set_encode_special_tokens(false);
        let is_anchor = |token: &&Added| {
            let behind = inner.encode_fast(format!("{}a", token.text), false);
            token.is_special
                && !token.takes_behind
                && behind.is_ok_and(|found| found.get_ids().first() == Some(&token.id))
        };
        let anchor = added.iter().find(is_anchor).map(|token| (token.id, token.text.clone()));
        let unknown = tokenizer::unknown(&inner);
        Self { inner, added, by_first, special, unknown, anchor }
    }

    /// Whether it is a special token, which is no part of a text.
    pub fn is_special(&self, id: u32) -> bool {
        self.special.contains(&id)
    }

    /// Whether only a template may write it.
    pub fn is_control(&self, id: u32) -> bool {
        self.added.iter().any(|token| token.id == id)
    }

    /// The tokens that only a template may write and that stand in this text.
    pub fn within(&self, text: &str) -> Vec<u32> {
        let ids = self.pieces(text).into_iter().filter_map(|piece| match piece {
            Piece::Token { token, .. } => Some(token.id),
            Piece::Text { .. } => None,
        });
        ids.collect()
    }

    /// Whether any of a message's text could be read as such a token, or could make one with what stands beside it.
    pub fn is_dangerous(&self, text: &str) -> bool {
        let inside = text.trim();
        !inside.is_empty() && (self.holds(inside) || self.added.iter().any(|token| touches(&token.text, inside)))
    }

    /// `text` with `mark` where it could be read as such a token, and around it but for white space, which a template may
    /// trim.
    pub fn marked(&self, text: &str, mark: char) -> String {
        let inside = text.trim();
        if inside.is_empty() {
            return text.to_owned();
        }
        let start = text.len() - text.trim_start().len();
        let mut out = String::with_capacity(text.len() + 8);
        out.push_str(&text[..start]);
        out.push(mark);
        let mut from = 0;
        for cut in self.cuts(inside) {
            out.push_str(&inside[from..cut]);
            out.push(mark);
            from = cut;
        }
        out.push_str(&inside[from..]);
        out.push(mark);
        out.push_str(&text[start + inside.len()..]);
        out
    }

    /// The tokens of a text that may hold marks, told apart at `cuts`, places in it in rising order. What stands before a
    /// cut is tokenized as if it stood alone.
    ///
    /// # Errors
    /// When the tokenizer makes no tokens of it, or makes special ones of what is no template's.
    pub fn encode(&self, marked: &str, mark: char, cuts: &[usize]) -> Result<Vec<Cut>, String> {
        let mut found: Vec<Cut> = Vec::new();
        for piece in self.pieces(marked) {
            match piece {
                Piece::Token { token, at } => {
                    found.push(Cut { id: token.id, cuts_before: cuts.partition_point(|cut| *cut <= at) });
                }
                Piece::Text { from, to } => {
                    let before = cuts.partition_point(|cut| *cut <= from);
                    let inside = &cuts[before..cuts.partition_point(|cut| *cut < to).max(before)];
                    let plain = |text: &str| text.chars().filter(|c| *c != mark).collect::<String>();
                    let joints: Vec<usize> = inside.iter().map(|cut| plain(&marked[from..*cut]).len()).collect();
                    self.encode_cut(&plain(&marked[from..to]), &joints, before, &mut found)?;
                }
            }
        }
        Ok(found)
    }

    /// The token that stands first in a text, but for white space, if only a template may write it.
    pub fn leading(&self, text: &str) -> Option<(u32, &str)> {
        let text = text.trim_start();
        self.added.iter().find(|token| text.starts_with(&token.text)).map(|token| (token.id, token.text.as_str()))
    }

    /// Cuts a text at the added tokens in it.
    fn pieces<'t>(&'t self, text: &str) -> Vec<Piece<'t>> {
        let mut pieces = Vec::new();
        let (mut from, mut at) = (0, 0);
        while at < text.len() {
            let Some(token) = self.starting(&text[at..]).next() else {
                at += text[at..].chars().next().map_or(1, char::len_utf8);
                continue;
            };
            let before = &text[from..at];
            let kept = if token.takes_before { before.trim_end().len() } else { before.len() };
            pieces.push(Piece::Text { from, to: from + kept });
            pieces.push(Piece::Token { token, at });
            at += token.text.len();
            if token.takes_behind {
                at = text.len() - text[at..].trim_start().len();
            }
            from = at;
        }
        pieces.push(Piece::Text { from, to: text.len() });
        pieces
    }

    /// Adds the tokens of a text that holds none of the added ones, told apart at `joints`.
    fn encode_cut(&self, text: &str, joints: &[usize], before: usize, found: &mut Vec<Cut>) -> Result<(), String> {
        let placed = self.placed(text, !found.is_empty())?;
        let Some((&first, rest)) = joints.split_first() else {
            found.extend(placed.iter().map(|token| Cut { id: token.id, cuts_before: before }));
            return Ok(());
        };
        // One text as Hugging Face tokenizes it, where each part then begins with the very tokens that it has alone.
        let stands_alone = |joint: &usize| -> Result<bool, String> {
            let count = placed.iter().take_while(|token| token.to <= *joint).count();
            let alone = self.placed(&text[..*joint], !found.is_empty())?;
            Ok(placed[count..].iter().all(|token| token.from >= *joint)
                && alone.iter().map(|token| token.id).eq(placed[..count].iter().map(|token| token.id)))
        };
        let mut all = true;
        for joint in joints {
            all &= stands_alone(joint)?;
        }
        if all {
            let place = |token: &Placed| before + joints.partition_point(|joint| *joint < token.to);
            found.extend(placed.iter().map(|token| Cut { id: token.id, cuts_before: place(token) }));
            return Ok(());
        }
        let head = self.placed(&text[..first], !found.is_empty())?;
        found.extend(head.iter().map(|token| Cut { id: token.id, cuts_before: before }));
        let mut from = first;
        for (passed, to) in rest.iter().copied().chain([text.len()]).enumerate() {
            let part = self.continued(&text[from..to])?;
            found.extend(part.into_iter().map(|id| Cut { id, cuts_before: before + 1 + passed }));
            from = to;
        }
        Ok(())
    }

    /// The tokens of text that goes on from other text: without the space that some tokenizers put before any.
    fn continued(&self, text: &str) -> Result<Vec<u32>, String> {
        const BEFORE: &str = "\n";
        let ids = |text: &str| -> Result<Vec<u32>, String> {
            Ok(self.placed(text, true)?.into_iter().map(|token| token.id).collect())
        };
        let (before, whole) = (ids(BEFORE)?, ids(&format!("{BEFORE}{text}"))?);
        match whole.strip_prefix(before.as_slice()) {
            Some(rest) if !before.is_empty() => Ok(rest.to_vec()),
            _ => ids(text),
        }
    }

    /// The tokens of a text that holds none of the added ones, with their places. `has_before` says whether anything stands
    /// before it.
    fn placed(&self, text: &str, has_before: bool) -> Result<Vec<Placed>, String> {
        let mut found = Vec::new();
        let mut from = 0;
        for to in self.cuts(text).into_iter().chain([text.len()]) {
            self.encode_part(text, (from, to), has_before || from > 0, &mut found)?;
            from = to;
        }
        Ok(found)
    }

    fn encode_part(
        &self,
        text: &str,
        (from, to): (usize, usize),
        has_before: bool,
        found: &mut Vec<Placed>,
    ) -> Result<(), String> {
        let part = &text[from..to];
        if part.is_empty() {
            return Ok(());
        }
        // What stands behind a token is not the beginning of a text, before which many tokenizers put a space.
        let anchor = self.anchor.as_ref().filter(|_| has_before);
        let skipped = anchor.map_or(0, |(_, text)| text.len());
        let whole = anchor.map_or_else(|| part.to_owned(), |(_, text)| format!("{text}{part}"));
        let encoding = self.inner.encode(whole, false).map_err(|e| format!("tokenizer: {e}"))?;
        let (ids, offsets) = (encoding.get_ids(), encoding.get_offsets());
        let first = usize::from(anchor.is_some_and(|(id, _)| ids.first() == Some(id)));
        for (id, (start, end)) in ids.iter().zip(offsets).skip(first) {
            if self.is_special(*id) && self.is_control(*id) && self.unknown != Some(*id) {
                let token = self.inner.id_to_token(*id).unwrap_or_default();
                return Err(format!("a message holds what the tokenizer reads as `{}`", escape::line(&token)));
            }
            let place = |at: &usize| (from + at.saturating_sub(skipped)).min(to);
            found.push(Placed { id: *id, from: place(start), to: place(end) });
        }
        Ok(())
    }

    /// The tokens with which a text begins, the longest first.
    fn starting<'a, 't>(&'a self, text: &'t str) -> impl Iterator<Item = &'a Added> + use<'a, 't> {
        let places = text.chars().next().and_then(|first| self.by_first.get(&first));
        places.into_iter().flatten().map(|place| &self.added[*place]).filter(|token| text.starts_with(&token.text))
    }

    fn holds(&self, text: &str) -> bool {
        text.char_indices().any(|(at, _)| self.starting(&text[at..]).next().is_some())
    }

    /// Behind the first letter of everything in `text` that could be read as an added token. A token of one letter cannot
    /// be cut; if it is special, its text is refused.
    fn cuts(&self, text: &str) -> Vec<usize> {
        let cut = |(at, first): (usize, char)| {
            let behind = at + first.len_utf8();
            let mut tokens = self.starting(&text[at..]);
            tokens.any(|token| token.text.len() > first.len_utf8()).then_some(behind)
        };
        text.char_indices().filter_map(cut).collect()
    }
}

/// Whether a text ends as a token begins, or begins as one ends, so that what stands beside it could complete the token; or
/// stands whole inside of one.
fn touches(token: &str, text: &str) -> bool {
    let mut inner = token.char_indices().skip(1).map(|(at, _)| at);
    inner.any(|at| text.ends_with(&token[..at]) || text.starts_with(&token[at..])) || token.contains(text)
}
