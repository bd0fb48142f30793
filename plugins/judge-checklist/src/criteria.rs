//! Criteria and their weights: from the lines of a rubric or from an option, and the score that verdicts make of them.

use std::fmt::Write;

/// Most criteria of one item: more are no list that a model goes through with care.
pub const MOST: usize = 100;
const LARGEST_WEIGHT: f64 = 1e6;

/// Something that an answer does or does not meet.
#[derive(Clone, Debug, PartialEq)]
pub struct Criterion {
    pub text: String,
    /// Above 0.
    pub weight: f64,
}

/// The lines of a rubric that begin with `-`, `*` or `•`, without what is around them.
///
/// # Errors
/// What is wrong with a weight, or that there are too many.
pub fn of_rubric(rubric: &str) -> Result<Vec<Criterion>, String> {
    let marked = |line: &str| {
        let item = line.trim().strip_prefix(['-', '*', '•'])?;
        // `---` is a rule, `-1` a number, `**bold**` a word.
        item.starts_with(char::is_whitespace).then(|| item.trim().to_owned()).filter(|item| !item.is_empty())
    };
    all(rubric.lines().filter_map(marked))
}

/// Those of a list.
///
/// # Errors
/// What is wrong with one, by its place.
pub fn of_option(criteria: &[String]) -> Result<Vec<Criterion>, String> {
    if let Some(place) = criteria.iter().position(|text| text.trim().is_empty()) {
        return Err(format!("criterion {} of `criteria` is empty", place + 1));
    }
    all(criteria.iter().map(|text| text.trim().to_owned())).map_err(|fault| format!("`criteria`: {fault}"))
}

fn all(texts: impl Iterator<Item = String>) -> Result<Vec<Criterion>, String> {
    let criteria = texts.take(MOST + 1).enumerate().map(|(place, text)| criterion(place + 1, &text));
    let criteria = criteria.collect::<Result<Vec<_>, _>>()?;
    if criteria.len() > MOST { Err(format!("more than {MOST} criteria")) } else { Ok(criteria) }
}

/// `[2] text`; other words in brackets, such as `[ ]`, are text.
fn criterion(place: usize, text: &str) -> Result<Criterion, String> {
    let weighted = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let weight = weighted.and_then(|(weight, rest)| Some((weight.trim().parse::<f64>().ok()?, rest.trim())));
    let (weight, text) = weight.unwrap_or((1.0, text));
    if !(weight > 0.0 && weight <= LARGEST_WEIGHT) {
        return Err(format!("the weight of criterion {place} must be above 0, and at most {LARGEST_WEIGHT}"));
    }
    if text.is_empty() {
        return Err(format!("criterion {place} has a weight and no words"));
    }
    Ok(Criterion { text: text.to_owned(), weight })
}

/// The criteria as a numbered list, without weights: they are no business of who checks.
pub fn listed(criteria: &[Criterion]) -> String {
    let mut list = String::new();
    for (place, criterion) in criteria.iter().enumerate() {
        let _ = writeln!(list, "{}. {}", place + 1, criterion.text);
    }
    list.trim_end().to_owned()
}

/// The share of the weight that is met, from 0 to 1, and what it is made of.
pub fn score(criteria: &[Criterion], met: &[bool], origin: &str) -> (f64, String) {
    let total: f64 = criteria.iter().map(|criterion| criterion.weight).sum();
    let weight: f64 = criteria.iter().zip(met).filter(|(_, met)| **met).map(|(criterion, _)| criterion.weight).sum();
    let missed: Vec<String> =
        met.iter().enumerate().filter(|(_, met)| !**met).map(|(place, _)| (place + 1).to_string()).collect();
    let missed = if missed.is_empty() { String::new() } else { format!("; not met: {}", missed.join(", ")) };
    let count = met.iter().filter(|met| **met).count();
    let reason =
        format!("{count} of {} criteria met, weight {weight} of {total}{missed}; criteria: {origin}", criteria.len());
    ((weight / total).clamp(0.0, 1.0), reason)
}
