//! What each arm cost, what its grid cost, and what was predicted.

use std::path::Path;

use crate::arm_cost::{ArmCost, arm_costs};
use crate::duration;
use crate::error::Result;
use crate::estimates::arm_scores;
use crate::evidence::{Evidence, PANEL};
use crate::pareto;
use crate::ratios;
use crate::run::{Arm, Run};
use crate::settings;
use crate::table::{Cell, Table};

/// Bytes of a GiB.
pub const GIB: f64 = (1u64 << 30) as f64;

const COLUMNS: [(&str, usize); 12] = [
    ("arm", 0),
    ("seeds", 0),
    ("train_time", 0),
    ("train_seconds", 1),
    ("tokens_per_second", 1),
    ("peak_memory_gib", 2),
    ("trainable_params", 0),
    ("additional_params", 0),
    ("judge_usd", 4),
    ("macro_average", 3),
    ("score_per_train_hour", 3),
    ("all_trainings", 0),
];

/// For each judge what each arm cost, and who is on the Pareto front; then ratios of hours per epoch, the grids, and
/// predictions beside what was measured.
///
/// # Errors
/// When `dir` is not a run folder, a frame is damaged, or the judgements cannot be compared.
pub fn cost(dir: &Path) -> Result<Vec<Table>> {
    let run = Run::open(dir)?;
    let evidence = Evidence::so_far(&run)?;
    // The panel asked nobody, so nothing was paid for it.
    let mut judges: Vec<&str> = evidence.judge_names().into_iter().filter(|judge| *judge != PANEL).collect();
    if judges.is_empty() {
        judges.push("");
    }
    let mut tables = Vec::new();
    let chained: Vec<&str> = run.arms.iter().filter(|arm| is_chained(&run, arm)).map(|arm| arm.name.as_str()).collect();
    for judge in &judges {
        let scores = match evidence.judges.is_empty() {
            true => Vec::new(),
            false => arm_scores(&run, &evidence.of(judge, &evidence.arm_names())?)?,
        };
        let costs = arm_costs(&run, &evidence, judge, &scores);
        let mut table = table(&costs, evidence.title("What each arm cost", judge));
        if !chained.is_empty() {
            let names = chained.join(", ");
            table.notes.push(format!("Start from another arm, whose own training is not in their figures: {names}."));
        }
        tables.push(table);
        if costs.iter().filter(|cost| cost.macro_average.is_some()).count() > 1 {
            tables.push(pareto::table(&costs, evidence.title("Which arms are worth their cost", judge)));
        }
    }
    tables.push(ratios::table("Hours per epoch, full fine-tuning against others", &ratios::of_run(&run)));
    tables.extend(grids(&run));
    tables.extend(predictions(&run));
    Ok(tables)
}

fn is_chained(run: &Run, arm: &Arm) -> bool {
    arm.is_trained() && run.arm(&arm.record.base).is_some_and(Arm::is_trained)
}

fn table(costs: &[ArmCost], title: String) -> Table {
    let mut table = Table::new(title, &COLUMNS);
    for cost in costs {
        let hours = cost.train_seconds.map(|seconds| seconds / 3600.0).filter(|hours| *hours > 0.0);
        let per_hour = cost.macro_average.zip(hours).map(|(average, hours)| average / hours);
        table.rows.push(vec![
            cost.arm.as_str().into(),
            cost.seeds.into(),
            cost.train_seconds.map(duration::words).into(),
            cost.train_seconds.into(),
            cost.tokens_per_second.into(),
            cost.peak_memory_bytes.map(|bytes| bytes as f64 / GIB).into(),
            cost.trainable_params.into(),
            cost.additional_params.into(),
            cost.judge_usd.into(),
            cost.macro_average.into(),
            per_hour.into(),
            cost.train_seconds.map(|_| duration::words(cost.total_train_seconds)).into(),
        ]);
        if cost.unpriced > 0 && cost.judge_usd.is_some() {
            table
                .notes
                .push(format!("{}: {} of {} judgements have no price.", cost.arm, cost.unpriced, cost.judgements));
        }
    }
    table.notes.push(
        "train_time and train_seconds are of one training, the mean over seeds; all_trainings adds up every seed and candidate."
            .into(),
    );
    table
}

/// What the search took that did not become a result.
fn grids(run: &Run) -> Option<Table> {
    let searched: Vec<&Arm> = run.arms.iter().filter(|arm| !arm.losing.is_empty()).collect();
    if searched.is_empty() {
        return None;
    }
    let columns = [
        ("arm", 0),
        ("candidates", 0),
        ("chosen", 0),
        ("losing", 0),
        ("losing_time", 0),
        ("losing_seconds", 1),
        ("percent_of_all", 1),
    ];
    let mut table = Table::new("What the grids cost", &columns);
    for arm in &searched {
        let losing: f64 = arm.losing.iter().map(|training| training.train_seconds).sum();
        let all: f64 = losing + arm.trainings.iter().map(|training| training.train_seconds).sum::<f64>();
        let chosen = arm.trainings.first().map(|training| training.candidate.clone());
        table.rows.push(vec![
            arm.name.as_str().into(),
            settings::candidates(arm).into(),
            chosen.into(),
            arm.losing.len().into(),
            duration::words(losing).into(),
            losing.into(),
            (all > 0.0).then(|| 100.0 * losing / all).into(),
        ]);
    }
    table.notes.push("losing: candidates that were trained and not chosen; their hours are in no other column of an arm but all_trainings.".into());
    let unchosen = searched.iter().filter(|arm| arm.trainings.is_empty());
    table.notes.extend(unchosen.map(|arm| format!("{}: no candidate is chosen yet.", arm.name)));
    Some(table)
}

/// What was said before beside what came.
fn predictions(run: &Run) -> Option<Table> {
    let columns = [
        ("arm", 0),
        ("seed", 0),
        ("predicted_time", 0),
        ("measured_time", 0),
        ("time_error_percent", 1),
        ("predicted_gib", 2),
        ("measured_gib", 2),
        ("memory_error_percent", 1),
    ];
    let mut table = Table::new("Predicted beside measured", &columns);
    let all = || run.arms.iter().flat_map(|arm| &arm.trainings).filter(|training| training.steps > 0);
    let error = |predicted: f64, measured: f64| (measured > 0.0).then(|| 100.0 * (predicted / measured - 1.0));
    for training in all().filter(|t| t.predicted_seconds.is_some() || t.predicted_peak_bytes.is_some()) {
        let (seconds, bytes) = (training.predicted_seconds, training.predicted_peak_bytes.map(|bytes| bytes as f64));
        let measured = training.peak_rss_bytes as f64;
        let row: Vec<Cell> = vec![
            training.arm.as_str().into(),
            training.seed.into(),
            seconds.map(duration::words).into(),
            duration::words(training.train_seconds).into(),
            seconds.and_then(|seconds| error(seconds, training.train_seconds)).into(),
            bytes.map(|bytes| bytes / GIB).into(),
            (measured / GIB).into(),
            bytes.and_then(|bytes| error(bytes, measured)).into(),
        ];
        table.rows.push(row);
    }
    let n_unpredicted = all().count() - table.rows.len();
    if n_unpredicted > 0 {
        table.notes.push(format!("{n_unpredicted} trainings had no prediction."));
    }
    (!table.rows.is_empty()).then_some(table)
}
