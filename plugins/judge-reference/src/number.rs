//! The final number of an answer: digits in any width, thousands' commas, decimals, fractions, per cent, Chinese
//! units (`3万`, `2.5亿`) and Chinese numerals (`三百二十`, `四分之三`, `百分之五`).
//!
//! Which number is final: the one behind the last `####`; else the last of the clause behind the last word that
//! announces an answer; else the last of the text. Chinese numerals count only where no digit does, since `一个`
//! is more often an article than a number.

use crate::text::fold;

/// Words that announce the result. `####` is GSM8K's.
const MARKERS: [&str; 7] = ["####", "答案", "答:", "结果", "所以", "answer is", "answer:"];
/// Largest relative difference of two numbers taken as equal.
const TOLERANCE: f64 = 1e-6;
/// Han characters after which 千 and 百 belong to a unit of measure: 千克, 千米, 百帕.
const MEASURES: &str = "克米瓦卡帕焦赫伏升";

/// Characters that were read as one number, and its value; not finite when they make none.
struct Found {
    start: usize,
    end: usize,
    value: f64,
}

/// Whether two numbers agree to within a millionth.
pub fn equal(a: f64, b: f64) -> bool {
    (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()).max(1.0)
}

/// The final number of a text, if it has any.
pub fn final_number(text: &str) -> Option<f64> {
    let folded: String = text.chars().map(fold).collect::<String>().to_lowercase();
    let tails = MARKERS.iter().filter_map(|m| folded.rfind(m).map(|at| at + m.len()));
    let gsm = folded.rfind(MARKERS[0]).map(|at| at + MARKERS[0].len());
    let announced = gsm.or_else(|| tails.max()).and_then(|at| last_of_clause(&folded[at..]));
    announced.or_else(|| numbers(&folded).last().map(|n| n.value))
}

/// The last number of the first clause that has one.
fn last_of_clause(text: &str) -> Option<f64> {
    let chars: Vec<char> = text.chars().collect();
    let found = numbers(text);
    let first = found.first()?;
    let mut last = first;
    for number in &found[1..] {
        let between = &chars[last.end..number.start];
        if between.iter().any(|c| matches!(c, '.' | ',' | ';' | '\n')) {
            break;
        }
        last = number;
    }
    Some(last.value)
}

/// All numbers of a folded text, in order.
fn numbers(text: &str) -> Vec<Found> {
    let chars: Vec<char> = text.chars().collect();
    let read: fn(&[char], usize) -> Option<Found> =
        if chars.iter().any(char::is_ascii_digit) { in_digits } else { in_words };
    let mut found = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        match read(&chars, at) {
            // Whatever was read is passed over, number or not: every character is read once.
            Some(number) => {
                at = number.end;
                found.extend(Some(number).filter(|n| n.value.is_finite()));
            }
            None => at += 1,
        }
    }
    found
}

/// The number that begins with a digit at `start`: with commas, decimals, a sign before, a denominator, units or a
/// per cent sign behind.
fn in_digits(chars: &[char], start: usize) -> Option<Found> {
    let (mut value, mut end) = decimal(chars, start)?;
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
    if start >= 3 && starts_with(chars, start - 3, "百分之") {
        value /= 100.0;
    }
    if is_negative(chars, start) {
        value = -value;
    }
    Some(Found { start, end, value })
}

/// Digits with thousands' commas and a decimal part.
fn decimal(chars: &[char], start: usize) -> Option<(f64, usize)> {
    let digits = |from: usize| chars.get(from..).unwrap_or_default().iter().take_while(|c| c.is_ascii_digit()).count();
    let mut end = start + digits(start);
    if end == start {
        return None;
    }
    let group = |at: usize| chars.get(at) == Some(&',') && digits(at + 1) == 3;
    if end - start <= 3 {
        while group(end) {
            end += 4;
        }
    }
    if chars.get(end) == Some(&'.') && digits(end + 1) > 0 {
        end += 1 + digits(end + 1);
    }
    let literal: String = chars[start..end].iter().filter(|c| **c != ',').collect();
    literal.parse().ok().map(|value| (value, end))
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

fn starts_with(chars: &[char], at: usize, word: &str) -> bool {
    word.chars().enumerate().all(|(i, c)| chars.get(at + i) == Some(&c))
}

/// The number in Chinese numerals that begins at `start`.
fn in_words(chars: &[char], start: usize) -> Option<Found> {
    let length = |from: usize| chars.get(from..).unwrap_or_default().iter().take_while(|c| is_numeral(**c)).count();
    let end = start + length(start);
    if end == start {
        return None;
    }
    let idiom = is_idiom(chars, start, end);
    let first = numeral(&chars[start..end]).filter(|_| !idiom).unwrap_or(f64::NAN);
    let mut number = Found { start, end, value: first };
    if starts_with(chars, end, "分之") {
        number.end = end + 2 + length(end + 2);
        number.value = numeral(&chars[end + 2..number.end]).map_or(f64::NAN, |above| above / first);
    }
    if start > 0 && chars[start - 1] == '负' {
        number.value = -number.value;
    }
    Some(number)
}

fn is_numeral(c: char) -> bool {
    digit(c).is_some() || scale(c).is_some() || c == '点'
}

/// 一共, 一起, 万一, 第一: words, not numbers.
fn is_idiom(chars: &[char], start: usize, end: usize) -> bool {
    let after = chars.get(end).copied().unwrap_or(' ');
    let ordinal = start > 0 && chars[start - 1] == '第';
    let article = chars[start..end] == ['一'] && "共起样定直般些下切致".contains(after);
    ordinal || article || starts_with(chars, start, "万一") || chars[start..end] == ['一', '点'] || chars[start] == '点'
}

fn digit(c: char) -> Option<f64> {
    let at = "零一二三四五六七八九".chars().position(|d| d == c);
    match c {
        '〇' => Some(0.0),
        '两' => Some(2.0),
        _ => at.map(|d| d as f64),
    }
}

fn scale(c: char) -> Option<f64> {
    match c {
        '十' => Some(10.0),
        '百' => Some(100.0),
        '千' => Some(1e3),
        '万' => Some(1e4),
        '亿' => Some(1e8),
        _ => None,
    }
}

/// The value of numerals: 三百二十, 二〇二三, 三点一四, 百 (in 百分之).
fn numeral(run: &[char]) -> Option<f64> {
    if let Some(point) = run.iter().position(|c| *c == '点') {
        let mut place = 1.0;
        let mut value = numeral(&run[..point])?;
        for c in &run[point + 1..] {
            place /= 10.0;
            value += digit(*c)? * place;
        }
        return Some(value);
    }
    if run.is_empty() {
        return None;
    }
    if run.iter().all(|c| digit(*c).is_some()) {
        return Some(run.iter().filter_map(|c| digit(*c)).fold(0.0, |value, d| value * 10.0 + d));
    }
    // `total` closed by 万 and 亿, `section` below ten thousand, `last` the digit that waits for its scale.
    let (mut total, mut section, mut last) = (0.0, 0.0, None);
    for c in run {
        match (digit(*c), scale(*c)) {
            (Some(d), _) => last = Some(d),
            (_, Some(s)) if s >= 1e4 => {
                section += last.take().unwrap_or(0.0);
                let below = if total + section == 0.0 { 1.0 } else { section };
                // 亿 multiplies all before it, 万 the section only.
                total = if s > 1e4 { (total + below) * s } else { total + below * s };
                section = 0.0;
            }
            (_, Some(s)) => section += last.take().unwrap_or(1.0) * s,
            _ => return None,
        }
    }
    Some(total + section + last.unwrap_or(0.0))
}
