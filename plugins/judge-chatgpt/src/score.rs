//! Reads the score from a judge model's reply, or says why none can be read. Never guesses and never clamps.
//!
//! A score is a number behind a label (`得分`, `评分`, `score`), or a reply that is nothing but a number:
//!
//! - `得分: 0.8`, `得分为０.８分`, `**得分：** 0.8`, and the number on the next line
//! - with the full mark given: `8/10`, `0.8/1`, `8分（满分10分）`, `80%`; without it a number over 1 is no score
//! - several labelled numbers must agree; where they differ nobody knows which one was meant
//! - a range (`0.7-0.8`), a list (`0.7, 0.8`), a negative number, or anything stuck to the number is no score
//! - in a reply cut off by its length, a number at the very end may have lost digits and is no score

/// Why a reply has no score.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    Missing,
    CutOff,
    /// The labelled text as it was found.
    Unclear(String),
    OutOfRange(String),
    Differing(String, String),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => f.write_str("the reply has no score (no number behind `得分:`)"),
            Self::CutOff => {
                f.write_str("the reply was cut off at its length limit before a score was complete; raise max_tokens")
            }
            Self::Unclear(text) => write!(f, "the reply's score is unclear: `{text}`"),
            Self::OutOfRange(text) => write!(f, "the reply's score is not from 0 to 1: `{text}`"),
            Self::Differing(a, b) => write!(f, "the reply has differing scores: `{a}` and `{b}`"),
        }
    }
}

const LABELS: [&str; 3] = ["得分", "评分", "score"];
/// What may stand between a label and its number, beside white space and marks.
const BETWEEN_WORDS: [&str; 6] = ["应该为", "应为", "为", "是", "is", "of"];
const BETWEEN_MARKS: &str = ":=*_`\"'“”‘’「」『』【】[](){}<>|$\\";
/// What makes two numbers a range or a list.
const JOINTS: &str = "-~—–,、;到至";

/// The score in 0..=1. `cut_off`: the reply ended at its length limit.
///
/// # Errors
/// [`Fault`] says what stands in the way.
pub fn read(reply: &str, cut_off: bool) -> Result<f64, Fault> {
    let text: Vec<char> = reply.trim().chars().map(fold).collect();
    let mut found: Option<(f64, String)> = None;
    for start in starts(&text) {
        let Some(number) = number(&text, start) else { continue };
        let shown: String = text[start..number.end].iter().collect();
        if cut_off && text[number.end..].iter().all(|c| matches!(c, '.' | '/' | '%')) {
            return Err(Fault::CutOff);
        }
        let score = number.value.ok_or_else(|| Fault::Unclear(shown.clone()))?;
        if shown.starts_with('-') || !(0.0..=1.0).contains(&score) {
            return Err(Fault::OutOfRange(shown));
        }
        match &found {
            Some((first, text)) if (first - score).abs() > 1e-9 => return Err(Fault::Differing(text.clone(), shown)),
            Some(_) => {}
            None => found = Some((score, shown)),
        }
    }
    match found {
        Some((score, _)) => Ok(score),
        None if cut_off => Err(Fault::CutOff),
        None => Err(Fault::Missing),
    }
}

/// Where a score's number begins: behind each label, or at the first sign of a reply that is only a number.
fn starts(text: &[char]) -> Vec<usize> {
    let mut starts = Vec::new();
    for at in 0..text.len() {
        let inside_word = at > 0 && text[at].is_ascii_alphabetic() && text[at - 1].is_ascii_alphanumeric();
        let Some(label) = LABELS.iter().find(|l| !inside_word && matches(text, at, l)) else { continue };
        let behind = at + label.chars().count();
        let start = skip_between(text, behind);
        let next_line = text[behind..start].contains(&'\n');
        if !(next_line && is_list_mark(text, start)) {
            starts.push(start);
        }
    }
    if starts.is_empty() {
        let start = skip_between(text, 0);
        let end = number(text, start).map_or(start, |n| n.end);
        if text[end..].iter().all(|c| c.is_whitespace() || matches!(c, '.' | '。') || BETWEEN_MARKS.contains(*c)) {
            starts.push(start);
        }
    }
    starts
}

