//! A number in Chinese numerals: 三百二十, 二〇二三, 三点一四, 四分之三, 百分之五.

use crate::found::{Found, starts_with};

/// The number in Chinese numerals that begins at `start`.
pub fn read(chars: &[char], start: usize) -> Option<Found> {
    let length = |from: usize| chars.get(from..).unwrap_or_default().iter().take_while(|c| is_numeral(**c)).count();
    let end = start + length(start);
    if end == start {
        return None;
    }
    let idiom = is_idiom(chars, start, end);
    let first = numeral(&chars[start..end]).filter(|_| !idiom).unwrap_or(f64::NAN);
    let mut number = Found { from: start, start, end, value: first };
    if starts_with(chars, end, "分之") {
        number.end = end + 2 + length(end + 2);
        number.value = numeral(&chars[end + 2..number.end]).map_or(f64::NAN, |above| above / first);
    }
    if start > 0 && chars[start - 1] == '负' {
        number.value = -number.value;
        number.from -= 1;
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
