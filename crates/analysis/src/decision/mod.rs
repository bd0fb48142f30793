//! What a study says, in a sentence or two, and how sure that is.

pub mod chinese;
pub mod english;
pub mod facts;
pub mod outcome;

use std::path::Path;

use facts::{Facts, Sentences, by_height};
use outcome::{Outcome, groups, pair, score, single};
use tunebench_statistics::Verdict;

use crate::arm_cost::arm_costs;
use crate::calibration;
use crate::corrected::Correction;
use crate::error::{Error, Result};
use crate::estimates::{ArmScore, JudgeScores, PairScore, judge_scores, verdict_words};
use crate::evidence::Evidence;
use crate::run::Run;
use crate::table::{Cell, Table};

/// What one judge's scores and the costs come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    pub judge: String,
    /// As data, for who says it in another language.
    pub outcome: Outcome,
    /// Arms of the group that were trained once.
    pub single: Vec<String>,
    pub english: Sentences,
    pub chinese: Sentences,
    /// What people's marks do to it; none of a judge that compares answers.
    pub correction: Option<Correction>,
}

impl Decision {
    /// Whether the headline says what holds for new trainings, rather than that nothing can be said yet.
    pub fn is_settled(&self) -> bool {
        self.single.is_empty() && matches!(self.outcome, Outcome::Winner { .. } | Outcome::Alike { .. })
    }
}

/// For each judge the decision, over a table of all pairs of arms; differences smaller than `margin` do not matter.
///
/// # Errors
/// When the frames cannot be read, nothing is judged, or the judgements cannot be compared.
pub fn decision(dir: &Path, margin: f64) -> Result<Vec<Table>> {
    let (evidence, found) = read(dir, margin)?;
    let table = |(found, scores): &(Decision, JudgeScores)| {
        let mut table = table(found, scores, evidence.title("What this study says", &scores.judge), margin);
        table.notes.extend(evidence.about(&scores.judge).into_iter().map(|note| note.english));
        table
    };
    Ok(found.iter().map(table).collect())
}

/// The decision of each judge, with the scores that it is about.
///
/// # Errors
/// As [`decision`].
pub fn decisions(dir: &Path, margin: f64) -> Result<Vec<(Decision, JudgeScores)>> {
    Ok(read(dir, margin)?.1)
}

fn read(dir: &Path, margin: f64) -> Result<(Evidence, Vec<(Decision, JudgeScores)>)> {
    if !(margin > 0.0 && margin < 1.0) {
        return Err(Error::BadMargin(margin));
    }
    let run = Run::open(dir)?;
    let evidence = Evidence::read(&run)?;
    let mut found = Vec::new();
    for judge in evidence.judge_names() {
        let scores = judge_scores(&run, &evidence, judge, margin)?;
        found.push((of_scores(&run, &evidence, &scores, margin)?, scores));
    }
    Ok((evidence, found))
}

/// The decision that the scores of one judge allow.
///
/// # Errors
/// When the judgements cannot be compared.
pub fn of_scores(run: &Run, evidence: &Evidence, scores: &JudgeScores, margin: f64) -> Result<Decision> {
    let outcome = outcome::of(run, evidence, scores, margin)?;
    let costs = arm_costs(run, evidence, &scores.judge, &scores.arms);
    let groups = groups(run, scores);
    let group = groups.first().map_or(&[][..], Vec::as_slice);
    let single = single(group);
    let facts = Facts { costs: &costs, margin, single: &single };

    let pairs: Vec<&PairScore> = match group.split_first() {
        Some((best, others)) => others.iter().filter_map(|other| pair(scores, &best.arm, &other.arm)).collect(),
        None => Vec::new(),
    };
    let n_others = groups.iter().skip(1).filter(|group| group.len() > 1).count();
    let more = (n_others > 0).then_some(n_others);
    let overall = overall(scores, group);
    let correction = calibration::so_far(run, evidence, &scores.judge)?;
    let corrected = pairs.first().and_then(|pair| {
        let (higher, lower) = by_height(pair);
        correction.as_ref()?.difference(higher, lower)
    });
    let with = |certainty: String, corrected: Option<&str>| match corrected {
        Some(corrected) => format!("{certainty} {corrected}").trim().to_owned(),
        None => certainty,
    };
    let english = Sentences {
        headline: english::headline(&outcome, &facts),
        certainty: with(english::certainty(&outcome, &facts), corrected.as_ref().map(|note| note.english.as_str())),
        reasons: pairs
            .iter()
            .map(|pair| english::pair(pair, &facts))
            .chain(more.map(english::more_groups))
            .chain(
                overall.map(|(best, in_group, told)| english::best_of_all(&best.arm, score(best), &in_group.arm, told)),
            )
            .collect(),
    };
    let chinese = Sentences {
        headline: chinese::headline(&outcome, &facts),
        certainty: with(chinese::certainty(&outcome, &facts), corrected.as_ref().map(|note| note.chinese.as_str())),
        reasons: pairs
            .iter()
            .map(|pair| chinese::pair(pair, &facts))
            .chain(more.map(chinese::more_groups))
            .chain(
                overall.map(|(best, in_group, told)| chinese::best_of_all(&best.arm, score(best), &in_group.arm, told)),
            )
            .collect(),
    };
    Ok(Decision { judge: scores.judge.clone(), outcome, single, english, chinese, correction })
}

