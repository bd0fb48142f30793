//! Text to tokens where some text is to be trusted and some is not: a template may write a tokenizer's added tokens, such as
//! `<|im_start|>`, by their text; a message that holds the same text is read letter by letter.
//!
//! A mark, a character that stands nowhere else, tells one from the other: it is put inside whatever in a message could be
//! read as an added token, and at the ends of the message, so that nothing outside can complete one. Marks are taken out
//! again before text becomes tokens, and there such a text is cut into two behind its first letter, so that the tokenizer
//! never sees it whole.

use std::collections::BTreeSet;

use tunebench_spec::escape;

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
pub(crate) struct AddedTokens {
    inner: tokenizers::Tokenizer,
    /// The longest first.
    added: Vec<Added>,
    /// Numbers of the special ones: they begin and end turns, and are no text.
    special: BTreeSet<u32>,
}

/// A piece of a conversation.
enum Piece<'t> {
    Token(&'t Added),
    Text(&'t str),
}

impl AddedTokens {
    pub(crate) fn new(inner: &tokenizers::Tokenizer) -> Self {
        let mut added: Vec<Added> = inner
            .get_added_tokens_decoder()
            .into_iter()
            .filter(|(_, token)| !token.content.is_empty())
            .map(|(id, token)| Added {
                id,
                text: token.content,
                is_special: token.special,
                takes_before: token.lstrip,
                takes_behind: token.rstrip,
            })
            .collect();
        added.sort_by(|a, b| b.text.len().cmp(&a.text.len()).then(a.id.cmp(&b.id)));
        let special = added.iter().filter(|token| token.is_special).map(|token| token.id).collect();
        let mut inner = inner.clone();
        inner.set_encode_special_tokens(false);
        Self { inner, added, special }
    }

    /// Whether it is a special token, which is no part of a text.
    pub(crate) fn is_special(&self, id: u32) -> bool {
        self.special.contains(&id)
    }

    /// `text` with `mark` where it could be read as an added token, and around it but for white space, which a template may
    /// trim.
    pub(crate) fn marked(&self, text: &str, mark: char) -> String {
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

    /// The tokens of a text with marks.
    ///
    /// # Errors
    /// When the tokenizer makes no tokens of it, or makes special ones of what is no template's.
    pub(crate) fn encode(&self, marked: &str, mark: char) -> Result<Vec<u32>, String> {
        let mut ids = Vec::new();
        for piece in self.pieces(marked) {
            match piece {
                Piece::Token(token) => ids.push(token.id),
                Piece::Text(text) => {
                    let text: String = text.chars().filter(|c| *c != mark).collect();
                    self.encode_plain(&text, &mut ids)?;
                }
            }
        }
        Ok(ids)
    }

    /// The special token that stands first in a text, but for white space.
    pub(crate) fn leading_special(&self, text: &str) -> Option<u32> {
        let text = text.trim_start();
        self.added.iter().find(|token| text.starts_with(&token.text)).filter(|token| token.is_special).map(|t| t.id)
    }

    /// Cuts a text at the added tokens in it.
    fn pieces<'t>(&'t self, text: &'t str) -> Vec<Piece<'t>> {
        let mut pieces = Vec::new();
        let (mut from, mut at) = (0, 0);
        while at < text.len() {
            let Some(token) = self.added.iter().find(|token| text[at..].starts_with(&token.text)) else {
                at += text[at..].chars().next().map_or(1, char::len_utf8);
                continue;
            };
            let before = &text[from..at];
            pieces.push(Piece::Text(if token.takes_before { before.trim_end() } else { before }));
            pieces.push(Piece::Token(token));
            at += token.text.len();
            if token.takes_behind {
                at = text.len() - text[at..].trim_start().len();
            }
            from = at;
        }
        pieces.push(Piece::Text(&text[from..]));
        pieces
    }

    /// Adds the tokens of a text that holds none of the added ones.
    fn encode_plain(&self, text: &str, ids: &mut Vec<u32>) -> Result<(), String> {
        let mut from = 0;
        for to in self.cuts(text).into_iter().chain([text.len()]) {
            self.encode_part(&text[from..to], ids)?;
            from = to;
        }
        Ok(())
    }

    fn encode_part(&self, text: &str, ids: &mut Vec<u32>) -> Result<(), String> {
        if text.is_empty() {
            return Ok(());
        }
        // What stands behind a token is not the beginning of a text, before which many tokenizers put a space.
        let anchor = self.anchor().filter(|_| !ids.is_empty());
        let whole = anchor.map_or_else(|| text.to_owned(), |anchor| format!("{}{text}", anchor.text));
        let encoding = self.inner.encode_fast(whole, false).map_err(|e| format!("tokenizer: {e}"))?;
        let found = match (anchor, encoding.get_ids()) {
            (Some(anchor), [first, rest @ ..]) if *first == anchor.id => rest,
            (_, found) => found,
        };
        if let Some(id) = found.iter().find(|id| self.is_special(**id)) {
            let token = self.inner.id_to_token(*id).unwrap_or_default();
            return Err(format!("a message holds what the tokenizer reads as `{}`", escape::line(&token)));
        }
        ids.extend(found);
        Ok(())
    }

    /// A special token that takes nothing of what stands behind it.
    fn anchor(&self) -> Option<&Added> {
        self.added.iter().find(|token| token.is_special && !token.takes_behind)
    }

    /// Behind the first letter of everything in `text` that could be read as an added token. A token of one letter cannot
    /// be cut; if it is special, its text is refused.
    fn cuts(&self, text: &str) -> Vec<usize> {
        let cut = |(at, first): (usize, char)| {
            let behind = at + first.len_utf8();
            let is_token = |token: &Added| text[at..].starts_with(&token.text) && token.text.len() > first.len_utf8();
            self.added.iter().any(is_token).then_some(behind)
        };
        text.char_indices().filter_map(cut).collect()
    }
}
