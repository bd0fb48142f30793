//! The study's own Tables 4 and 5: the average of each arm with what it took, and its score in each category.

use std::collections::BTreeSet;
use std::path::Path;

use tunebench_results::{MACRO_AVERAGE, MICRO_AVERAGE, ScoreRow};

use crate::error::Result;
use crate::run::{Run, find_score, if_trained, judged_title, judges, ordered_categories};
use crate::table::{Cell, Table};

/// For each judge, the averages and then the categories; arms in the study's order.
///
/// # Errors
/// When `dir` is not a run folder, or its arms or scores are missing or damaged.
pub fn scores(dir: &Path) -> Result<Vec<Table>> {
    let run = Run::open(dir)?;
    let rows: Vec<ScoreRow> = run.frames.read()?;
    let judges = judges(rows.iter().map(|row| row.judge.as_str()));
    let tables = judges.iter().flat_map(|judge| {
        let title = |title| judged_title(title, judge, &judges);
        [
            averages(&run, &rows, judge, title("Average score and what it took")),
            categories(&run, &rows, judge, title("Average score by category")),
        ]
    });
    Ok(tables.collect())
}

fn arms_of<'a>(run: &'a Run, rows: &'a [ScoreRow], judge: &str) -> Vec<&'a str> {
    run.in_order(rows.iter().filter(|row| row.judge == judge).map(|row| row.arm.as_str()))
}

fn averages(run: &Run, rows: &[ScoreRow], judge: &str, title: String) -> Table {
    let arms = arms_of(run, rows, judge);
    let average = |arm: &str, category| find_score(rows, arm, judge, category);
    let uncertain = arms.iter().filter_map(|arm| average(arm, MACRO_AVERAGE)).any(|r| r.lower_bound != r.upper_bound);

    let bounds: &[(&str, usize)] = if uncertain { &[("lower_bound", 3), ("upper_bound", 3)] } else { &[] };
    let score = [("arm", 0), ("macro_average", 3)];
    let rest = [
        ("micro_average", 3),
        ("additional_params", 0),
        ("hours_per_epoch", 3),
        ("train_minutes", 1),
        ("final_loss", 4),
        ("tokens_per_second", 1),
    ];
    let mut table = Table::new(title, &[&score[..], bounds, &rest[..]].concat());

    for arm in &arms {
        let overall = average(arm, MACRO_AVERAGE);
        let record = run.arm(arm);
        let mut row: Vec<Cell> = vec![(*arm).into(), overall.and_then(|r| r.mean_score).into()];
        if uncertain {
            row.extend([overall.map(|r| r.lower_bound).into(), overall.map(|r| r.upper_bound).into()]);
        }
        row.extend([
            average(arm, MICRO_AVERAGE).and_then(|r| r.mean_score).into(),
            record.map(|r| r.additional_params).into(),
            if_trained(record, |r| r.hours_per_epoch),
            if_trained(record, |r| r.train_seconds / 60.0),
            record.and_then(|r| r.final_loss).into(),
            if_trained(record, |r| r.tokens_per_second),
        ]);
        table.rows.push(row);
        table.notes.extend(overall.and_then(missing_note));
    }
    if uncertain {
        table
            .notes
            .push("The bounds are the macro average with every item without a score counted as 0 and as 1.".into());
    }
    table.notes.extend(unjudged_note(rows, judge));
    table.notes.extend(unequal_items(&arms, |arm| average(arm, MICRO_AVERAGE).map_or(0, |row| row.items)));
    table
}

fn missing_note(row: &ScoreRow) -> Option<String> {
    let without = row.items - row.scored.min(row.items);
    let counts = format!("{} unscored, {} failed", row.unscored, row.failed);
    let average = match row.mean_score {
        Some(_) => "",
        None => "; a category that others have scores in has none, so there is no macro average",
    };
    (without > 0).then(|| format!("{}: {without} of {} items without a score ({counts}){average}.", row.arm, row.items))
}

/// Categories in which no arm has a score.
fn unjudged_note(rows: &[ScoreRow], judge: &str) -> Option<String> {
    let of_judge = || rows.iter().filter(|row| row.judge == judge);
    let all = ordered_categories(of_judge().map(|row| row.category.as_str()));
    let is_scored = |name: &str| of_judge().any(|row| row.category == name && row.scored > 0);
    let unjudged: Vec<&str> = all.iter().copied().filter(|name| !is_scored(name)).collect();
    let left = all.len() - unjudged.len();
    let names = unjudged.join(", ");
    (!unjudged.is_empty()).then(|| {
        format!("This judge scored no answer in: {names}. The macro average is over the other {left} categories.")
    })
}

fn unequal_items(arms: &[&str], items: impl Fn(&str) -> u64) -> Option<String> {
    let counts: BTreeSet<u64> = arms.iter().map(|arm| items(arm)).collect();
    let (Some(least), Some(most)) = (counts.first(), counts.last()) else { return None };
    let note =
        format!("The arms were judged on different numbers of items ({least} to {most}): averages are not comparable.");
    (least != most).then_some(note)
}

fn categories(run: &Run, rows: &[ScoreRow], judge: &str, title: String) -> Table {
    let names = ordered_categories(rows.iter().filter(|row| row.judge == judge).map(|row| row.category.as_str()));
    let columns: Vec<(&str, usize)> = std::iter::once(("arm", 0)).chain(names.iter().map(|name| (*name, 3))).collect();
    let mut table = Table::new(title, &columns);
    for arm in arms_of(run, rows, judge) {
        let score = |category: &&str| find_score(rows, arm, judge, category).and_then(|row| row.mean_score).into();
        table.rows.push(std::iter::once(arm.into()).chain(names.iter().map(score)).collect());
    }
    table
}
