//! What the scores of arms that share model and data come to, as plain data.

use tunebench_statistics::{Average, Design, Enough, Scope, Verdict, components};

use crate::compare::what_shows;
use crate::error::Result;
use crate::estimates::{ArmScore, JudgeScores, PairScore};
use crate::evidence::Evidence;
use crate::run::{Arm, Run};
use crate::sample::Sample;

/// What can be said of the largest group of arms that share model and data.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// One arm scores higher than every other, by more than the margin may be.
    Winner {
        best: String,
        next: String,
        /// Arms of the group.
        among: usize,
        pair: PairScore,
    },
    /// The best and those that are as good, within the margin; every other is lower.
    Alike {
        /// Best first.
        arms: Vec<String>,
        /// Whether one of them is surely lower, by less than the margin.
        is_different: bool,
    },
    /// The best is neither surely higher than the rival nor surely within the margin of it.
    Undecided {
        best: String,
        rival: String,
        pair: Option<PairScore>,
        /// The fewest answers that would show a difference of the margin; none where that cannot be said.
        enough: Option<Enough>,
    },
    /// No two trained arms share model and data.
    NoRivals {
        best: String,
        /// Trained arms with a score.
        trained: usize,
        /// The best against the model it comes from.
        against_base: Option<PairScore>,
    },
    /// No trained arm has a macro average.
    NoScores,
}

/// The outcome by one judge, over the largest group.
///
/// # Errors
/// When the judgements cannot be compared.
pub fn of(run: &Run, evidence: &Evidence, scores: &JudgeScores, margin: f64) -> Result<Outcome> {
    match groups(run, scores).first() {
        Some(group) if group.len() > 1 => of_group(run, evidence, scores, group, margin),
        _ => Ok(without_rivals(run, scores)),
    }
}

/// Trained arms with a macro average that share model and data, best first; the largest group first.
pub fn groups<'a>(run: &Run, scores: &'a JudgeScores) -> Vec<Vec<&'a ArmScore>> {
    let mut groups: Vec<((&str, &str), Vec<&ArmScore>)> = Vec::new();
    for (arm, record) in trained(run, scores).into_iter().filter_map(|arm| Some((arm, &run.arm(&arm.arm)?.record))) {
        let key = (record.base.as_str(), record.dataset.as_str());
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, arms)) => arms.push(arm),
            None => groups.push((key, vec![arm])),
        }
    }
    let mut groups: Vec<Vec<&ArmScore>> = groups.into_iter().map(|(_, arms)| arms).collect();
    groups.sort_by_key(|arms| std::cmp::Reverse(arms.len()));
    groups
}

/// The trained arms with a macro average, best first; an arm in another form is no method to decide on.
fn trained<'a>(run: &Run, scores: &'a JudgeScores) -> Vec<&'a ArmScore> {
    let is_variant = |arm: &ArmScore| run.arm(&arm.arm).is_some_and(Arm::is_variant);
    let is_trained = |arm: &&ArmScore| !arm.is_base && !is_variant(arm) && arm.macro_average.is_ok();
    let mut arms: Vec<&ArmScore> = scores.arms.iter().filter(is_trained).collect();
    arms.sort_by(|a, b| score(b).total_cmp(&score(a)));
    arms
}

/// The macro average; lower than any where there is none.
pub fn score(arm: &ArmScore) -> f64 {
    arm.macro_average.as_ref().map_or(f64::NEG_INFINITY, |mean| mean.mean)
}

/// Two arms' difference, whichever of them is first in it.
pub fn pair<'a>(scores: &'a JudgeScores, a: &str, b: &str) -> Option<&'a PairScore> {
    scores.pairs.iter().find(|pair| (pair.first == a && pair.second == b) || (pair.first == b && pair.second == a))
}

fn of_group(run: &Run, evidence: &Evidence, scores: &JudgeScores, group: &[&ArmScore], margin: f64) -> Result<Outcome> {
    let Some((best, others)) = group.split_first() else { return Ok(Outcome::NoScores) };
    let best_name = best.arm.clone();
    let with_pairs: Vec<(&ArmScore, Option<&PairScore>)> =
        others.iter().map(|other| (*other, pair(scores, &best.arm, &other.arm))).collect();
    let is_unclear = |pair: Option<&PairScore>| pair.is_none_or(|pair| pair.verdict == Verdict::CannotTell);
    if let Some((rival, pair)) = with_pairs.iter().find(|(_, pair)| is_unclear(*pair)) {
        let enough = what_would_settle(run, evidence, scores, group, margin)?;
        let (rival, pair) = (rival.arm.clone(), pair.cloned());
        return Ok(Outcome::Undecided { best: best_name, rival, pair, enough });
    }
    let within =
        |pair: &PairScore| matches!(pair.verdict, Verdict::Equivalent | Verdict::Different { within_margin: true, .. });
    let alike: Vec<&(&ArmScore, Option<&PairScore>)> =
        with_pairs.iter().filter(|(_, pair)| pair.is_some_and(within)).collect();
    if !alike.is_empty() {
        let is_different = alike.iter().any(|(_, pair)| pair.is_some_and(|pair| pair.verdict != Verdict::Equivalent));
        let arms = std::iter::once(best_name).chain(alike.iter().map(|(arm, _)| arm.arm.clone())).collect();
        return Ok(Outcome::Alike { arms, is_different });
    }
    Ok(match with_pairs.first() {
        Some((next, Some(pair))) => {
            let next = next.arm.clone();
            Outcome::Winner { best: best_name, next, among: group.len(), pair: (*pair).clone() }
        }
        _ => Outcome::NoScores,
    })
}

/// From what the group's own scores vary by, the fewest answers that would show the margin.
fn what_would_settle(
    run: &Run,
    evidence: &Evidence,
    scores: &JudgeScores,
    group: &[&ArmScore],
    margin: f64,
) -> Result<Option<Enough>> {
    let names: Vec<&str> = group.iter().map(|arm| arm.arm.as_str()).collect();
    let (judged, _) = evidence.of(&scores.judge, &names)?.complete();
    let Some(sample) = Sample::of(run, &judged)? else { return Ok(None) };
    let Ok(parts) = components(&sample.as_given, Average::Macro) else { return Ok(None) };
    let categories = sample.scores.categories().len();
    let design = Design { items: parts.items.used, categories, seeds: 1, repeats: judged.repeats() };
    let designs = what_shows(&parts, &design, margin).unwrap_or_default();
    let answers = |design: &Enough| design.items.map_or(usize::MAX, |items| items.saturating_mul(design.seeds));
    Ok(designs.into_iter().filter(|design| design.items.is_some()).min_by_key(answers))
}

fn without_rivals(run: &Run, scores: &JudgeScores) -> Outcome {
    let trained = trained(run, scores);
    let Some(best) = trained.first() else { return Outcome::NoScores };
    let root = run.arm(&best.arm).map(|arm| run.root(arm)).unwrap_or_default();
    Outcome::NoRivals {
        best: best.arm.clone(),
        trained: trained.len(),
        against_base: pair(scores, &best.arm, root).cloned(),
    }
}

/// Trained arms of the groups' first that were trained once.
pub fn single(group: &[&ArmScore]) -> Vec<String> {
    group.iter().filter(|arm| arm.scope == Scope::ItemsOnly).map(|arm| arm.arm.clone()).collect()
}
