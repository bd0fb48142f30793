//! Numbers as marks are written: decimals, fractions, percentages, sums with their result, Chinese numerals.

use crate::scale::{Of, same};
use crate::text::{is_at, is_decoration, is_digit_at, skip, skip_decoration, skip_spaces, word_at};
use crate::words::{COPULAS, FRACTIONS, FULL_BEHIND, LATEX, NAMED_SCALES, RANGE, SCALE_WORDS, UNITS};

/// A number as it stands in a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Number {
    pub value: f64,
    /// What it is of, as far as the number itself and what is joined to it say.
    pub of: Of,
    /// Behind it, its unit and its full mark.
    pub end: usize,
    /// Without a point, a percent sign or a full mark; so it may be the number of a list item.
    pub bare_integer: bool,
    /// Whether a unit or a full mark stands behind it.
    pub is_measured: bool,
}

/// What begins like a number and is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Odd {
    /// A sign, digits or a fraction that cannot be understood.
    Unclear,
    /// Below zero.
    Negative,
}

/// The mark that begins at `at`; none where no number begins.
///
/// # Errors
/// [`Odd`] where something begins as a number does and cannot be one.
pub fn number(text: &[char], at: usize) -> Option<Result<Number, Odd>> {
    let signed = match text.get(at) {
        Some('-') => return is_numeric_at(text, skip_spaces(text, at + 1)).then_some(Err(Odd::Negative)),
        Some('+') => at + 1,
        _ => at,
    };
    let found = latex_fraction(text, signed).or_else(|| decimal(text, signed)).or_else(|| chinese(text, signed));
    match found {
        Some(Ok(found)) => with_measure(text, found),
        Some(Err(odd)) => Some(Err(odd)),
        None => is_numeric_at(text, signed).then_some(Err(Odd::Unclear)),
    }
}

/// Whether the sign at `at` is a digit of any kind: `½`, `①` and `٣` too.
fn is_numeric_at(text: &[char], at: usize) -> bool {
    text.get(at).is_some_and(|c| c.is_numeric())
}

/// A number without what stands behind it.
struct Plain {
    value: f64,
    of: Of,
    end: usize,
    is_integer: bool,
    /// Written in Chinese: nothing without a point, a unit or a part named.
    needs_unit: bool,
}

/// Adds the result of a sum, the unit, the percent sign, the full mark.
fn with_measure(text: &[char], plain: Plain) -> Option<Result<Number, Odd>> {
    let Plain { mut value, mut of, mut end, is_integer, needs_unit } = plain;
    let is_sum = match sum(text, value, end) {
        Some(Ok(result)) => {
            (value, end) = result;
            true
        }
        Some(Err(odd)) => return Some(Err(odd)),
        None => false,
    };
    let mut is_measured = of != Of::Scale;
    let after_unit = |end: usize| word_at_unit(text, skip_decoration(text, end)).unwrap_or(end);
    let unit_end = after_unit(end);
    let has_unit = unit_end > end;
    if needs_unit && !has_unit {
        return None;
    }
    end = unit_end;
    if of == Of::Scale
        && let Some(after) = percent(text, end)
    {
        (of, end, is_measured) = (Of::Percent, after, true);
    }
    match full_behind(text, end) {
        Some((full, after)) if of == Of::Scale => (of, end, is_measured) = (full, after, true),
        // 80% of a hundred percent says no more than 80%; of anything else it says two things.
        Some((Of::Percent, after)) if of == Of::Percent => end = after,
        Some(_) => return Some(Err(Odd::Unclear)),
        None => {}
    }
    let bare_integer = is_integer && !is_measured && !has_unit && !is_sum;
    Some(Ok(Number { value, of, end, bare_integer, is_measured: is_measured || has_unit }))
}

/// Digits, with a point or without: `0.8`, `.8`, `8`. A second point, a zero before other digits, or digits that
/// go on in another alphabet make it none.
fn decimal(text: &[char], at: usize) -> Option<Result<Plain, Odd>> {
    let (digits, end, is_integer) = digits(text, at)?;
    let leading_zero = digits.starts_with('0') && digits.chars().nth(1).is_some_and(|c| c.is_ascii_digit());
    let odd = leading_zero || digits.len() > 12 || is_numeric_at(text, end);
    let value = digits.parse::<f64>().ok().filter(|_| !odd);
    Some(match value {
        Some(value) => Ok(Plain { value, of: Of::Scale, end, is_integer, needs_unit: false }),
        None => Err(Odd::Unclear),
    })
}

fn digits(text: &[char], at: usize) -> Option<(String, usize, bool)> {
    let run = |from: usize| from + text.iter().skip(from).take_while(|c| c.is_ascii_digit()).count();
    let whole = run(at);
    let has_point = text.get(whole) == Some(&'.') && is_digit_at(text, whole + 1);
    let end = if has_point { run(whole + 1) } else { whole };
    let digits: String = text.get(at..end)?.iter().collect();
    (!digits.is_empty()).then_some((digits, end, !has_point))
}

