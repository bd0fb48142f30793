//! What each arm cost, and what it scored for that.

use std::path::Path;

use tunebench_results::{MACRO_AVERAGE, ScoreRow};
use tunebench_spec::Judgement;

use crate::error::Result;
use crate::run::{Run, find_score, if_trained, judged_title, judges};
use crate::table::{Cell, Table};

const GIB: f64 = (1u64 << 30) as f64;

const COLUMNS: [(&str, usize); 9] = [
    ("arm", 0),
    ("train_seconds", 1),
    ("tokens_per_second", 1),
    ("peak_memory_gib", 2),
    ("trainable_params", 0),
    ("additional_params", 0),
    ("judge_usd", 4),
    ("macro_average", 3),
    ("score_per_train_hour", 3),
];

/// Every arm of the study, one table per judge; one table without scores when nothing is judged yet.
///
/// # Errors
/// When `dir` is not a run folder or a frame is damaged.
pub fn cost(dir: &Path) -> Result<Vec<Table>> {
    let run = Run::open(dir)?;
    let scores: Vec<ScoreRow> = run.so_far()?;
    let judgements: Vec<Judgement> = run.so_far()?;
    let mut judges = judges(judgements.iter().map(|judgement| judgement.judge.as_str()));
    if judges.is_empty() {
        judges.push("");
    }
    Ok(judges.iter().map(|judge| table(&run, &scores, &judgements, judge, &judges)).collect())
}

fn table(run: &Run, scores: &[ScoreRow], judgements: &[Judgement], judge: &str, judges: &[&str]) -> Table {
    let mut table = Table::new(judged_title("What each arm cost", judge, judges), &COLUMNS);
    for arm in &run.arms {
        let judged: Vec<&Judgement> = judgements.iter().filter(|j| j.judge == judge && j.arm == arm.arm).collect();
        let prices: Vec<f64> = judged.iter().filter_map(|j| j.cost_usd).collect();
        let average = find_score(scores, &arm.arm, judge, MACRO_AVERAGE).and_then(|row| row.mean_score);
        let hours = arm.train_seconds / 3600.0;
        let record = Some(arm);
        table.rows.push(vec![
            arm.arm.as_str().into(),
            if_trained(record, |arm| arm.train_seconds),
            if_trained(record, |arm| arm.tokens_per_second),
            if_trained(record, |arm| arm.peak_rss_bytes as f64 / GIB),
            arm.trainable_params.into(),
            arm.additional_params.into(),
            (!prices.is_empty()).then(|| prices.iter().sum::<f64>()).into(),
            average.into(),
            average.filter(|_| hours > 0.0).map_or(Cell::Missing, |average| (average / hours).into()),
        ]);

        let unpriced = judged.iter().filter(|j| j.cost_usd.is_none()).count();
        if unpriced > 0 && !prices.is_empty() {
            table.notes.push(format!("{}: {unpriced} of {} judgements have no price.", arm.arm, judged.len()));
        }
    }
    table
}
