//! A number in digits, with what belongs to it.

use crate::fold::JOINING;
use crate::found::{Found, is_separator, starts_with};

/// Han characters after which 千 and 百 belong to a unit of measure: 千克, 千米, 百帕.
const MEASURES: &str = "克米瓦卡帕焦赫伏升";
/// Units that a 2 or 3 makes one of area, volume or acceleration.
const POWERED: [&str; 11] = ["m", "mm", "cm", "dm", "hm", "km", "s", "ft", "in", "yd", "mi"];

/// The number that begins at `start`: with groups, decimals, a sign or `百分之` before, a denominator, units or a per cent
/// sign behind.
pub fn read(chars: &[char], start: usize) -> Option<Found> {
    let (mut value, mut end) = decimal(chars, start)?;
    if is_exponent(chars, start, end) {
        return Some(Found { from: start, start, end, value: f64::NAN });
    }
    if starts_with(chars, end, "分之")
        && let Some((above, after)) = decimal(chars, end + 2)
    {
        (value, end) = (above / value, after);
    } else if chars.get(end) == Some(&'/')
        && let Some((below, after)) = decimal(chars, end + 1)
    {
        (value, end) = (value / below, after);
    }
    while let Some(scale) = unit(chars, end) {
        value *= scale;
        end += 1;
    }
    if chars.get(end) == Some(&'%') {
        value /= 100.0;
        end += 1;
    }
    let mut from = start;
    if start >= 3 && starts_with(chars, start - 3, "百分之") {
        value /= 100.0;
        from -= 3;
    }
    if is_negative(chars, from) {
        value = -value;
        from -= 1;
    }
    Some(Found { from, start, end, value })
}

/// Digits with thousands' separators and a decimal part, or the decimal part alone.
fn decimal(chars: &[char], start: usize) -> Option<(f64, usize)> {
    let digits = |from: usize| chars.get(from..).unwrap_or_default().iter().take_while(|c| c.is_ascii_digit()).count();
    let mut end = start + digits(start);
    if end == start && !is_leading_point(chars, start) {
        return None;
    }
    let joins = |at: usize| match chars.get(at) {
        Some(&(',' | JOINING)) => true,
        // Two numbers side by side have one, too; but none begins with 0.
        Some(' ') => chars.get(at + 1) == Some(&'0'),
        _ => false,
    };
    if (1..=3).contains(&(end - start)) {
        while joins(end) && digits(end + 1) == 3 {
            end += 4;
        }
    }
    if chars.get(end) == Some(&'.') && digits(end + 1) > 0 {
        end += 1 + digits(end + 1);
    }
    let literal: String = chars[start..end].iter().filter(|c| !is_separator(**c)).collect();
    literal.parse().ok().map(|value| (value, end))
}

/// Whether a point begins a number, as in `= .5`, rather than that it ends a sentence (`还剩8个.5个`) or a word (`No.5`).
fn is_leading_point(chars: &[char], at: usize) -> bool {
    if chars.get(at) != Some(&'.') {
        return false;
    }
    let is_han = |c: &char| !c.is_ascii() && c.is_alphabetic();
    let before = chars[..at].iter().rev().find(|c| !is_han(c));
    !before.is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | ')' | ']' | '}' | '"' | '\'' | '%'))
}

/// Whether digits stand behind a caret, or make an area or a volume of a unit: `m^2`, `x^{10}`, `cm3`.
fn is_exponent(chars: &[char], start: usize, end: usize) -> bool {
    let before = &chars[..start];
    if before.iter().rev().find(|c| !matches!(c, '{' | '(' | '-')) == Some(&'^') {
        return true;
    }
    let letters = before.iter().rev().take_while(|c| c.is_ascii_alphabetic()).take(3).count();
    let word: String = before[start - letters..].iter().collect();
    let is_within_word = chars.get(end).is_some_and(char::is_ascii_alphabetic);
    matches!(chars[start..end], ['2' | '3']) && !is_within_word && POWERED.contains(&word.as_str())
}

fn unit(chars: &[char], at: usize) -> Option<f64> {
    let measured = chars.get(at + 1).is_some_and(|c| MEASURES.contains(*c));
    match chars.get(at)? {
        '亿' => Some(1e8),
        '万' => Some(1e4),
        '千' if !measured => Some(1e3),
        '百' if !measured => Some(1e2),
        _ => None,
    }
}

/// A minus that is a sign, not an operation: nothing to subtract from stands before it.
fn is_negative(chars: &[char], start: usize) -> bool {
    if start == 0 || chars[start - 1] != '-' {
        return false;
    }
    let before = chars[..start - 1].iter().rev().find(|c| **c != ' ');
    !before.is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, ')' | '%'))
}
