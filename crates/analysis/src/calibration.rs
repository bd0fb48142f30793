//! How far judges are from people, and what scores are once that is taken out.

use std::path::Path;

use tunebench_statistics::agreement::{BlandAltman, Correlation, CorrelationKind, bland_altman, correlation};
use tunebench_statistics::calibration::{ErrorModel, LEAST_LABELS};
use tunebench_statistics::{Average, Error as Refusal};

use crate::corrected::{Corrected, Correction, correction};
use crate::error::Result;
use crate::evidence::Evidence;
use crate::marks::{MarkedTwice, common, marks, values};
use crate::people::{People, people};
use crate::run::{Run, ordered_categories};
use crate::table::{Cell, Table};

/// A mark from here on passes.
pub const THRESHOLD: f64 = 0.5;

/// How far one judge is from people in a category, or in all.
#[derive(Clone, Debug)]
pub struct Distance {
    pub judge: String,
    /// Empty of all.
    pub category: String,
    pub answers: usize,
    /// The judge minus people.
    pub bias: Result<BlandAltman, Refusal>,
    pub correlation: Result<Correlation, Refusal>,
    /// Answers that people fail, and those of them that the judge passes; and the other way round.
    pub failed: usize,
    pub passed_wrongly: usize,
    pub passed: usize,
    pub failed_wrongly: usize,
}

/// How far each judge that marks is from people, and each arm's score corrected beside the uncorrected.
///
/// # Errors
/// When `dir` is not a run folder, a frame or the file of marks is damaged, nothing is judged, or judgements cannot be compared.
pub fn calibration(dir: &Path) -> Result<Vec<Table>> {
    let run = Run::open(dir)?;
    let evidence = Evidence::read(&run)?;
    let people = people(&evidence);
    let mut tables = vec![of_distances(&distances(&evidence, &people)?, &people)];
    for judge in evidence.judge_names() {
        if let Some(found) = of_judge(&run, &evidence, &people, judge)? {
            tables.push(of_correction(&found, evidence.title("Scores corrected by marks of people", judge)));
        }
    }
    Ok(tables)
}

/// What people's marks do to the scores of one judge; none of a judge that compares answers.
///
/// # Errors
/// When judgements cannot be compared.
pub fn of_judge(run: &Run, evidence: &Evidence, people: &People, judge: &str) -> Result<Option<Correction>> {
    let judged = evidence.of(judge, &evidence.arm_names())?;
    correction(run, &judged, evidence.kind(judge), people)
}

/// As [`of_judge`], of the marks that the run has.
///
/// # Errors
/// As [`of_judge`].
pub fn so_far(run: &Run, evidence: &Evidence, judge: &str) -> Result<Option<Correction>> {
    of_judge(run, evidence, &people(evidence), judge)
}

/// Of each judge that marks, the panel among them: over all, then by category.
///
/// # Errors
/// When judgements do not measure the same.
pub fn distances(evidence: &Evidence, people: &People) -> Result<Vec<Distance>> {
    let mut found = Vec::new();
    for judge in evidence.judge_names().into_iter().filter(|judge| !evidence.kind(judge).is_win_rates()) {
        let twice = common(&marks(evidence, judge)?, &people.marks);
        if twice.is_empty() {
            continue;
        }
        found.push(distance(judge, "", &twice));
        for category in ordered_categories(twice.iter().map(|answer| &*answer.category)) {
            let own: Vec<MarkedTwice> = twice.iter().filter(|answer| &*answer.category == category).cloned().collect();
            found.push(distance(judge, category, &own));
        }
    }
    Ok(found)
}

fn distance(judge: &str, category: &str, twice: &[MarkedTwice]) -> Distance {
    let pairs = values(twice);
    let count = |is: fn(f64, f64) -> bool| pairs.iter().filter(|(judge, people)| is(*judge, *people)).count();
    Distance {
        judge: judge.to_owned(),
        category: category.to_owned(),
        answers: pairs.len(),
        bias: bland_altman(&pairs),
        correlation: correlation(&pairs, CorrelationKind::Spearman),
        failed: count(|_, people| people < THRESHOLD),
        passed_wrongly: count(|judge, people| people < THRESHOLD && judge >= THRESHOLD),
        passed: count(|_, people| people >= THRESHOLD),
        failed_wrongly: count(|judge, people| people >= THRESHOLD && judge < THRESHOLD),
    }
}

