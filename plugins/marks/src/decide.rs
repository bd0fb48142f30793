//! Which of a reply's marks counts: the last of those that are said to be final or to correct, else the only one.

use crate::before::section;
use crate::doubts::{CORRECTIONS, DEDUCTIONS, REFUSALS};
use crate::fault::Fault;
use crate::mark::Mark;
use crate::other_scale;
use crate::scale::{Scale, same};
use crate::text::{ends_sentence, is_decoration, line_end, shown, skip, word_at};
use crate::words::Rank;

/// The mark that counts, from 0 to 1, of all that were found, in order. `all` is the reply before anything but quotations was
/// taken out.
///
/// # Errors
/// [`Fault`] when none counts, or more than one that differ.
pub fn decide(all: &[char], text: &[char], marks: &[Mark], scale: Scale, cut_off: bool) -> Result<f64, Fault> {
    let missing = if cut_off { Fault::CutOff } else { Fault::Missing };
    let Some(last) = marks.last() else { return Err(missing) };
    if cut_off && marks.iter().any(|mark| !mark.is_closed && !is_complete(text, mark.end)) {
        return Err(Fault::CutOff);
    }
    if let Some(at) = correction_in(text, last.end, text.len()) {
        return Err(Fault::TakenBack(shown(text, at..text.len())));
    }
    let counting = counting(text, marks);
    let is_mark = |number: &str| counting.iter().any(|mark| mark.shown == number);
    let is_unmeasured = counting.iter().any(|mark| mark.is_unmeasured);
    let is_scale_doubted = is_unmeasured && other_scale::is_named(all, scale, is_mark);
    let mut found: Option<(&Mark, f64)> = None;
    for mark in counting {
        let share = mark.share.clone()?;
        if mark.is_unmeasured && is_scale_doubted {
            return Err(Fault::Unclear(mark.shown.clone()));
        }
        match found {
            Some((first, other)) if !same(share, other) => {
                return Err(Fault::Differing(first.shown.clone(), mark.shown.clone()));
            }
            Some(_) => {}
            None => found = Some((mark, share)),
        }
    }
    let (mark, share) = found.ok_or(missing)?;
    if let Some(at) = contradiction(all, share) {
        return Err(Fault::Unclear(shown(all, at..line_end(all, at))));
    }
    if is_of_parts(text, counting) {
        return Err(Fault::Unclear(mark.shown.clone()));
    }
    Ok(share)
}

/// From the last correction on; of these, from the first final one on.
fn counting<'m>(text: &[char], marks: &'m [Mark]) -> &'m [Mark] {
    let corrects = |at: &usize| {
        let (Some(mark), Some(previous)) = (marks.get(*at), at.checked_sub(1).and_then(|at| marks.get(at))) else {
            return false;
        };
        mark.corrects || (previous.end < mark.start && correction_in(text, previous.end, mark.start).is_some())
    };
    let from = (0..marks.len()).rev().find(corrects).unwrap_or(0);
    let marks = marks.get(from..).unwrap_or_default();
    let first_final = marks.iter().position(|mark| mark.rank == Rank::Final).unwrap_or(0);
    marks.get(first_final..).unwrap_or_default()
}

/// Where a sentence or a line within a range begins with a word of correction.
fn correction_in(text: &[char], from: usize, to: usize) -> Option<usize> {
    let begins = |at: &usize| {
        let sign = at.checked_sub(1).and_then(|at| text.get(at));
        *at == from || at.checked_sub(1).is_some_and(|at| ends_sentence(text, at)) || matches!(sign, Some(',' | ';'))
    };
    (from..to).filter(begins).find_map(|at| {
        let start = skip(text, at, |c| c == ' ' || is_decoration(c) || matches!(c, '-' | '(' | '。' | ',' | '\n'));
        word_at(text, start, CORRECTIONS).filter(|_| start < to).map(|_| start)
    })
}

/// Where a reply says that it gives no mark, or takes points off the best one.
fn contradiction(all: &[char], share: f64) -> Option<usize> {
    (0..all.len()).find(|at| {
        let takes_off = || {
            let (_, end) = word_at(all, *at, DEDUCTIONS)?;
            let number = skip(all, end, |c| matches!(c, ' ' | ':' | '了' | '掉' | '为'));
            let digits = all.get(number..)?.iter().take_while(|c| c.is_ascii_digit() || **c == '.');
            digits.collect::<String>().parse::<f64>().ok().filter(|points| *points > 0.0)
        };
        word_at(all, *at, REFUSALS).is_some() || (same(share, 1.0) && takes_off().is_some())
    })
}

/// Whether a mark is surely complete in a reply that was cut off: a sentence or a line ends behind it, and words
/// follow.
fn is_complete(text: &[char], end: usize) -> bool {
    let ends = (end..text.len()).find(|i| ends_sentence(text, *i));
    ends.is_some_and(|at| text.get(at + 1..).unwrap_or_default().iter().any(|c| c.is_alphanumeric()))
}

/// Whether marks stand under titles of their own, and none is said to be final: they are of parts.
fn is_of_parts(text: &[char], marks: &[Mark]) -> bool {
    if marks.iter().any(|mark| mark.rank == Rank::Final) {
        return false;
    }
    let mut sections: Vec<Option<usize>> = marks.iter().map(|mark| section(text, mark.start)).collect();
    sections.dedup();
    sections.len() > 1 && sections.iter().any(Option::is_some)
}
