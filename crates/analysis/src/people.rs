//! People's marks beside the answers that they are of.

use std::collections::{BTreeMap, BTreeSet};

use crate::evidence::{Answer, Evidence, Note};
use crate::marks::{Marked, Marks};

/// What people are called beside the judges.
pub const PEOPLE: &str = "people";

/// People's marks of the answers that are there now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct People {
    pub marks: Marks,
    /// Marks in the file.
    pub given: usize,
    /// Marks of an answer that has changed since, which are left out.
    pub outdated: usize,
    /// By arm, marks of answers that the run does not hold, which are left out.
    pub unknown: BTreeMap<String, usize>,
    /// Marks that do not say which answer they are of, and are taken for the one that is there now.
    pub assumed: usize,
    /// Names of those who marked, as far as they are said.
    pub labelers: BTreeSet<String>,
}

/// What people marked of the run's answers.
pub fn people(evidence: &Evidence) -> People {
    let answers: BTreeMap<(&str, u64, &str), &Answer> =
        evidence.all_answers().iter().map(|answer| ((&*answer.arm, answer.seed, &*answer.id), answer)).collect();
    let mut found = People { given: evidence.labels().len(), ..People::default() };
    for label in evidence.labels() {
        let Some(answer) = answers.get(&(label.arm.as_str(), label.seed, label.item.as_str())) else {
            *found.unknown.entry(label.arm.clone()).or_default() += 1;
            continue;
        };
        if label.answer_hash.is_empty() {
            found.assumed += 1;
        } else if *label.answer_hash != *answer.answer_hash {
            found.outdated += 1;
            continue;
        }
        if !label.labeler.is_empty() {
            found.labelers.insert(label.labeler.clone());
        }
        let key = (answer.arm.clone(), answer.seed, answer.item.clone());
        let marked = Marked { category: answer.category.clone(), marks: Vec::new() };
        found.marks.entry(key).or_insert(marked).marks.push(label.score);
    }
    found
}

impl People {
    /// What was left out or assumed of the marks, a sentence each.
    pub fn notes(&self) -> Vec<Note> {
        let mut notes = Vec::new();
        if self.outdated > 0 {
            let (n, of) = (self.outdated, self.given);
            notes.push(Note::new(
                format!("{n} of {of} marks of people are of answers that have changed since, and are left out."),
                format!("{of} 个人工评分中有 {n} 个所评的回答后来已改变，未计入。"),
            ));
        }
        if !self.unknown.is_empty() {
            let (n, of) = (self.unknown.values().sum::<usize>(), self.given);
            let arms: Vec<String> = self.unknown.iter().map(|(arm, n)| format!("{arm} {n}")).collect();
            let arms = arms.join(", ");
            notes.push(Note::new(
                format!(
                    "{n} of {of} marks of people are of answers that the run does not hold, and are left out ({arms})."
                ),
                format!("{of} 个人工评分中有 {n} 个所评的回答不在本次运行中，未计入（{arms}）。"),
            ));
        }
        if self.assumed > 0 {
            let n = self.assumed;
            notes.push(Note::new(
                format!("{n} marks of people do not say by a hash which answer they are of; they are taken for the answers there now."),
                format!("有 {n} 个人工评分没有用哈希注明所评的回答，按现有回答计入。"),
            ));
        }
        notes
    }
}
