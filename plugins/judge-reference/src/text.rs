//! Normal forms of text: one width, one style of punctuation, white space only where it separates words.

use numbers::fold;

/// Characters of an answer shown in a reason.
const EXCERPT: usize = 40;

/// Folded; white space dropped next to anything but ASCII, one space elsewhere; no quotes around the whole and no
/// full stop behind it.
pub fn normalised(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars().map(fold) {
        if !c.is_whitespace() {
            if out.ends_with(' ') && !c.is_ascii() {
                out.pop();
            }
            out.push(c);
        } else if out.chars().next_back().is_some_and(|last| last.is_ascii() && last != ' ') {
            out.push(' ');
        }
    }
    let bare = out.trim().trim_end_matches(['.', ' ']);
    unquoted(bare).to_string()
}

fn unquoted(text: &str) -> &str {
    for quote in ['"', '\'', '`'] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|t| t.strip_suffix(quote))
            && !inner.contains(quote)
        {
            return inner.trim();
        }
    }
    text
}

/// Whether a character is a word of its own when texts are compared: Han, kana, Hangul and the like.
pub fn stands_alone(c: char) -> bool {
    c as u32 >= 0x2e80 && c.is_alphanumeric()
}

/// What overlap is counted in: each Han character, each run of other letters and digits in lower case.
/// Punctuation and white space only separate.
pub fn tokens(text: &str) -> impl Iterator<Item = String> + '_ {
    let mut chars = text.chars().map(fold).peekable();
    std::iter::from_fn(move || {
        let first = chars.by_ref().find(|c| c.is_alphanumeric())?;
        let mut token: String = first.to_lowercase().collect();
        if !stands_alone(first) {
            while let Some(c) = chars.next_if(|c| c.is_alphanumeric() && !stands_alone(*c)) {
                token.extend(c.to_lowercase());
            }
        }
        Some(token)
    })
}

/// The beginning of a text, on one line, for a reason.
pub fn excerpt(text: &str) -> String {
    let line = text.trim().replace(['\n', '\r'], " ");
    match line.char_indices().nth(EXCERPT) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
