//! Which criteria of a list a reply says are met: `1. yes`, `2：否`, or JSON.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::fault::Fault;
use crate::options::Options;
use crate::own_words::OwnWords;
use crate::text::{fold, is_decoration, is_digit_at, line_end, shown, skip, skip_decoration, word_at};

/// What says yes or no.
const VERDICTS: &[(&str, bool)] = &[
    ("yes", true),
    ("no", false),
    ("met", true),
    ("not met", false),
    ("true", true),
    ("false", false),
    ("满足", true),
    ("不满足", false),
    ("符合", true),
    ("不符合", false),
    ("是", true),
    ("否", false),
    ("✓", true),
    ("✗", false),
    ("✅", true),
    ("❌", false),
];
/// Keys of an object that stand for a criterion's number, its verdict, and the list of them.
const NUMBER_KEYS: [&str; 3] = ["criterion", "number", "index"];
const VERDICT_KEYS: [&str; 4] = ["met", "verdict", "answer", "result"];
const LIST_KEYS: [&str; 3] = ["verdicts", "criteria", "results"];

/// Why criteria were not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unchecked {
    /// No verdict on these, counted from 1.
    Without(Vec<usize>),
    /// Two different ones on this.
    Differing(usize),
    /// A verdict that cannot be understood.
    Unclear(String),
    /// The reply ended at its length limit.
    CutOff,
}

impl fmt::Display for Unchecked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Without(numbers) => {
                let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
                write!(f, "the reply has no verdict on criterion {}", numbers.join(", "))
            }
            Self::Differing(number) => write!(f, "the reply has differing verdicts on criterion {number}"),
            Self::Unclear(text) => write!(f, "the reply's verdict is unclear: `{text}`"),
            Self::CutOff => Fault::CutOff.fmt(f),
        }
    }
}

/// The verdicts on criteria 1 to `count`, in order; all of them or none.
///
/// # Errors
/// [`Unchecked`] says what stands in the way.
pub fn read(reply: &str, count: usize, options: &Options) -> Result<Vec<bool>, Unchecked> {
    let mut own = OwnWords::of(reply, options);
    own.erase_markdown();
    let source: String = own.text.iter().collect();
    let verdicts = match serde_json::from_str::<Value>(source.trim()) {
        Ok(_) if !options.asked_alone && own.quoted.has(&own.text) => BTreeMap::new(),
        Ok(value) => of_json(&value)?,
        Err(_) if options.cut_off => return Err(Unchecked::CutOff),
        Err(_) => {
            own.erase_quotes();
            of_lines(&own)?
        }
    };
    let missing: Vec<usize> = (1..=count).filter(|number| !verdicts.contains_key(number)).collect();
    if let Some(number) = verdicts.keys().find(|number| !(1..=count).contains(number)) {
        return Err(Unchecked::Unclear(format!("criterion {number} of {count}")));
    }
    if missing.is_empty() { Ok(verdicts.into_values().collect()) } else { Err(Unchecked::Without(missing)) }
}

fn insert(verdicts: &mut BTreeMap<usize, bool>, number: usize, met: bool) -> Result<(), Unchecked> {
    match verdicts.insert(number, met) {
        Some(before) if before != met => Err(Unchecked::Differing(number)),
        _ => Ok(()),
    }
}

/// `{"verdicts": [{"criterion": 1, "met": true}, …]}`, the list alone, or `[true, false]`.
fn of_json(value: &Value) -> Result<BTreeMap<usize, bool>, Unchecked> {
    let list = match value {
        Value::Array(list) => list,
        Value::Object(fields) => match LIST_KEYS.iter().find_map(|key| fields.get(*key)?.as_array()) {
            Some(list) => list,
            None => return Ok(BTreeMap::new()),
        },
        _ => return Ok(BTreeMap::new()),
    };
    let mut verdicts = BTreeMap::new();
    for (place, entry) in list.iter().enumerate() {
        let unclear = || Unchecked::Unclear(entry.to_string().chars().take(48).collect());
        let (number, met) = match entry {
            Value::Object(fields) => {
                let number = NUMBER_KEYS.iter().find_map(|key| fields.get(*key));
                let number = number.and_then(Value::as_u64).and_then(|number| usize::try_from(number).ok());
                let met = VERDICT_KEYS.iter().find_map(|key| fields.get(*key)).and_then(of_value);
                (number.ok_or_else(unclear)?, met)
            }
            other => (place + 1, of_value(other)),
        };
        insert(&mut verdicts, number, met.ok_or_else(unclear)?)?;
    }
    Ok(verdicts)
}

fn of_value(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(met) => Some(*met),
        Value::String(text) => {
            let text = fold(text.trim());
            let (met, end) = verdict_at(&text, 0)?;
            (end == text.len()).then_some(met)
        }
        _ => None,
    }
}

/// The longest verdict at `at`, and where it ends.
fn verdict_at(text: &[char], at: usize) -> Option<(bool, usize)> {
    let found = VERDICTS.iter().filter_map(|(word, met)| word_at(text, at, &[*word]).map(|(_, end)| (*met, end)));
    found.max_by_key(|(_, end)| *end)
}

/// Lines that begin with a criterion's number and its verdict.
fn of_lines(own: &OwnWords) -> Result<BTreeMap<usize, bool>, Unchecked> {
    let text = &own.text;
    let (mut verdicts, mut start) = (BTreeMap::new(), 0);
    while start < text.len() {
        let end = line_end(text, start);
        if let Some((number, at)) = number_at(text, start).filter(|(_, at)| *at < end) {
            let verdict = verdict_at(text, at).filter(|(_, stop)| may_end(text, *stop));
            let words = text.get(start..verdict.map_or(end, |(_, stop)| stop)).unwrap_or_default();
            if !own.quoted.has(words) {
                let (met, _) = verdict.ok_or_else(|| Unchecked::Unclear(shown(text, start..end)))?;
                insert(&mut verdicts, number, met)?;
            }
        }
        start = end + 1;
    }
    Ok(verdicts)
}

/// The number with which a line begins, and where its verdict does: `1.`, `- 2)`, `**3：**`, `criterion 4:`.
fn number_at(text: &[char], start: usize) -> Option<(usize, usize)> {
    let lead = |c: char| c == ' ' || is_decoration(c) || matches!(c, '-' | '•' | '(');
    let at = skip(text, start, lead);
    let at = word_at(text, at, &["criterion", "标准", "第"]).map_or(at, |(_, end)| skip_decoration(text, end));
    let end = skip(text, at, |c| c.is_ascii_digit());
    let number: String = text.get(at..end)?.iter().collect();
    let behind = skip(text, end, |c| c == ' ' || is_decoration(c) || matches!(c, '条' | '项'));
    let is_marked = matches!(text.get(behind), Some('.' | '、' | ')' | ':')) && !is_digit_at(text, behind + 1);
    let verdict = skip(text, behind, |c| c == ' ' || is_decoration(c) || matches!(c, '.' | '、' | ')' | ':'));
    (is_marked && number.len() <= 3).then(|| number.parse().ok())?.map(|number| (number, verdict))
}

/// Whether a verdict may end here: a word of more letters is another word.
fn may_end(text: &[char], end: usize) -> bool {
    let at = skip_decoration(text, end);
    matches!(text.get(at), None | Some('\n' | '.' | '。' | ',' | ';' | ':' | '(' | ')' | '-' | '—' | '–' | '!'))
}