/// Where the best of all arms is none of the group's: it, the group's best, and whether the two are told apart.
fn overall<'a>(scores: &'a JudgeScores, group: &[&'a ArmScore]) -> Option<(&'a ArmScore, &'a ArmScore, bool)> {
    let whole = scores.arms.iter().filter(|arm| arm.macro_average.is_ok());
    let best = whole.max_by(|a, b| score(a).total_cmp(&score(b)))?;
    let in_group = group.first().copied()?;
    let found = pair(scores, &best.arm, &in_group.arm);
    let is_told_apart = found.is_some_and(|pair| matches!(pair.verdict, Verdict::Different { .. }));
    let is_in_group = group.iter().any(|arm| arm.arm == best.arm);
    (!is_in_group).then_some((best, in_group, is_told_apart))
}

fn table(found: &Decision, scores: &JudgeScores, title: String, margin: f64) -> Table {
    let columns = [
        ("first", 0),
        ("second", 0),
        ("difference", 3),
        ("ci_low", 3),
        ("ci_high", 3),
        ("interval_over", 0),
        ("p_adjusted", 4),
        ("verdict", 0),
    ];
    let made = found.correction.as_ref().filter(|correction| correction.is_made());
    let corrected: &[(&str, usize)] = match made {
        Some(_) => &[("corrected", 3), ("corrected_low", 3), ("corrected_high", 3)],
        None => &[],
    };
    let mut table = Table::new(title, &[&columns[..], corrected].concat()).with_prose(&["verdict"]);
    table.rows = scores
        .pairs
        .iter()
        .map(|pair| {
            let mut row: Vec<Cell> = vec![
                pair.first.as_str().into(),
                pair.second.as_str().into(),
                pair.difference.into(),
                pair.interval.map(|interval| interval.low).into(),
                pair.interval.map(|interval| interval.high).into(),
                pair.scope.map(|scope| scope.to_string()).into(),
                pair.p_adjusted.into(),
                verdict_words(pair.verdict, &pair.first, &pair.second, margin).into(),
            ];
            if let Some(correction) = made {
                row.extend(corrected_cells(correction, pair));
            }
            row
        })
        .collect();
    let english = &found.english;
    let sentences = [&english.headline, &english.certainty].into_iter().chain(&english.reasons);
    table.notes = sentences.filter(|sentence| !sentence.is_empty()).cloned().collect();
    table.notes.extend(found.correction.as_ref().map(|correction| correction.note().english));
    table
}

/// A pair's corrected difference and its interval, as of the first arm minus the second.
fn corrected_cells(correction: &Correction, pair: &PairScore) -> [Cell; 3] {
    let known = correction.pair(&pair.first, &pair.second).and_then(|(found, is_turned)| {
        let (difference, interval) = found.known()?;
        Some(match is_turned {
            true => (-difference, -interval.high, -interval.low),
            false => (difference, interval.low, interval.high),
        })
    });
    [known.map(|k| k.0).into(), known.map(|k| k.1).into(), known.map(|k| k.2).into()]
}
