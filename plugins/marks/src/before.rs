//! What stands before a mark: whose it is, or that it is only a part's, a condition's, or somebody else's.

use crate::doubts::{CLAIMED, CORRECTIONS};
use crate::number::{full_number, scale_within};
use crate::scale::Of;
use crate::surroundings::{BEFORE, CONCLUDES, FINAL_BEFORE, NOT_GIVEN, OWNERS, PARTS};
use crate::text::{
    GAP, ends_sentence, has_any, is_decoration, is_digit_at, is_han, line_start, sentence_start, skip_decoration,
    word_at, word_before,
};
use crate::words::{FULL, HEADINGS, REASONS};

/// What the words before a heading say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Before {
    /// Where they begin.
    pub start: usize,
    /// That the mark is the last one.
    pub is_final: bool,
    /// That it replaces another.
    pub corrects: bool,
    /// Whose mark it is, or who gives it.
    pub has_owner: bool,
    /// That it concludes from what was said.
    pub concludes: bool,
    /// The full mark that stands right before: `（满分100分）得分`, `满分10分，得分`.
    pub full: Option<Of>,
}

/// Reads back from a heading at `at` to the beginning of its clause; none when other words stand there, which make
/// the heading a part's (`准确性得分`) or another thing (`平均得分`).
pub fn before(text: &[char], at: usize) -> Option<Before> {
    let mut found = Before { start: at, ..Before::default() };
    loop {
        found.start = skip_back(text, found.start);
        let Some(last) = found.start.checked_sub(1) else { return Some(found) };
        match text.get(last) {
            Some(',' | ';') => {
                found.full = found.full.or_else(|| full_that_ends(text, last));
                return Some(found);
            }
            Some(')') if is_list_mark(text, last) => return Some(found),
            Some(')') => {
                let open = text.get(..last)?.iter().rposition(|c| *c == '(')?;
                let (of, end) = scale_within(text, open + 1)?;
                if skip_decoration(text, end) != last {
                    return None;
                }
                (found.full, found.start) = (Some(of), open);
                continue;
            }
            Some('.' | '、') if is_list_mark(text, last) => return Some(found),
            Some(_) if ends_sentence(text, last) => return Some(found),
            _ => {}
        }
        if let Some((word, start)) = word_before(text, found.start, FINAL_BEFORE) {
            (found.is_final, found.start) = (true, start);
            found.has_owner |= OWNERS.contains(&word);
            continue;
        }
        let (word, start) = word_before(text, found.start, BEFORE)?;
        // `Answer A: Score` and `A回答得分` speak of one of several answers.
        let of_one = word_before(text, start, &["answer ", "response "]).is_some()
            && word_before(text, start, &["this answer ", "the answer ", "this response ", "the response "]).is_none();
        let is_name = text.get(found.start) != Some(&' ') || of_one;
        if word == "a" && is_name {
            return None;
        }
        found.has_owner |= OWNERS.iter().any(|owner| word.contains(owner));
        found.concludes |= CONCLUDES.contains(&word);
        found.corrects |= CORRECTIONS.iter().any(|correction| word.starts_with(correction));
        found.start = start;
    }
}

/// Before spaces, decoration and signs that only lead to a heading.
fn skip_back(text: &[char], end: usize) -> usize {
    let leads = |c: &char| {
        let pictogram =
            *c as u32 >= 0x2190 && !c.is_alphanumeric() && *c != GAP && !(0x3000..0x3020).contains(&(*c as u32));
        *c == ' ' || is_decoration(*c) || matches!(c, '(' | ':' | '-' | '—' | '–' | '•' | '·') || pictogram
    };
    let before = text.get(..end).unwrap_or_default();
    end - before.iter().rev().take_while(|c| leads(c)).count()
}

/// Whether the sign at `last` ends the number of a list item at the beginning of a line: `1.`, `2)`, `3、`.
fn is_list_mark(text: &[char], last: usize) -> bool {
    let number: String = text.get(line_start(text, last)..last).unwrap_or_default().iter().collect();
    let number = number.trim_start_matches([' ', '*', '#', '(', '-']);
    !number.is_empty() && number.len() <= 2 && number.chars().all(|c| c.is_ascii_digit())
}

/// The full mark that the clause before a comma names, if it says nothing else.
fn full_that_ends(text: &[char], comma: usize) -> Option<Of> {
    let clause = (0..comma).rev().find(|i| matches!(text.get(*i), Some(',' | ';')) || ends_sentence(text, *i));
    let start = skip_decoration(text, clause.map_or(0, |i| i + 1));
    let (_, end) = word_at(text, start, FULL)?;
    let (of, end) = full_number(text, end)?;
    (skip_decoration(text, end) == comma).then_some(of)
}