fn of_distances(found: &[Distance], people: &People) -> Table {
    let columns = [
        ("judge", 0),
        ("category", 0),
        ("answers", 0),
        ("bias", 3),
        ("ci_low", 3),
        ("ci_high", 3),
        ("limits_low", 3),
        ("limits_high", 3),
        ("correlation", 3),
        ("false_positive_percent", 1),
        ("false_negative_percent", 1),
    ];
    let mut table = Table::new("How far judges are from people", &columns);
    let percent = |n: usize, of: usize| (of > 0).then(|| 100.0 * n as f64 / of as f64);
    for row in found {
        let bias = row.bias.as_ref().ok();
        let interval = bias.and_then(|bias| bias.bias.uncertainty.as_ref().ok()).map(|known| known.interval);
        let limits = bias.and_then(|bias| bias.limits.as_ref().ok());
        let category = if row.category.is_empty() { "all" } else { &row.category };
        table.rows.push(vec![
            row.judge.as_str().into(),
            category.into(),
            row.answers.into(),
            bias.map(|bias| bias.bias.mean).into(),
            interval.map(|interval| interval.low).into(),
            interval.map(|interval| interval.high).into(),
            limits.map(|limits| limits.low).into(),
            limits.map(|limits| limits.high).into(),
            row.correlation.as_ref().ok().map(|found| found.r).into(),
            percent(row.passed_wrongly, row.failed).into(),
            percent(row.failed_wrongly, row.passed).into(),
        ]);
    }
    table.notes.push(format!(
        "{} marks of people in the run's labels.jsonl{}; {} answers that are there now have one.",
        people.given,
        match people.labelers.len() {
            0 => String::new(),
            n => format!(", by {n} of them who are named"),
        },
        people.marks.len()
    ));
    table.notes.extend(people.notes().into_iter().map(|note| note.english));
    if people.marks.is_empty() {
        table.notes.push(
            "Nobody marked an answer of this run, so nothing says how far its judge is from people. A few dozen marks, drawn by \
             chance, are enough: `tunebench judge calibrate` asks for them."
                .into(),
        );
        return table;
    }
    table.notes.push(format!(
        "bias: the judge minus people, with its 95 % interval over answers; limits: between which 95 % of single answers lie. \
         false_positive_percent: of what people give less than {THRESHOLD}, how much the judge gives that or more; false_negative_percent: \
         the other way round."
    ));
    table.notes.push(
        "The file does not say how the answers were chosen. The correction takes them as drawn by chance, as `tunebench judge calibrate` does; \
         answers that somebody picked because they looked odd correct nothing."
            .into(),
    );
    table
}

fn of_correction(found: &Correction, title: String) -> Table {
    let columns = [
        ("arm", 0),
        ("marks", 0),
        ("uncorrected", 3),
        ("ci_low", 3),
        ("ci_high", 3),
        ("corrected", 3),
        ("corrected_low", 3),
        ("corrected_high", 3),
        ("judge_part", 3),
        ("marks_to_halve", 0),
    ];
    let mut table = Table::new(title, &columns);
    for arm in &found.arms {
        table.rows.push(of_arm(found, arm));
        match &arm.estimate {
            Err(why) => table.notes.push(format!("{}: not corrected: {why}.", arm.arm)),
            Ok(estimate) => {
                table
                    .notes
                    .extend(estimate.corrected.inference.as_ref().err().map(|why| format!("{}: {why}.", arm.arm)));
            }
        }
    }
    table.notes.push(found.note().english);
    if found.arms.is_empty() {
        return table;
    }
    let average = if found.average == Average::Macro { "Macro" } else { "Micro" };
    table.notes.push(format!(
        "{average} averages. judge_part: half the width of the interval that the judge's own error alone would make; \
         marks_to_halve: how many more marks of people would halve it."
    ));
    if found.error_model == ErrorModel::SharedByArms && found.by_arm.len() > 1 {
        table.notes.push(format!(
            "Not every arm has {LEAST_LABELS} marks of its own, so that all of them correct each arm, as if the judge erred alike in \
             all; a judge that likes one arm's style breaks that."
        ));
        table.notes.extend(found.pairs.iter().filter_map(|pair| {
            let test = pair.contrast.as_ref().ok()?.equal_errors?;
            (test.p < crate::estimates::ALPHA).then(|| {
                format!(
                    "It errs differently in {} and {} (p {:.4}): give each arm {LEAST_LABELS} marks of its own before comparing them.",
                    pair.first, pair.second, test.p
                )
            })
        }));
    }
    table
}

fn of_arm(found: &Correction, arm: &Corrected) -> Vec<Cell> {
    let estimate = arm.estimate.as_ref().ok();
    let uncorrected = estimate.and_then(|found| found.uncorrected.inference.as_ref().ok()).map(|known| known.interval);
    let corrected = arm.known().map(|(_, interval)| interval);
    vec![
        arm.arm.as_str().into(),
        found.by_arm.get(&arm.arm).copied().into(),
        estimate.map(|found| found.uncorrected.mean).into(),
        uncorrected.map(|interval| interval.low).into(),
        uncorrected.map(|interval| interval.high).into(),
        estimate.map(|found| found.corrected.mean).into(),
        corrected.map(|interval| interval.low).into(),
        corrected.map(|interval| interval.high).into(),
        arm.judge_half_width().into(),
        arm.judge_half_width().and(arm.to_halve()).into(),
    ]
}
