//! Marks in JSON objects: `{"score": 0.8, "reason": "…"}`, alone, fenced or among other words.

use std::ops::Range;

use serde_json::Value;

use crate::before::before;
use crate::fault::Fault;
use crate::headed::heading_at;
use crate::mark::Mark;
use crate::number::{Odd, number, range, scale_within};
use crate::objects::{Fields, are_all, objects};
use crate::quotes::{Quoted, blank};
use crate::scale::{Of, Scale};
use crate::text::{fold, shown, skip_decoration};
use crate::words::{Rank, TOTALS};

/// Keys whose number is the full mark.
const FULL_KEYS: &[&str] = &[
    "max",
    "max score",
    "maximum",
    "maximum score",
    "max points",
    "full mark",
    "full marks",
    "full score",
    "out of",
    "of",
    "possible",
    "points possible",
    "total points",
    "满分",
    "满分值",
    "最高分",
];
/// Keys that name the scale.
const SCALE_KEYS: &[&str] = &["scale", "range", "score range", "rating scale", "分制", "范围", "评分范围", "量表"];

/// The marks of all objects, which are taken out of the text. An object that also stands in an answer is a quotation;
/// so is one with the same mark in the same words, unless it is the whole reply.
pub fn take_marks(text: &mut [char], quoted: &Quoted, scale: Scale) -> Vec<Mark> {
    let objects = objects(text);
    let alone = are_all(text, &objects);
    let (mut marks, mut marked) = (Vec::new(), 0);
    for (range, fields) in &objects {
        let object = text.get(range.clone()).unwrap_or_default();
        if !quoted.has(object) && !fields.is_of_part() {
            let found = of_object(fields, range.clone(), text, scale);
            let own = found.into_iter().filter(|(key, _)| alone || !quoted.has(key)).map(|(_, mark)| mark);
            let before = marks.len();
            marks.extend(own);
            marked += usize::from(marks.len() > before);
        }
    }
    // A list of marks, even of equal ones, is no mark.
    if marked > 1 {
        marks.iter_mut().for_each(|mark| mark.share = Err(Fault::Unclear(mark.shown.clone())));
    }
    for (range, _) in objects {
        if let Some(part) = text.get_mut(range) {
            blank(part);
        }
    }
    marks
}

/// The marks of an object's own fields, not of objects within it, each with its key and value as words.
fn of_object(Fields(fields): &Fields, range: Range<usize>, text: &[char], scale: Scale) -> Vec<(Vec<char>, Mark)> {
    let name = |key: &str| key.replace(['_', '-'], " ").trim().to_owned();
    let named =
        fields.iter().find(|(key, _)| [FULL_KEYS, SCALE_KEYS].iter().any(|keys| keys.contains(&name(key).as_str())));
    let full = named.map(|(_, value)| full_of(value, scale));
    let mut marks = Vec::new();
    for (key, value) in fields {
        let Some(rank) = rank_of_key(&fold(&name(key))) else { continue };
        let words: Vec<char> = fold(&format!("{key}:{value}"));
        let unread =
            |fault: Fault| Mark { share: Err(fault), ..Mark::unread(text, range.start, range.clone(), Odd::Unclear) };
        let mark = match value {
            _ if full == Some(None) => None,
            Value::Number(_) => of_text(&fold(&value.to_string()), full.flatten(), scale),
            Value::String(string) => of_text(&fold(string), full.flatten(), scale),
            _ => None,
        };
        let mark = mark.unwrap_or_else(|| unread(Fault::Unclear(shown(&words, 0..words.len()))));
        let mark = Mark { start: range.start, end: range.end, is_closed: true, ..mark }.ranked(rank, false);
        marks.push((words, mark));
    }
    marks
}

/// What a key of the full mark or the scale says: the scale of the rubric, a full mark, or something else.
fn full_of(value: &Value, scale: Scale) -> Option<Of> {
    if let Some(full) = value.as_f64() {
        return Some(Of::Full(full));
    }
    let text = fold(value.as_str()?);
    let at = skip_decoration(&text, 0);
    let is_whole = |end: usize| skip_decoration(&text, end) >= text.len();
    match range(&text, at) {
        Some((low, high, end)) if is_whole(end) => (scale.is_range(low, high) || low == 0.0).then_some(Of::Full(high)),
        _ => scale_within(&text, at).filter(|(_, end)| is_whole(*end)).map(|(of, _)| of),
    }
}

/// The rank of a key that is a heading with nothing but known words before it.
fn rank_of_key(key: &[char]) -> Option<Rank> {
    (0..key.len()).find_map(|at| {
        let (word, rank, end) = heading_at(key, at)?;
        let before = before(key, at)?;
        let is_whole = end == key.len();
        let rank = if TOTALS.contains(&word) { Rank::Plain } else { rank };
        is_whole.then_some(if before.is_final { Rank::Final } else { rank })
    })
}

/// A value that is a number and no more.
fn of_text(value: &[char], full: Option<Of>, scale: Scale) -> Option<Mark> {
    let at = skip_decoration(value, 0);
    match number(value, at)? {
        Ok(found) if skip_decoration(value, found.end) >= value.len() => {
            Some(Mark::of_number(value, 0, at, found, full, scale))
        }
        Ok(_) => None,
        Err(odd) => Some(Mark::unread(value, 0, 0..value.len(), odd)),
    }
}