/// `\frac{8}{10}`, also as `\dfrac` and `\tfrac`.
fn latex_fraction(text: &[char], at: usize) -> Option<Result<Plain, Odd>> {
    let inside = fraction_at(text, at)?;
    let fraction = || {
        let (upper, end, _) = digits(text, inside)?;
        let lower_at = is_at(text, end, "}{").then_some(end + 2)?;
        let (lower, end, _) = digits(text, lower_at)?;
        let end = is_at(text, end, "}").then_some(end + 1)?;
        let (value, full) = (upper.parse().ok()?, lower.parse().ok()?);
        Some(Plain { value, of: Of::Full(full), end, is_integer: false, needs_unit: false })
    };
    Some(fraction().ok_or(Odd::Unclear))
}

fn fraction_at(text: &[char], at: usize) -> Option<usize> {
    let (_, end) = word_at(text, at + 1, FRACTIONS).filter(|_| text.get(at) == Some(&'\\'))?;
    (text.get(end) == Some(&'{')).then_some(end + 1)
}

/// Behind spaces, decoration and commands of LaTeX that only decorate, before a fraction.
pub fn skip_wrapping(text: &[char], at: usize) -> usize {
    let mut at = at;
    loop {
        let next = skip(text, at, |c| c == ' ' || (is_decoration(c) && c != '\\'));
        if text.get(next) != Some(&'\\') || fraction_at(text, next).is_some() {
            return next;
        }
        at = word_at(text, next + 1, LATEX).map_or(next + 1, |(_, end)| end);
    }
}

/// `八分`, `零点八`, `百分之八十`, `十分之八`: with a unit, a point or a part, never a numeral alone.
fn chinese(text: &[char], at: usize) -> Option<Result<Plain, Odd>> {
    let plain = |value, of, end, needs_unit| Some(Ok(Plain { value, of, end, is_integer: false, needs_unit }));
    if is_at(text, at, "百分之") {
        let (value, end) = numeral(text, at + 3)?;
        return plain(value, Of::Percent, end, false);
    }
    let (whole, end) = numeral(text, at)?;
    if is_at(text, end, "分之") {
        let (value, end) = numeral(text, end + 2)?;
        return plain(value, Of::Full(whole), end, false);
    }
    if is_at(text, end, "点") {
        let start = end + 1;
        let figures: String = text.iter().skip(start).map_while(|c| figure(*c)).map(|n| n.to_string()).collect();
        let value = format!("{whole}.{figures}").parse().ok().filter(|_| !figures.is_empty())?;
        return plain(value, Of::Scale, start + figures.len(), false);
    }
    plain(whole, Of::Scale, end, true)
}

/// A Chinese whole number up to a hundred.
fn numeral(text: &[char], at: usize) -> Option<(f64, usize)> {
    if is_at(text, at, "一百") {
        return Some((100.0, at + 2));
    }
    let first = text.get(at).and_then(|c| figure(*c));
    let ten_at = if first.is_some() { at + 1 } else { at };
    if text.get(ten_at) != Some(&'十') {
        return first.map(|n| (f64::from(n), at + 1));
    }
    let ones = text.get(ten_at + 1).and_then(|c| figure(*c));
    let value = first.unwrap_or(1) * 10 + ones.unwrap_or(0);
    Some((f64::from(value), ten_at + 1 + usize::from(ones.is_some())))
}

fn figure(c: char) -> Option<u32> {
    const FIGURES: &str = "零一二三四五六七八九";
    match c {
        '〇' => Some(0),
        '两' => Some(2),
        _ => FIGURES.chars().position(|figure| figure == c).and_then(|n| u32::try_from(n).ok()),
    }
}

/// The result of a sum that begins with `first` and goes on at `end`: `0.5+0.3=0.8`, `1 - 0.2 = 0.8`. None when no
/// sum with its result stands there.
fn sum(text: &[char], first: f64, end: usize) -> Option<Result<(f64, usize), Odd>> {
    let (mut total, mut at, mut terms) = (first, end, 1);
    loop {
        let sign_at = word_at_unit(text, at).unwrap_or(at);
        let sign_at = skip_spaces(text, sign_at);
        let sign = *text.get(sign_at)?;
        if !matches!(sign, '+' | '-' | '=') {
            return None;
        }
        let (term, after, _) = digits(text, skip_spaces(text, sign_at + 1))?;
        let term: f64 = term.parse().ok()?;
        match sign {
            '+' => total += term,
            '-' => total -= term,
            _ if terms == 1 => return None,
            // A sum that does not hold leaves open which of its numbers is wrong.
            _ => return Some(if same(total, term) { Ok((term, after)) } else { Err(Odd::Unclear) }),
        }
        (at, terms) = (after, terms + 1);
    }
}

