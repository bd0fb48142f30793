//! Marks answer by answer: what a judge gave each, and people.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::Result;
use crate::evidence::Evidence;
use crate::run::mean;

/// An answer: arm, seed, content of the item.
pub type AnswerKey = (Arc<str>, u64, Arc<str>);

/// The marks of one answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Marked {
    pub category: Arc<str>,
    /// Repeats of a judge, or several people's; never none.
    pub marks: Vec<f64>,
}

impl Marked {
    pub fn mean(&self) -> f64 {
        mean(&self.marks).unwrap_or(f64::NAN)
    }
}

/// The marks of one judge, or of people.
pub type Marks = BTreeMap<AnswerKey, Marked>;

/// What a judge gave each answer that it scored.
///
/// # Errors
/// When its judgements do not measure the same.
pub fn marks(evidence: &Evidence, judge: &str) -> Result<Marks> {
    let mut found = Marks::new();
    for verdict in evidence.verdicts(judge)? {
        let Some(score) = verdict.score else { continue };
        let key = (verdict.arm.clone(), verdict.seed, verdict.item.clone());
        let marked =
            found.entry(key).or_insert_with(|| Marked { category: verdict.category.clone(), marks: Vec::new() });
        marked.marks.push(score);
    }
    Ok(found)
}

/// An answer that both gave a mark.
#[derive(Clone, Debug, PartialEq)]
pub struct MarkedTwice {
    pub key: AnswerKey,
    pub category: Arc<str>,
    /// Means over repeats.
    pub first: f64,
    pub second: f64,
}

/// The answers that both gave marks, in the order of their keys.
pub fn common(first: &Marks, second: &Marks) -> Vec<MarkedTwice> {
    let both = first.iter().filter_map(|(key, one)| Some((key, one, second.get(key)?)));
    let twice = |(key, one, other): (&AnswerKey, &Marked, &Marked)| MarkedTwice {
        key: key.clone(),
        category: one.category.clone(),
        first: one.mean(),
        second: other.mean(),
    };
    both.map(twice).collect()
}

/// The marks of both, as the statistics take them.
pub fn values(twice: &[MarkedTwice]) -> Vec<(f64, f64)> {
    twice.iter().map(|answer| (answer.first, answer.second)).collect()
}

/// Numbers items from 0, in the order of their names.
pub fn item_numbers<'a>(keys: impl Iterator<Item = &'a AnswerKey>) -> BTreeMap<Arc<str>, usize> {
    let mut numbers: BTreeMap<Arc<str>, usize> = keys.map(|(_, _, item)| (item.clone(), 0)).collect();
    numbers.values_mut().enumerate().for_each(|(number, place)| *place = number);
    numbers
}
