//! How good each judge is: whom it asked, what that gave and cost, what its marks vary by, and what they should not depend on.

use std::collections::BTreeMap;
use std::path::Path;

use tunebench_results::ServedJudgement;
use tunebench_spec::JudgementStatus;
use tunebench_statistics::preference::{PositionEffect, position_effect};
use tunebench_statistics::{Component, Error as Refusal, Generalizability, JudgedMark, Line, generalizability, line};

use crate::comparisons::comparisons;
use crate::error::Result;
use crate::evidence::{Evidence, Kind};
use crate::lengths::{ArmLengths, arm_lengths};
use crate::marks::{AnswerKey, Marks, marks};
use crate::probes::{self, probed};
use crate::run::{Run, mean};
use crate::table::Table;

/// Reasons shown of each judge, the commonest first.
const REASONS: usize = 5;

/// Whom a judge asked, and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    pub judge: String,
    /// Asked and answering models with the server's fingerprints, the commonest first; empty of a judge that asks nobody.
    pub served: Vec<(String, usize)>,
    /// What the server refused, and how many requests went without.
    pub adapted: Vec<(String, usize)>,
    pub judgements: usize,
    pub scored: usize,
    pub unscored: usize,
    pub failed: usize,
    /// Why there is no score, and how often, the commonest first.
    pub reasons: Vec<(JudgementStatus, String, usize)>,
    /// Of all that have a price; none where none has.
    pub cost_usd: Option<f64>,
    pub unpriced: usize,
    /// Mean of those that asked a model.
    pub seconds: Option<f64>,
    pub by_batch: usize,
}

/// What the marks of one judge, or of all that mark together, vary by.
#[derive(Clone, Debug)]
pub struct Varies {
    /// Empty of all together.
    pub judge: String,
    pub parts: Result<Generalizability, Refusal>,
}

/// For each judge, a line each.
///
/// # Errors
/// When `dir` is not a run folder, a frame is damaged, nothing is judged, or judgements do not measure the same.
pub fn judges(dir: &Path) -> Result<Vec<Table>> {
    let run = Run::open(dir)?;
    let evidence = Evidence::read(&run)?;
    let services = services(&run)?;
    let mut tables = vec![of_services(&evidence, &services)];
    tables.extend(of_reasons(&services));
    tables.push(of_variances(&variances(&evidence)?));
    tables.extend(probes::table(&probed(&run)?));
    tables.extend(of_positions(&positions(&evidence)?));
    tables.extend(of_lengths(&slopes(&run, &evidence)?));
    Ok(tables)
}

/// Of each judge, by name.
///
/// # Errors
/// When the judgements are damaged.
pub fn services(run: &Run) -> Result<Vec<Service>> {
    let rows: Vec<ServedJudgement> = run.so_far()?;
    let mut judges: BTreeMap<&str, Vec<&ServedJudgement>> = BTreeMap::new();
    for row in &rows {
        judges.entry(&row.judge).or_default().push(row);
    }
    Ok(judges.into_iter().map(|(judge, rows)| service(judge, &rows)).collect())
}

fn service(judge: &str, rows: &[&ServedJudgement]) -> Service {
    let asked = || rows.iter().filter(|row| !row.asked_model.is_empty() || !row.model.is_empty());
    let count = |status| rows.iter().filter(|row| row.status == status).count();
    let without_score = rows.iter().filter(|row| row.status != JudgementStatus::Scored);
    let reasons = counted(without_score.map(|row| (row.status as u8, row.reason.clone())));
    let status_of = |place: u8| {
        if place == JudgementStatus::Failed as u8 { JudgementStatus::Failed } else { JudgementStatus::Unscored }
    };
    let prices: Vec<f64> = rows.iter().filter_map(|row| row.cost_usd).collect();
    Service {
        judge: judge.to_owned(),
        served: counted(asked().map(|row| served(row))),
        adapted: counted(rows.iter().filter(|row| !row.adapted.is_empty()).map(|row| row.adapted.clone())),
        judgements: rows.len(),
        scored: count(JudgementStatus::Scored),
        unscored: count(JudgementStatus::Unscored),
        failed: count(JudgementStatus::Failed),
        reasons: reasons.into_iter().map(|((status, reason), n)| (status_of(status), reason, n)).collect(),
        cost_usd: (!prices.is_empty()).then(|| prices.iter().sum()),
        unpriced: rows.len() - prices.len(),
        seconds: mean(&asked().map(|row| row.seconds).collect::<Vec<_>>()),
        by_batch: rows.iter().filter(|row| row.batch).count(),
    }
}

/// `gpt-x, answered as gpt-x-2026-01 [fp_1]`.
fn served(row: &ServedJudgement) -> String {
    crate::evidence::service_name(&row.asked_model, &row.model, &row.fingerprint)
}