/// What has a number when there are several.
const NUMBERED: &[&str] = &["问题", "第", "题目", "小题", "question", "item", "part", "step", "task"];

/// Whether the sentence up to `at` makes a mark there hypothetical, somebody else's, or a part's; or a title above it
/// makes it a part's.
pub fn is_not_given(text: &[char], at: usize, before: Before) -> bool {
    let sentence = if before.concludes { before.start } else { sentence_start(text, at) }..at;
    let title = title_above(text, at);
    let is_numbered = sentence.clone().any(|i| {
        let named = word_at(text, i, NUMBERED).map(|(_, end)| skip_decoration(text, end));
        named.is_some_and(|number| number < at && is_digit_at(text, number))
    });
    is_numbered
        || has_any(text, sentence.clone(), NOT_GIVEN)
        || has_any(text, sentence, PARTS)
        || title.is_some_and(|title| has_any(text, title, PARTS))
}

/// Whether the rest of the sentence behind a mark says that it is somebody else's: `得分：1，它自称`.
pub fn is_claimed(text: &[char], end: usize) -> bool {
    let stop = (end..text.len()).find(|i| ends_sentence(text, *i)).unwrap_or(text.len());
    has_any(text, end..stop, CLAIMED)
}

/// The nearest line above that is a title, if it stands directly above but for blank lines.
fn title_above(text: &[char], at: usize) -> Option<std::ops::Range<usize>> {
    let mut end = line_start(text, at).checked_sub(1)?;
    loop {
        let start = line_start(text, end);
        if text.get(start..end)?.iter().any(|c| *c != ' ') {
            return is_title(text, start, end).then_some(start..end);
        }
        end = start.checked_sub(1)?;
    }
}

/// The title of the section that `at` is in, unless it speaks of marks or reasons.
pub fn section(text: &[char], at: usize) -> Option<usize> {
    const OF_THE_WHOLE: &[&str] = &[
        "总结",
        "结论",
        "评价",
        "最终",
        "评估",
        "summary",
        "conclusion",
        "evaluation",
        "verdict",
        "final",
        "assessment",
    ];
    let mut end = line_start(text, at).checked_sub(1)?;
    loop {
        let start = line_start(text, end);
        if is_title(text, start, end) {
            let headings: Vec<&str> = HEADINGS.iter().map(|heading| heading.0).collect();
            let neutral = [&headings, REASONS, OF_THE_WHOLE].iter().any(|words| has_any(text, start..end, words));
            return (!neutral).then_some(start);
        }
        end = start.checked_sub(1)?;
    }
}

/// A line that is a Markdown heading, all bold, a short list item, or ends in a colon.
fn is_title(text: &[char], start: usize, end: usize) -> bool {
    const SHORT: usize = 24;
    let line: String = text.get(start..end).unwrap_or_default().iter().collect();
    let line = line.trim();
    let bare = line.trim_matches(|c: char| is_decoration(c) || c == ' ');
    let is_short = bare.chars().count() <= SHORT && !bare.is_empty();
    let ends_open = bare.ends_with(':') || line.starts_with('#') || (line.starts_with("**") && line.ends_with("**"));
    let is_item =
        bare.starts_with(|c: char| c.is_ascii_digit()) && bare.chars().any(|c| c.is_alphabetic() || is_han(c));
    is_short && (ends_open || is_item)
}

/// Whether a mark stands between quotation marks of one line that also hold its heading: then it is somebody's words.
pub fn is_within_quotation(text: &[char], start: usize, end: usize) -> bool {
    const PAIRS: &[(char, char)] = &[('“', '”'), ('"', '"'), ('「', '」'), ('『', '』'), ('‘', '’'), ('《', '》')];
    let line = line_start(text, start);
    let before = text.get(line..start).unwrap_or_default();
    let behind = text.get(end..).unwrap_or_default();
    // Quotation marks around all that is said quote nobody.
    let is_mute = |part: &[char]| part.iter().all(|c| c.is_whitespace() || is_decoration(*c) || *c == '。');
    if is_mute(text.get(..start).unwrap_or_default()) && is_mute(behind) {
        return false;
    }
    let behind = behind.split(|c| *c == '\n').next().unwrap_or_default();
    PAIRS.iter().any(|(open, close)| {
        let is_open = if open == close {
            before.iter().filter(|c| *c == open).count() % 2 == 1
        } else {
            let last = |sign| before.iter().rposition(|c| c == sign);
            last(open).is_some_and(|opened| last(close).is_none_or(|closed| closed < opened))
        };
        is_open && behind.contains(close)
    })
}
