//! Marks without a heading: a reply that is a number and no more, or a number with its reason behind it.

use crate::mark::Mark;
use crate::number::{Number, number, skip_wrapping};
use crate::scale::Scale;
use crate::text::{GAP, is_decoration, skip, word_at};
use crate::words::REASONS;

/// The mark of a reply that is nothing else.
pub fn whole(text: &[char], scale: Scale) -> Option<Mark> {
    let (at, found) = first(text)?;
    let rest = skip(text, found.end, |c| is_around(c) || matches!(c, '.' | '。'));
    (rest >= text.len()).then(|| Mark::of_number(text, at, at, found, None, scale))
}

/// The mark with which a reply begins, when the word `reason` follows it.
pub fn with_reason(text: &[char], scale: Scale) -> Option<Mark> {
    let (at, found) = first(text)?;
    let next = skip(text, found.end, |c| is_around(c) || matches!(c, '.' | '。' | ',' | ';'));
    // `1. Reason:` is an item of a list.
    let is_item = found.bare_integer && matches!(text.get(found.end), Some('.' | '、' | ')'));
    let is_apart = !is_item && text.get(found.end..next)?.iter().any(|c| !is_decoration(*c));
    (is_apart && word_at(text, next, REASONS).is_some()).then(|| Mark::of_number(text, at, at, found, None, scale))
}

fn first(text: &[char]) -> Option<(usize, Number)> {
    let at = skip_wrapping(text, skip(text, 0, |c| is_around(c) && c != '\\'));
    // What was taken out before a number may have been its heading.
    let is_first = !text.get(..at)?.contains(&GAP);
    is_first.then(|| number(text, at))?.and_then(Result::ok).map(|found| (at, found))
}

fn is_around(c: char) -> bool {
    c.is_whitespace() || is_decoration(c) || matches!(c, '(' | ')')
}
