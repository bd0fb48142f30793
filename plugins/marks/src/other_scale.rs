//! Whether a reply speaks of another scale than the rubric's: then nobody knows what a number alone is of.

use crate::number::{behind_copula, full_number, number, range};
use crate::scale::{Of, Scale};
use crate::text::{is_at, is_digit_at, line_end, skip, skip_decoration, skip_spaces, word_at, word_before};
use crate::words::{FULL, HEADINGS, NAMED_SCALES, SCALE_WORDS};

/// Best marks of scales that people use.
const USUAL: [f64; 3] = [5.0, 10.0, 100.0];

/// Whether words of the reply name another full mark or range; `is_mark` says whether a number, as it is written, is one
/// of its marks, for `3 out of 4` is a scale only then.
pub fn is_named(text: &[char], scale: Scale, is_mark: impl Fn(&str) -> bool) -> bool {
    (0..text.len()).any(|at| {
        let number_begins = is_digit_at(text, at) && !at.checked_sub(1).is_some_and(|before| is_part(text, before));
        let line_begins = at == 0 || text.get(at - 1) == Some(&'\n');
        (line_begins && is_part_above(text, at, scale))
            || named(text, at, scale)
            || out_of(text, at, scale, &is_mark)
            || (number_begins && numbered(text, at, scale))
    })
}

/// A line that is a name and a number, more than the best mark: parts are marked on another scale.
fn is_part_above(text: &[char], at: usize, scale: Scale) -> bool {
    let end = line_end(text, at);
    let Some(colon) = (at..end).find(|i| text.get(*i) == Some(&':')) else { return false };
    let start = skip_decoration(text, colon + 1);
    let Some(Ok(found)) = number(text, start) else { return false };
    let is_name = text.get(at..colon).unwrap_or_default().iter().any(|c| c.is_alphabetic());
    let is_all = skip_decoration(text, found.end) >= end;
    is_name && is_all && found.of == Of::Scale && found.value > scale.high
}

fn is_part(text: &[char], at: usize) -> bool {
    text.get(at).is_some_and(|c| c.is_ascii_digit() || *c == '.')
}

fn is_other(of: Of, scale: Scale) -> bool {
    of != Of::Full(scale.high)
}

/// `满分10`, `十分制`, `on a scale of 1 to 10`, `共10分`.
fn named(text: &[char], at: usize, scale: Scale) -> bool {
    const TOGETHER: &[&str] = &["总共", "一共", "共计", "共"];
    if let Some((word, end)) = word_at(text, at, FULL)
        && word != "out of"
        && let Some((of, _)) = full_number(text, end)
    {
        return is_other(of, scale);
    }
    if let Some((_, full)) = NAMED_SCALES.iter().find(|(name, _)| is_at(text, at, name)) {
        return is_other(Of::Full(*full), scale);
    }
    if let Some((_, end)) = word_at(text, at, SCALE_WORDS) {
        let start = skip(text, end, |c| matches!(c, ' ' | ':' | '是' | '为' | '在' | '从'));
        return range(text, start).is_some_and(|(low, high, _)| !scale.is_range(low, high));
    }
    // `参考得分为2`
    if let Some((_, end)) = HEADINGS.iter().find_map(|(heading, _)| word_at(text, at, &[*heading]))
        && let Some(Ok(found)) = number(text, behind_copula(text, end))
        && found.of == Of::Scale
        && found.value > scale.high
    {
        return true;
    }
    if let Some((_, end)) = word_at(text, at, TOGETHER)
        && let Some(Ok(amount)) = number(text, skip_spaces(text, end))
    {
        return amount.of == Of::Scale && amount.is_measured && amount.value > scale.high;
    }
    false
}

/// `1 out of 10` where 1 is a mark.
fn out_of(text: &[char], at: usize, scale: Scale, is_mark: &impl Fn(&str) -> bool) -> bool {
    let Some((_, end)) = word_at(text, at, &["out of"]) else { return false };
    let start = text.get(..at).unwrap_or_default().iter().rposition(|c| *c != ' ').map_or(0, |i| i + 1);
    let digits =
        text.get(..start).unwrap_or_default().iter().rev().take_while(|c| c.is_ascii_digit() || **c == '.').count();
    let before: String = text.get(start - digits..start).unwrap_or_default().iter().collect();
    digits > 0 && is_mark(&before) && full_number(text, end).is_some_and(|(of, _)| is_other(of, scale))
}

/// `10分制`, `10分满分`, `10-point scale`, `1-10`.
fn numbered(text: &[char], at: usize, scale: Scale) -> bool {
    let end = skip(text, at, |c| c.is_ascii_digit());
    let digits: String = text.get(at..end).unwrap_or_default().iter().collect();
    let Ok(full) = digits.parse::<f64>() else { return false };
    let behind = skip(text, end, |c| matches!(c, ' ' | '-'));
    let is_full =
        ["分制", "分满分", "分为满分", "分是满分", "point scale", "being the best", "being best", "is the best"];
    if is_full.iter().any(|words| is_at(text, behind, words)) {
        return is_other(Of::Full(full), scale);
    }
    // `2-5` may be a range of anything; one that ends as scales do, from 0 or 1, is taken for one.
    let is_scale = |low: f64, high: f64| low <= 1.0 && USUAL.contains(&high) && !scale.is_range(low, high);
    let unit_before = word_before(text, at, &["第"]).is_some();
    range(text, at).is_some_and(|(low, high, _)| is_scale(low, high) && !unit_before)
}
