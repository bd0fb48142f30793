//! What stands behind a mark: only what leaves no doubt that the mark ends there and is one.

use crate::doubts::{ALTERNATIVES, BAD, DOUBTS, GOOD, NOT_BAD};
use crate::number::{number, range, scale_within};
use crate::scale::{Of, Scale, same};
use crate::text::{
    GAP, ends_sentence, has_any, is_at, is_decoration, is_digit_at, is_han, line_end, skip, skip_decoration,
    skip_spaces, tag_at, word_at,
};
use crate::words::{ENGLISH_BEHIND, HAN_BEHIND};

/// A mark whose end is looked at.
#[derive(Clone, Copy)]
pub struct Ending {
    /// From 0 to 1.
    pub share: f64,
    pub bare_integer: bool,
    pub scale: Scale,
}

/// Whether a mark may end at `end`. All that is not known to be harmless is not.
pub fn may_end(text: &[char], end: usize, mark: Ending) -> bool {
    let mut at = end;
    loop {
        let spaced = skip_decoration(text, at);
        let is_apart = text.get(at..spaced).unwrap_or_default().contains(&' ');
        at = spaced;
        let Some(sign) = text.get(at).copied() else { return true };
        if at > end
            && let Some((_, after)) = tag_at(text, at - 1)
        {
            // What an element holds ends with it.
            return !text.get(after).is_some_and(|c| c.is_ascii_digit() || matches!(c, '%' | '/' | '.'));
        }
        match sign {
            '\n' => return !goes_on_below(text, at + 1),
            '(' => match behind_bracket(text, at, mark) {
                Some(after) => at = after,
                None => return false,
            },
            ')' if mark.bare_integer && !has_open_bracket(text, end) => return false,
            ')' => at += 1,
            '|' => return !is_digit_at(text, skip_decoration(text, at + 1)),
            GAP => return false,
            '。' | '!' | ';' | ',' | '、' | '.' | ':' | '-' | '—' | '–' => {
                return may_go_on(text, at, sign, mark);
            }
            '?' => return false,
            _ if is_han(sign) => return word_at(text, at, HAN_BEHIND).is_some(),
            _ if sign.is_ascii_alphabetic() => return is_apart && word_at(text, at, ENGLISH_BEHIND).is_some(),
            _ => return false,
        }
    }
}

/// Behind a mark and a sign of punctuation: no second number that makes it a range or a list, no list item whose
/// number the mark is, no other mark offered.
fn may_go_on(text: &[char], at: usize, sign: char, mark: Ending) -> bool {
    let next = skip_spaces(text, at + 1);
    let goes_on_with_number = is_digit_at(text, next)
        || (matches!(text.get(next), Some('-' | '+' | '.')) && is_digit_at(text, next + 1))
        || text.get(next) == Some(&GAP);
    match sign {
        // A full stop in the place of a point, and a point apart from its digits.
        '。' | '!' => !is_digit_at(text, at + 1),
        '.' if is_digit_at(text, next) || text.get(at + 1) == Some(&'.') => false,
        '.' => !(mark.bare_integer && lists_on(text, at)),
        '、' if mark.bare_integer => false,
        // `评分1：逻辑清晰` names a criterion.
        ':' => false,
        '-' | '—' | '–' if word_at(text, next, &["half", "a", "one", "two", "半"]).is_some() => false,
        _ => !goes_on_with_number && !offers_another(text, next, sentence_end(text, next)),
    }
}

/// Whether the item `2.` of a list follows on the same line or begins a later one.
fn lists_on(text: &[char], at: usize) -> bool {
    (at..text.len()).any(|i| {
        let is_item = is_at(text, i, "2.") || is_at(text, i, "2、") || is_at(text, i, "2)");
        let is_alone = i.checked_sub(1).and_then(|i| text.get(i)).is_some_and(|c| !c.is_ascii_digit() && *c != '.');
        is_item && is_alone && !is_digit_at(text, i + 2)
    })
}

fn sentence_end(text: &[char], from: usize) -> usize {
    (from..text.len()).find(|i| ends_sentence(text, *i)).unwrap_or(text.len())
}

/// Whether a part of the text offers another number, or takes one off: `0.8，也可以是0.9`, `1, minus 0.5`.
fn offers_another(text: &[char], from: usize, end: usize) -> bool {
    const NEAR: usize = 8;
    (from..end).any(|at| {
        word_at(text, at, ALTERNATIVES)
            .or_else(|| word_at(text, at, &["minus", "减去", "减", "less"]))
            .is_some_and(|(_, stop)| (stop..(stop + NEAR).min(end)).any(|i| is_digit_at(text, i)))
    })
}

/// Whether the next line that is not blank is a number and no more, or goes on as a number does: `/10`.
fn goes_on_below(text: &[char], from: usize) -> bool {
    let start = skip_decoration(text, skip(text, from, |c| c.is_whitespace()));
    if matches!(text.get(start), Some('/' | '%')) {
        return true;
    }
    let Some(Ok(found)) = number(text, start) else { return false };
    let end = skip(text, found.end, |c| c == ' ' || is_decoration(c));
    end >= line_end(text, start)
}

fn has_open_bracket(text: &[char], end: usize) -> bool {
    let before = text.get(..end).unwrap_or_default();
    let line = before.iter().rposition(|c| *c == '\n').map_or(0, |at| at + 1);
    let count = |sign| before.get(line..).unwrap_or_default().iter().filter(|c| **c == sign).count();
    count('(') > count(')')
}

/// Behind the bracket that opens at `at`, if what it holds leaves the mark what it is: words that do not contradict
/// it, the scale, or the same mark again.
fn behind_bracket(text: &[char], at: usize, mark: Ending) -> Option<usize> {
    let end = line_end(text, at);
    let close = (at..end).find(|i| text.get(*i) == Some(&')'))?;
    let inside = skip_decoration(text, at + 1);
    let is_whole = |stop: usize| skip_decoration(text, stop) == close;
    if let Some((of, stop)) = scale_within(text, inside)
        && is_whole(stop)
    {
        return (of == Of::Full(mark.scale.high)).then_some(close + 1);
    }
    if let Some((low, high, stop)) = range(text, inside)
        && is_whole(stop)
    {
        return mark.scale.is_range(low, high).then_some(close + 1);
    }
    match number(text, inside) {
        Some(Ok(found)) if is_whole(found.end) => {
            let share = mark.scale.share(found.value, found.of, "").ok()?;
            same(share, mark.share).then_some(close + 1)
        }
        Some(_) => None,
        None => {
            let says = |words| has_any(text, at..close, words);
            let is_contradicted =
                (same(mark.share, 1.0) && says(BAD) && !says(NOT_BAD)) || (same(mark.share, 0.0) && says(GOOD));
            let is_doubted = says(DOUBTS) || offers_another(text, at, close) || text.get(at..close)?.contains(&GAP);
            (!is_contradicted && !is_doubted).then_some(close + 1)
        }
    }
}
