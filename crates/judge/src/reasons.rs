//! Why judgements failed, when too many did.

use std::collections::BTreeMap;

use tunebench_spec::{Judgement, JudgementStatus};

use crate::error::JudgeError;

/// Of a reason that is shown.
const MOST_CHARACTERS: usize = 300;

/// [`JudgeError::TooManyFailed`] when all failed, or a larger share than `allowed`.
pub(crate) fn too_many(judgements: &[Judgement], allowed: f64) -> Option<JudgeError> {
    let reasons = || judgements.iter().filter(|j| j.status == JudgementStatus::Failed).map(|j| j.reason.as_str());
    let (failed, total) = (reasons().count(), judgements.len());
    if failed == 0 || (failed < total && failed as f64 <= allowed * total as f64) {
        return None;
    }
    let (reason, count) = commonest(reasons());
    Some(JudgeError::TooManyFailed { failed, total, allowed, reason, count })
}

/// The commonest reason as it was first said, and how often. Reasons that differ in numbers and names of requests are one.
fn commonest<'a>(reasons: impl Iterator<Item = &'a str>) -> (String, usize) {
    let mut kinds: BTreeMap<String, (usize, &str)> = BTreeMap::new();
    for reason in reasons {
        kinds.entry(kind(reason)).or_insert((0, reason)).0 += 1;
    }
    // Of equally common ones the first by name, so that it is the same each time.
    let best = kinds.into_values().rev().max_by_key(|(count, _)| *count);
    best.map_or_else(Default::default, |(count, reason)| (shown(reason), count))
}

/// A reason that a server or a plugin gave, to be shown: on one line of bounded length.
fn shown(reason: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_debug().collect() } else { String::from(c) };
    let head: String = reason.chars().take(MOST_CHARACTERS).map(escape).collect();
    if reason.chars().nth(MOST_CHARACTERS).is_some() { format!("{head}…") } else { head }
}

/// A reason without what is different each time: words that hold a digit, but for `HTTP 429:`.
fn kind(reason: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    for word in reason.split_whitespace() {
        let is_status = words.last() == Some(&"HTTP");
        words.push(if word.bytes().any(|b| b.is_ascii_digit()) && !is_status { "#" } else { word });
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_that_differ_in_numbers_are_one_kind() {
        let reasons = [
            "HTTP 500: request req_a1b2 failed after 3 s",
            "HTTP 400: no",
            "HTTP 500: request req_c3 failed after 12 s",
            "HTTP 503: request req_c3 failed after 12 s",
        ];
        let (reason, count) = commonest(reasons.into_iter());
        assert_eq!((reason.as_str(), count), (reasons[0], 2));
        assert_eq!(commonest(["b", "a"].into_iter()), ("a".to_owned(), 1));
        assert_eq!(commonest(["\u{1b}[31m得\n"].into_iter()), ("\\u{1b}[31m得\\n".to_owned(), 1));
        assert_eq!(commonest(["x".repeat(301).as_str()].into_iter()).0.chars().count(), 301, "and no longer");
    }
}