fn word_at_unit(text: &[char], at: usize) -> Option<usize> {
    let spaced = skip_spaces(text, at);
    // `分之` and `分制` are parts of other words.
    let (unit, end) = word_at(text, spaced, UNITS)?;
    let is_other = unit == "分" && (is_at(text, end, "之") || is_at(text, end, "制"));
    (!is_other).then_some(end)
}

fn percent(text: &[char], at: usize) -> Option<usize> {
    let at = skip_spaces(text, at);
    if text.get(at) == Some(&'%') {
        return Some(at + 1);
    }
    word_at(text, at, &["percent", "per cent"]).map(|(_, end)| end)
}

/// The full mark behind a number: `/10`, `/10分`, `, 满分10`, `(满分为10分)`, `out of 10`, `(十分制)`.
fn full_behind(text: &[char], at: usize) -> Option<(Of, usize)> {
    let mark_at = skip_decoration(text, at);
    let is_open = text.get(mark_at) == Some(&'(');
    if is_open {
        let (of, end) = scale_within(text, mark_at + 1)?;
        let close = skip_decoration(text, end);
        return (text.get(close) == Some(&')')).then_some((of, close + 1));
    }
    let joined = if matches!(text.get(mark_at), Some(',' | ';')) { skip_spaces(text, mark_at + 1) } else { mark_at };
    let (word, end) = full_word_at(text, joined)?;
    // `, of 10` and `, /10` join nothing.
    if joined != mark_at && matches!(word, "/" | "of") {
        return None;
    }
    // `/满分10`, `of a maximum of 10`
    let end = match word {
        "/" | "of" => full_word_at(text, skip_spaces(text, end)).map_or(end, |(_, end)| end),
        _ => end,
    };
    full_number(text, end)
}

fn full_word_at(text: &[char], at: usize) -> Option<(&'static str, usize)> {
    FULL_BEHIND.iter().find_map(|word| {
        let end = at + word.chars().count();
        let found = if *word == "/" { is_at(text, at, word) } else { word_at(text, at, &[*word]).is_some() };
        found.then_some((*word, end))
    })
}

/// The number of a full mark, behind its word.
pub fn full_number(text: &[char], at: usize) -> Option<(Of, usize)> {
    let at = behind_copula(text, at);
    let (value, end) = match digits(text, at) {
        Some((digits, end, _)) => (digits.parse::<f64>().ok()?, end),
        None => numeral(text, at)?,
    };
    if let Some(end) = percent(text, end) {
        return same(value, 100.0).then_some((Of::Percent, end));
    }
    let end = word_at_unit(text, end).unwrap_or(end);
    (value > 0.0).then_some((Of::Full(value), end))
}

/// Behind a colon, an equals sign or a copula, and the decoration about it.
pub fn behind_copula(text: &[char], at: usize) -> usize {
    let at = skip_decoration(text, at);
    let after = match text.get(at) {
        Some(':' | '=') => at + 1,
        _ => word_at(text, at, COPULAS).map_or(at, |(_, end)| end),
    };
    skip_decoration(text, after)
}

/// What a bracket says of the scale: `满分10分`, `out of 10`, `百分制`, `10分制`, `0-10`, `on a scale of 0 to 10`.
pub fn scale_within(text: &[char], at: usize) -> Option<(Of, usize)> {
    let at = skip_decoration(text, at);
    if let Some((name, full)) = NAMED_SCALES.iter().find(|(name, _)| is_at(text, at, name)) {
        return Some((Of::Full(*full), at + name.chars().count()));
    }
    if let Some((digits, end, _)) = digits(text, at)
        && is_at(text, end, "分制")
    {
        return Some((Of::Full(digits.parse().ok()?), end + 2));
    }
    if let Some((word, end)) = full_word_at(text, at)
        && word != "of"
    {
        return full_number(text, end);
    }
    let start = word_at(text, at, SCALE_WORDS).map_or(at, |(_, end)| behind_copula(text, end));
    let (low, high, end) = range(text, start)?;
    let end = if is_at(text, end, "之间") { end + 2 } else { end };
    same(low, 0.0).then_some((Of::Full(high), end))
}

/// A range `0-10`, `0~1`, `0到10分`, `0 to 1`: its ends, and where it ends in the text.
pub fn range(text: &[char], at: usize) -> Option<(f64, f64, usize)> {
    let (low, end, _) = digits(text, at)?;
    let joint = skip_spaces(text, word_at_unit(text, end).unwrap_or(end));
    let word = RANGE.iter().find(|word| is_at(text, joint, word))?;
    let (high, end, _) = digits(text, skip_spaces(text, joint + word.chars().count()))?;
    let end = word_at_unit(text, end).unwrap_or(end);
    let (low, high) = (low.parse().ok()?, high.parse().ok()?);
    Some((low, high, end))
}