fn skip_between(text: &[char], mut at: usize) -> usize {
    loop {
        let Some(next) = text.get(at) else { return at };
        if next.is_whitespace() || BETWEEN_MARKS.contains(*next) {
            at += 1;
            continue;
        }
        match BETWEEN_WORDS.iter().find(|word| matches(text, at, word)) {
            Some(word) => at += word.chars().count(),
            None => return at,
        }
    }
}

/// Whether `1.`, `1)` or `1、` begins a list item here rather than a number.
fn is_list_mark(text: &[char], start: usize) -> bool {
    let end = digits(text, start);
    end > start
        && match text.get(end) {
            Some('.') => !text.get(end + 1).is_some_and(char::is_ascii_digit),
            Some(')' | '、') => true,
            _ => false,
        }
}

/// A number as it stands in the text, `start..end`.
struct Number {
    end: usize,
    /// As a share of the full mark; none when it cannot be told what is meant.
    value: Option<f64>,
}

/// The number that begins at `start`, with its sign and full mark.
fn number(text: &[char], start: usize) -> Option<Number> {
    let signed = matches!(text.get(start), Some('-' | '+'));
    let (mut value, mut end) = decimal(text, start + usize::from(signed))?;
    if text.get(end) == Some(&'分') {
        end += 1;
    }
    if text.get(end) == Some(&'%') {
        (value, end) = (value / 100.0, end + 1);
    } else if let Some((full, after)) = full_mark(text, end) {
        (value, end) = (value / full, after);
    }
    let value = if is_whole(text, end) && value.is_finite() { Some(value) } else { None };
    Some(Number { end, value })
}

/// The full mark behind a number: `/10`, `/10分`, `满分10`, `(满分为10分)`, `out of 10`.
fn full_mark(text: &[char], at: usize) -> Option<(f64, usize)> {
    let begin = skip_between(text, at);
    let word = ["/", "满分", "out of"].iter().find(|word| matches(text, begin, word))?;
    let (full, mut end) = decimal(text, skip_between(text, begin + word.chars().count()))?;
    if text.get(end) == Some(&'分') {
        end += 1;
    }
    (full > 0.0).then_some((full, end))
}

/// Whether a number ends here: nothing stuck to it, and no second number joined.
fn is_whole(text: &[char], end: usize) -> bool {
    let Some(next) = text.get(end) else { return true };
    let digit_at = |at: usize| text.get(at).is_some_and(char::is_ascii_digit);
    if next.is_ascii_alphanumeric() || matches!(next, '/' | '%') || (*next == '.' && digit_at(end + 1)) {
        return false;
    }
    let blanks = |at: usize| at + text[at..].iter().take_while(|c| matches!(c, ' ' | '\t')).count();
    let joint = blanks(end);
    let joined = text.get(joint).is_some_and(|c| JOINTS.contains(*c)) && digit_at(blanks(joint + 1).min(text.len()));
    !joined
}

/// Digits with a decimal point, and where they end.
fn decimal(text: &[char], start: usize) -> Option<(f64, usize)> {
    let mut end = digits(text, start);
    if text.get(end) == Some(&'.') && text.get(end + 1).is_some_and(char::is_ascii_digit) {
        end = digits(text, end + 1);
    }
    let digits: String = text.get(start..end)?.iter().collect();
    Some((digits.parse().ok()?, end))
}

fn digits(text: &[char], start: usize) -> usize {
    start + text.iter().skip(start).take_while(|c| c.is_ascii_digit()).count()
}

fn matches(text: &[char], at: usize, word: &str) -> bool {
    let mut rest = text[at..].iter();
    word.chars().all(|c| rest.next().is_some_and(|t| t.eq_ignore_ascii_case(&c)))
}

/// Full-width signs as their plain ones.
fn fold(c: char) -> char {
    match c {
        '\u{2212}' | '\u{2011}' => '-',
        // ！ to ～ stand in the order of ! to ~.
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
        _ => c,
    }
}
