//! How many answers of an arm have a score, and how far its macro average could move were the others scored.

use std::collections::{BTreeMap, BTreeSet};

use tunebench_spec::JudgementStatus;

use crate::evidence::{Judged, Verdict};
use crate::run::mean;

/// An arm's answers by one judge.
#[derive(Clone, Debug, PartialEq)]
pub struct Counts {
    pub arm: String,
    /// Trainings that were judged.
    pub seeds: usize,
    /// Items that each of them was judged on.
    pub items: usize,
    /// Items times trainings.
    pub answers: usize,
    /// Answers without a score: that the judge could not tell, and for which it could not be asked.
    pub unscored: usize,
    pub failed: usize,
    /// By category, the items that every training has a score for.
    pub complete: BTreeMap<String, usize>,
    /// The macro average over all its categories with every answer without a score counted as 0, and as 1.
    pub lower_bound: f64,
    pub upper_bound: f64,
}

/// In the order of [`Judged::arms`].
pub fn counts(judged: &Judged) -> Vec<Counts> {
    let mut by_arm: BTreeMap<&str, Vec<&Verdict>> = BTreeMap::new();
    for verdict in &judged.verdicts {
        by_arm.entry(&verdict.arm).or_default().push(verdict);
    }
    judged.arms.iter().filter_map(|arm| Some(of_arm(arm, by_arm.get(arm.as_str())?))).collect()
}

fn of_arm(arm: &str, verdicts: &[&Verdict]) -> Counts {
    let mut repeats: BTreeMap<(u64, &str), Vec<&Verdict>> = BTreeMap::new();
    for verdict in verdicts {
        repeats.entry((verdict.seed, &verdict.item)).or_default().push(verdict);
    }
    let mut scores: BTreeMap<&str, Vec<Option<f64>>> = BTreeMap::new();
    let (mut unscored, mut failed) = (0, 0);
    for repeats in repeats.values() {
        let score = mean(&repeats.iter().filter_map(|verdict| verdict.score).collect::<Vec<_>>());
        let is_failed = repeats.iter().any(|verdict| verdict.status == JudgementStatus::Failed);
        match (score, is_failed) {
            (Some(_), _) => {}
            (None, true) => failed += 1,
            (None, false) => unscored += 1,
        }
        let category = repeats.first().map_or("", |verdict| &*verdict.category);
        scores.entry(category).or_default().push(score);
    }
    let n_seeds = repeats.keys().map(|(seed, _)| *seed).collect::<BTreeSet<_>>().len();
    let mut scored: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for ((_, item), repeats) in &repeats {
        if let Some(verdict) = repeats.iter().find(|verdict| verdict.score.is_some()) {
            *scored.entry((&verdict.category, item)).or_default() += 1;
        }
    }
    let mut complete: BTreeMap<String, usize> = BTreeMap::new();
    for ((category, _), _) in scored.iter().filter(|(_, n)| **n == n_seeds) {
        *complete.entry((*category).to_owned()).or_default() += 1;
    }
    let bound = |missing: f64| {
        let of = |scores: &Vec<Option<f64>>| mean(&scores.iter().map(|s| s.unwrap_or(missing)).collect::<Vec<_>>());
        mean(&scores.values().filter_map(of).collect::<Vec<_>>()).unwrap_or(missing)
    };
    Counts {
        arm: arm.to_owned(),
        seeds: n_seeds,
        items: repeats.keys().map(|(_, item)| *item).collect::<BTreeSet<_>>().len(),
        answers: repeats.len(),
        unscored,
        failed,
        complete,
        lower_bound: bound(0.0),
        upper_bound: bound(1.0),
    }
}