/// Each value and how often it occurs, the commonest first.
fn counted<T: Ord + Clone>(values: impl Iterator<Item = T>) -> Vec<(T, usize)> {
    let mut counts: BTreeMap<T, usize> = BTreeMap::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    let mut counts: Vec<(T, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    counts
}

/// Of all judges that mark, where there are several; then of each judge by itself.
///
/// # Errors
/// When judgements do not measure the same.
pub fn variances(evidence: &Evidence) -> Result<Vec<Varies>> {
    let asked = evidence.judge_names().into_iter().filter(|judge| !matches!(evidence.kind(judge), Kind::Panel { .. }));
    let all: Vec<(&str, Marks)> = asked.map(|judge| Ok((judge, marks(evidence, judge)?))).collect::<Result<_>>()?;
    let marking: Vec<&Marks> =
        all.iter().filter(|(judge, _)| evidence.kind(judge).is_marks()).map(|(_, marks)| marks).collect();
    let mut found = Vec::new();
    if marking.len() > 1 {
        found.push(Varies { judge: String::new(), parts: generalizability(&judged_marks(&marking)) });
    }
    found.extend(
        all.iter().map(|(judge, marks)| Varies {
            judge: (*judge).to_owned(),
            parts: generalizability(&judged_marks(&[marks])),
        }),
    );
    Ok(found)
}

fn judged_marks(judges: &[&Marks]) -> Vec<JudgedMark> {
    let mut answers: BTreeMap<&AnswerKey, usize> = BTreeMap::new();
    let mut found = Vec::new();
    for (judge, marks) in judges.iter().enumerate() {
        for (key, marked) in *marks {
            let next = answers.len();
            let answer = *answers.entry(key).or_insert(next);
            found.extend(marked.marks.iter().map(|mark| JudgedMark { answer, judge, mark: *mark }));
        }
    }
    found
}

/// What the order of two answers does to each judge that compares them; or why that is not known.
///
/// # Errors
/// When judgements do not measure the same.
pub fn positions(evidence: &Evidence) -> Result<Vec<(String, Result<PositionEffect, Refusal>)>> {
    let of = |judge: &str| Ok((judge.to_owned(), position_effect(&comparisons(evidence, judge)?.rows)));
    evidence.comparing().into_iter().map(of).collect()
}

/// Score against length within arms, one slope for all arms of a judge; or why there is none.
///
/// # Errors
/// When judgements or prompts do not measure the same.
pub fn slopes(run: &Run, evidence: &Evidence) -> Result<Vec<(String, Result<Line, Refusal>)>> {
    let asked = evidence.judge_names().into_iter().filter(|judge| !matches!(evidence.kind(judge), Kind::Panel { .. }));
    let of = |judge: &str| Ok((judge.to_owned(), slope(&arm_lengths(run, evidence, judge)?)));
    asked.map(of).collect()
}

fn slope(arms: &[ArmLengths]) -> Result<Line, Refusal> {
    let (mut xs, mut ys) = (Vec::new(), Vec::new());
    for arm in arms {
        let (tokens, scores): (Vec<f64>, Vec<f64>) =
            arm.points.iter().map(|point| (point.new_tokens, point.score)).unzip();
        let (Some(x), Some(y)) = (mean(&tokens), mean(&scores)) else { continue };
        xs.extend(tokens.iter().map(|tokens| tokens - x));
        ys.extend(scores.iter().map(|score| score - y));
    }
    line(&xs, &ys)
}

fn listed(counts: &[(String, usize)]) -> String {
    match counts {
        [(only, _)] => only.clone(),
        several => several.iter().map(|(name, n)| format!("{name} ({n})")).collect::<Vec<_>>().join(", "),
    }
}

fn of_services(evidence: &Evidence, found: &[Service]) -> Table {
    let columns = [
        ("judge", 0),
        ("scores_are", 0),
        ("asked", 0),
        ("left_out_of_requests", 0),
        ("judgements", 0),
        ("scored", 0),
        ("unscored", 0),
        ("failed", 0),
        ("usd", 4),
        ("usd_per_1000", 4),
        ("seconds", 2),
        ("batch_percent", 1),
    ];
    let mut table = Table::new("The judges", &columns).with_prose(&["asked", "left_out_of_requests"]);
    for service in found {
        let priced = service.judgements - service.unpriced;
        let asked = if service.served.is_empty() { "nobody".to_owned() } else { listed(&service.served) };
        table.rows.push(vec![
            service.judge.as_str().into(),
            evidence.kind(&service.judge).title().unwrap_or_else(|| "marks".to_owned()).into(),
            asked.into(),
            listed(&service.adapted).into(),
            service.judgements.into(),
            service.scored.into(),
            service.unscored.into(),
            service.failed.into(),
            service.cost_usd.into(),
            service.cost_usd.map(|usd| 1000.0 * usd / priced as f64).into(),
            service.seconds.into(),
            (100.0 * service.by_batch as f64 / service.judgements.max(1) as f64).into(),
        ]);
        if service.cost_usd.is_some() && service.unpriced > 0 {
            let (judge, n) = (&service.judge, service.unpriced);
            table.notes.push(format!("{judge}: {n} judgements have no price, and usd does not contain them."));
        }
        table.notes.extend(evidence.about(&service.judge).into_iter().map(|note| note.english));
    }
    table.notes.push(
        "asked: the model of the requests, and what its server answered as [with its fingerprint]. seconds: mean of a judgement \
         that asked a model. What is left out of the scores was judged and paid for, and counts here."
            .into(),
    );
    table
}

fn of_reasons(found: &[Service]) -> Option<Table> {
    let columns = [("judge", 0), ("status", 0), ("judgements", 0), ("why", 0)];
    let mut table = Table::new("Why judgements have no score", &columns).with_prose(&["why"]);
    for service in found {
        for (status, reason, n) in service.reasons.iter().take(REASONS) {
            let status = if *status == JudgementStatus::Failed { "failed" } else { "unscored" };
            table.rows.push(vec![service.judge.as_str().into(), status.into(), (*n).into(), reason.as_str().into()]);
        }
        let rest: usize = service.reasons.iter().skip(REASONS).map(|(_, _, n)| n).sum();
        if rest > 0 {
            table.notes.push(format!("{}: {rest} more for other reasons.", service.judge));
        }
    }
    (!table.rows.is_empty()).then_some(table)
}

fn of_variances(found: &[Varies]) -> Table {
    let columns = [("judge", 0), ("part", 0), ("variance", 5), ("standard_deviation", 3), ("df", 0), ("percent", 1)];
    let mut table = Table::new("What marks vary by", &columns);
    for varies in found {
        let name = if varies.judge.is_empty() { "all that mark" } else { &varies.judge };
        let parts = match &varies.parts {
            Ok(parts) => parts,
            Err(why) => {
                table.notes.push(format!("{name}: {why}."));
                continue;
            }
        };
        let named: [(&str, Option<Component>); 4] = [
            ("answer", Some(parts.answer)),
            ("judge", parts.judge),
            ("judge by answer", parts.judge_answer),
            ("repeat", parts.repeat),
        ];
        let known: Vec<(&str, Component)> =
            named.into_iter().filter_map(|(part, found)| Some((part, found?))).collect();
        let total: f64 = known.iter().map(|(_, part)| part.variance).sum();
        for (part, found) in known {
            table.rows.push(vec![
                name.into(),
                part.into(),
                found.variance.into(),
                found.variance.sqrt().into(),
                found.df.into(),
                (total > 0.0).then(|| 100.0 * found.variance / total).into(),
            ]);
            if found.was_negative {
                table.notes.push(format!("{name}, {part}: too small to be seen in these marks, so 0 stands for it."));
            }
        }
    }
    table.notes.push(
        "answer: what judges are there to see; judge: one is stricter than another; judge by answer: they differ about an answer \
         beyond that; repeat: a judge differs from itself. Without repeats or a second judge, their parts are in the others."
            .into(),
    );
    table
}

fn of_positions(found: &[(String, Result<PositionEffect, Refusal>)]) -> Option<Table> {
    let columns = [
        ("judge", 0),
        ("pairs", 0),
        ("same_percent", 1),
        ("flipped_percent", 1),
        ("half_flipped_percent", 1),
        ("first_shown", 3),
        ("ci_low", 3),
        ("ci_high", 3),
        ("one_order", 0),
    ];
    let mut table = Table::new("What the order of two answers does", &columns);
    for (judge, effect) in found {
        match effect {
            Ok(effect) => {
                let percent = |n: usize| 100.0 * n as f64 / effect.pairs as f64;
                let interval = effect.first_shown.uncertainty.as_ref().ok().map(|known| known.interval);
                table.rows.push(vec![
                    judge.as_str().into(),
                    effect.pairs.into(),
                    percent(effect.consistent).into(),
                    percent(effect.flipped).into(),
                    percent(effect.half_flipped).into(),
                    effect.first_shown.mean.into(),
                    interval.map(|interval| interval.low).into(),
                    interval.map(|interval| interval.high).into(),
                    effect.one_order.into(),
                ]);
            }
            Err(why) => table.notes.push(format!("{judge}: {why}.")),
        }
    }
    table.notes.push(
        "pairs: answers that were judged in both orders. flipped: the winner changed with the order; half_flipped: a tie in one \
         order. first_shown: how far the answer shown first is preferred, a half for a judge that does not mind, with its \
         95 % interval over items."
            .into(),
    );
    (!found.is_empty()).then_some(table)
}

fn of_lengths(found: &[(String, Result<Line, Refusal>)]) -> Option<Table> {
    let columns = [("judge", 0), ("slope_per_100_tokens", 4), ("ci_low", 4), ("ci_high", 4), ("r_squared", 3)];
    let mut table = Table::new("Score against length of the answer, within arms", &columns);
    for (judge, line) in found {
        let Ok(line) = line else { continue };
        let interval = line.uncertainty.as_ref().ok().map(|known| known.interval);
        table.rows.push(vec![
            judge.as_str().into(),
            (100.0 * line.slope).into(),
            interval.map(|interval| 100.0 * interval.low).into(),
            interval.map(|interval| 100.0 * interval.high).into(),
            line.r_squared.into(),
        ]);
    }
    table.notes.push(
        "One slope for all arms. Long answers may be better answers: that padding alone is rewarded, only the probe `padded` tells."
            .into(),
    );
    (!table.rows.is_empty()).then_some(table)
}
