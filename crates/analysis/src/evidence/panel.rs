//! Several judges as one: the median of what they gave each answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tunebench_spec::JudgementStatus;

use super::kind::Kind;
use super::rows::{Texts, Verdict};

/// Name of the panel among the judges.
pub const PANEL: &str = "panel (median)";

/// An answer: arm, seed, item.
type Key = (Arc<str>, u64, Arc<str>);

/// The panel's verdicts and what they are; none of fewer than two judges, of judges that have no answer in common, or where
/// a judge has the panel's name.
///
/// Each judge's repeats are averaged first. An answer that one of them has no score for has none by the panel, because a
/// median over fewer is another quantity.
pub fn panel(verdicts: &[Verdict]) -> Option<(Vec<Verdict>, Kind)> {
    let judges: BTreeSet<&str> = verdicts.iter().map(|verdict| &*verdict.judge).collect();
    if judges.len() < 2 || judges.contains(PANEL) {
        return None;
    }
    let mut answers: BTreeMap<Key, BTreeMap<&str, Vec<&Verdict>>> = BTreeMap::new();
    for verdict in verdicts {
        let key = (verdict.arm.clone(), verdict.seed, verdict.item.clone());
        answers.entry(key).or_default().entry(&verdict.judge).or_default().push(verdict);
    }
    let mut texts = Texts::default();
    let name = texts.one(PANEL);
    let mut found = Vec::new();
    for ((arm, seed, item), by_judge) in &answers {
        if by_judge.len() < judges.len() {
            continue;
        }
        let scores: Vec<f64> = by_judge.values().filter_map(|verdicts| mean_of(verdicts)).collect();
        let score = median(&scores).filter(|_| scores.len() == judges.len());
        let all = || by_judge.values().flatten();
        let failed = all().any(|verdict| verdict.status == JudgementStatus::Failed);
        // Under another rubric of one of them it is another panel.
        let hashes: Vec<&str> = all()
            .filter(|verdict| verdict.score.is_some())
            .map(|verdict| &*verdict.judge_hash)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let category = all().next().map_or_else(|| texts.one(""), |verdict| verdict.category.clone());
        found.push(Verdict {
            arm: arm.clone(),
            seed: *seed,
            item: item.clone(),
            category,
            judge: name.clone(),
            judge_hash: texts.one(&hashes.join("+")),
            repeat: 0,
            score,
            status: match (score, failed) {
                (Some(_), _) => JudgementStatus::Scored,
                (None, true) => JudgementStatus::Failed,
                (None, false) => JudgementStatus::Unscored,
            },
        });
    }
    let complete = found.iter().filter(|verdict| verdict.score.is_some()).count();
    let judges = judges.into_iter().map(str::to_owned).collect();
    (complete > 0).then_some((found, Kind::Panel { judges, answers: answers.len(), complete }))
}

fn mean_of(verdicts: &[&Verdict]) -> Option<f64> {
    let scores: Vec<f64> = verdicts.iter().filter_map(|verdict| verdict.score).collect();
    (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64)
}

/// The middle value, or the mean of the two in the middle.
fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = sorted.get(sorted.len() / 2).copied()?;
    match sorted.len().is_multiple_of(2) {
        true => Some(f64::midpoint(sorted.get(sorted.len() / 2 - 1).copied()?, upper)),
        false => Some(upper),
    }
}
