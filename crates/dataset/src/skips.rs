//! Rows that cannot be used, counted by reason.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Reasons kept apart; a source with more kinds of faults than this has its further ones counted together.
const MAX_REASONS: usize = 100;
/// Reasons that an error lists.
const MAX_SHOWN: usize = 6;
const OTHER: &str = "other reasons";

/// How many rows were passed over, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skips {
    /// By reason, sorted.
    pub reasons: BTreeMap<String, Skipped>,
}

/// The rows skipped for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    pub count: u64,
    pub first_place: String,
}

impl Skips {
    /// Counts one row.
    pub fn add(&mut self, place: &str, reason: &str) {
        let full = self.reasons.len() >= MAX_REASONS && !self.reasons.contains_key(reason);
        let reason = if full { OTHER } else { reason };
        let first = || Skipped { count: 0, first_place: place.into() };
        self.reasons.entry(reason.into()).or_insert_with(first).count += 1;
    }

    /// The commonest reasons, most rows first, each with its first place.
    pub fn largest(&self) -> String {
        let mut reasons: Vec<(&String, &Skipped)> = self.reasons.iter().collect();
        reasons.sort_by_key(|(reason, skipped)| (std::cmp::Reverse(skipped.count), (*reason).clone()));
        let shown = reasons
            .iter()
            .take(MAX_SHOWN)
            .map(|(reason, skipped)| format!("{reason} ({}, first at {})", skipped.count, skipped.first_place));
        let mut text = shown.collect::<Vec<_>>().join("; ");
        if reasons.len() > MAX_SHOWN {
            text += &format!("; and {} more reasons", reasons.len() - MAX_SHOWN);
        }
        text
    }

    /// Rows skipped for any reason.
    pub fn total(&self) -> u64 {
        self.reasons.values().map(|s| s.count).sum()
    }
}

/// `3 skipped: no answer (2, first at a.jsonl:7); not valid UTF-8 (1, first at a.jsonl:9)`
impl fmt::Display for Skips {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} skipped", self.total())?;
        for (index, (reason, skipped)) in self.reasons.iter().enumerate() {
            let separator = if index == 0 { ":" } else { ";" };
            write!(f, "{separator} {reason} ({}, first at {})", skipped.count, skipped.first_place)?;
        }
        Ok(())
    }
}
