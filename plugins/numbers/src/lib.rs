//! The final number of a text, for a dataset that makes it a reference and a judge that compares an answer with it: what
//! the one writes down, the other reads again. Digits in any width, thousands' groups, decimals, fractions, per cent,
//! Chinese units (`3万`, `2.5亿`) and Chinese numerals (`三百二十`, `四分之三`, `百分之五`).
//!
//! Which number is final: the one behind the last `####`; else the last of the clause behind the last word that
//! announces an answer; else the last of the text. Chinese numerals count only where no digit does, since `一个`
//! is more often an article than a number. Exponents are no numbers, nor are those of units: `m^2`, `m2`.
//!
//! ```
//! let found = numbers::final_number("所以答案是−3/4。").unwrap();
//! assert_eq!((found.text.as_str(), found.value), ("-3/4", -0.75));
//! ```

mod digits;
mod fold;
mod found;
mod numerals;

pub use fold::fold;
pub use found::Number;

use found::Found;

/// Words that announce the result. `####` is GSM8K's.
const MARKERS: [&str; 7] = ["####", "答案", "答:", "结果", "所以", "answer is", "answer:"];
/// Largest relative difference of two numbers taken as equal.
const TOLERANCE: f64 = 1e-6;

/// Whether two numbers agree to within a millionth.
pub fn equal(a: f64, b: f64) -> bool {
    (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()).max(1.0)
}

/// The final number of a text, if it has any. That of its own text has the same value.
pub fn final_number(text: &str) -> Option<Number> {
    let folded = fold::folded(text);
    let tails = MARKERS.iter().filter_map(|m| folded.rfind(m).map(|at| at + m.len()));
    let gsm = folded.rfind(MARKERS[0]).map(|at| at + MARKERS[0].len());
    let announced = gsm.or_else(|| tails.max()).and_then(|at| last_of_clause(&folded[at..]));
    announced.or_else(|| last(&folded))
}

fn last(text: &str) -> Option<Number> {
    let chars: Vec<char> = text.chars().collect();
    numbers(&chars).last().map(|found| found.number(&chars))
}

/// The last number of the first clause that has one.
fn last_of_clause(text: &str) -> Option<Number> {
    let chars: Vec<char> = text.chars().collect();
    let found = numbers(&chars);
    let mut last = found.first()?;
    for number in &found[1..] {
        let between = &chars[last.end..number.start];
        if between.iter().any(|c| matches!(c, '.' | '。' | ',' | ';' | '\n')) {
            break;
        }
        last = number;
    }
    Some(last.number(&chars))
}

/// All numbers of a folded text, in order.
fn numbers(chars: &[char]) -> Vec<Found> {
    let mut found = all(chars, digits::read);
    if found.is_empty() {
        found = all(chars, numerals::read);
    }
    found.retain(|number| number.value.is_finite());
    found
}

/// What is read as a number, be it `1/0`.
fn all(chars: &[char], read: fn(&[char], usize) -> Option<Found>) -> Vec<Found> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        match read(chars, at) {
            // Whatever was read is passed over, number or not: every character is read once.
            Some(number) => {
                at = number.end;
                found.extend(Some(number).filter(|n| !n.value.is_nan()));
            }
            None => at += 1,
        }
    }
    found
}
