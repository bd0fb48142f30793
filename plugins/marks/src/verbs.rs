//! Marks behind a verb, with a unit or a full mark: `因此给0.8分`, `I would rate this answer 8/10`.

use crate::before::{before, is_claimed, is_not_given, is_within_quotation};
use crate::behind::{Ending, may_end};
use crate::headed::heading_at;
use crate::mark::Mark;
use crate::number::{Odd, number};
use crate::scale::{Scale, same};
use crate::surroundings::{BEFORE, GIVERS};
use crate::text::{has_any, is_at, is_digit_at, skip_decoration, skip_spaces, word_at, word_before};
use crate::words::{OBJECTS, Rank, VERBS};

/// The marks behind verbs, in order. A verb needs to be told whose mark it gives, and where other amounts of points
/// stand in the reply nobody knows whether it is a part's: `推导正确，得0.5分；结论正确，再得0.3分`.
pub fn marks(text: &[char], scale: Scale) -> Vec<Mark> {
    let mut marks: Vec<Mark> = (0..text.len()).filter_map(|at| mark(text, at, scale)).collect();
    let amounts = amounts(text, scale);
    for mark in &mut marks {
        let Ok(share) = mark.share.clone() else { continue };
        if amounts.iter().any(|amount| !amount.is_some_and(|amount| same(amount, share))) {
            let shown = mark.shown.clone();
            *mark = Mark { share: Err(crate::fault::Fault::Unclear(shown)), ..mark.clone() };
        }
    }
    marks
}

fn mark(text: &[char], at: usize, scale: Scale) -> Option<Mark> {
    let (verb, end) = word_at(text, at, VERBS)?;
    if heading_at(text, at).is_some() {
        return None;
    }
    let number_at = behind_objects(text, end);
    let found = number(text, number_at)?.ok().filter(|found| found.is_measured)?;
    let before = before(text, at).filter(|before| before.has_owner || before.is_final)?;
    let giver_end = at - text.get(..at)?.iter().rev().take_while(|c| **c == ' ').count();
    // `模型给1分` is a claim, `模型得1分` is not.
    let is_claim = is_claimed(text, found.end) || (verb != "得" && word_before(text, giver_end, GIVERS).is_some());
    if is_claim || is_not_given(text, at, before) || is_within_quotation(text, at, found.end) {
        return None;
    }
    let rank = if before.is_final { Rank::Final } else { Rank::Verb };
    let mark = Mark::of_number(text, at, number_at, found, before.full, scale);
    let share = mark.share.clone().unwrap_or_default();
    // `I give 1 point for the first step`
    let is_for_something =
        word_at(text, skip_decoration(text, found.end), &["for", "with", "on this", "the", "this", "it"]);
    let ends = is_for_something.is_none() && may_end(text, found.end, Ending { share, bare_integer: false, scale });
    if mark.share.is_ok() && !ends {
        return Some(Mark::unread(text, at, number_at..found.end, Odd::Unclear).ranked(rank, before.corrects));
    }
    Some(mark.ranked(rank, before.corrects))
}

/// Behind the words that say what is marked: `给这个回答`, `rate this answer a`.
fn behind_objects(text: &[char], end: usize) -> usize {
    let mut at = skip_decoration(text, end);
    while let Some((_, after)) = word_at(text, at, OBJECTS).or_else(|| word_at(text, at, BEFORE)) {
        at = skip_decoration(text, after);
    }
    at
}

/// The shares of all amounts of points in a text but full marks and what is taken off; none for one off the scale.
fn amounts(text: &[char], scale: Scale) -> Vec<Option<f64>> {
    const TAKEN_OFF: &[&str] = &["扣", "扣除", "扣了", "减", "减去", "满分", "满分为", "满分是", "/"];
    let begins = |at: &usize| {
        let before = at.checked_sub(1).and_then(|at| text.get(at));
        is_digit_at(text, *at) && !before.is_some_and(|c| c.is_ascii_digit() || *c == '.')
    };
    let amount = |at: usize| {
        let found = number(text, at)?.ok()?;
        let has_unit = text.get(at..found.end)?.contains(&'分') || is_at(text, skip_spaces(text, found.end), "分");
        let start = text.get(..at)?.iter().rposition(|c| *c != ' ').map_or(0, |i| i + 1);
        let is_off =
            word_before(text, start, TAKEN_OFF).is_some() || has_any(text, at.saturating_sub(3)..at, &["满分"]);
        (has_unit && !is_off).then(|| scale.share(found.value, found.of, "").ok())
    };
    (0..text.len()).filter(begins).filter_map(amount).collect()
}
