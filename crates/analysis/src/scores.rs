//! The study's own Tables 4 and 5: the average of each arm with its interval and what it took, and its score in each
//! category.

use std::path::Path;

use tunebench_statistics::{Interval, Scope};

use crate::corrected::Correction;
use crate::error::Result;
use crate::estimates::{ArmScore, JudgeScores, MARGIN, Mean, judge_scores, scope_words};
use crate::evidence::Evidence;
use crate::run::Run;
use crate::table::{Cell, Table};
use crate::{calibration, duration};

/// For each judge, the averages, then the categories, then how sure those are; arms in the study's order.
///
/// # Errors
/// When `dir` is not a run folder, its arms or judgements are missing or damaged, or the judgements cannot be compared.
pub fn scores(dir: &Path) -> Result<Vec<Table>> {
    let run = Run::open(dir)?;
    let evidence = Evidence::read(&run)?;
    let judges = evidence.judge_names();
    let mut tables = Vec::new();
    for judge in &judges {
        let found = judge_scores(&run, &evidence, judge, MARGIN)?;
        let title = |title| evidence.title(title, judge);
        let correction = calibration::so_far(&run, &evidence, judge)?;
        tables.push(averages(&run, &found, correction.as_ref(), title("Average score and what it took")));
        tables.push(categories(&found, title("Average score by category"), |mean| Some(mean.mean)));
        let half_width = |mean: &Mean| mean.interval.as_ref().ok().map(|interval| half_width(*interval));
        let mut widths = categories(&found, title("Half the width of the 95 % interval by category"), half_width);
        widths.notes.extend(reasons(&found));
        tables.push(widths);
    }
    Ok(tables)
}

fn half_width(interval: Interval) -> f64 {
    (interval.high - interval.low) / 2.0
}

fn averages(run: &Run, found: &JudgeScores, correction: Option<&Correction>, title: String) -> Table {
    let is_incomplete = |arm: &ArmScore| arm.counts.unscored + arm.counts.failed > 0;
    let uncertain = found.arms.iter().any(is_incomplete);
    let bounds: &[(&str, usize)] = if uncertain { &[("lower_bound", 3), ("upper_bound", 3)] } else { &[] };
    let made = correction.filter(|correction| correction.is_made());
    let corrected: &[(&str, usize)] = match made {
        Some(_) => &[("corrected", 3), ("corrected_low", 3), ("corrected_high", 3)],
        None => &[],
    };
    let head = [
        ("arm", 0),
        ("macro_average", 3),
        ("ci_low", 3),
        ("ci_high", 3),
        ("interval_over", 0),
        ("group", 0),
        ("seeds", 0),
        ("items", 0),
        ("micro_average", 3),
    ];
    let rest = [("additional_params", 0), ("train_time", 0), ("train_seconds", 1), ("final_loss", 4)];
    let mut table = Table::new(title, &[&head[..], corrected, bounds, &rest[..]].concat());

    for arm in &found.arms {
        let average = arm.macro_average.as_ref().ok();
        let interval = average.and_then(|mean| mean.interval.as_ref().ok());
        let record = run.arm(&arm.arm);
        let seconds = record.and_then(|arm| arm.mean(|training| training.train_seconds));
        let mut row: Vec<Cell> = vec![
            arm.arm.as_str().into(),
            average.map(|mean| mean.mean).into(),
            interval.map(|interval| interval.low).into(),
            interval.map(|interval| interval.high).into(),
            interval.map(|_| scope_words(arm)).into(),
            arm.letters.as_str().into(),
            arm.seeds.into(),
            arm.counts.items.into(),
            arm.micro_average.as_ref().ok().map(|mean| mean.mean).into(),
        ];
        if let Some(correction) = made {
            let known = correction.arm(&arm.arm).and_then(|arm| arm.known());
            row.extend([
                known.map(|(mean, _)| mean).into(),
                known.map(|(_, interval)| interval.low).into(),
                known.map(|(_, interval)| interval.high).into(),
            ]);
        }
        if uncertain {
            row.extend([arm.counts.lower_bound.into(), arm.counts.upper_bound.into()]);
        }
        row.extend([
            record.map(|arm| arm.record.additional_params).into(),
            seconds.map(duration::words).into(),
            seconds.into(),
            record.and_then(|arm| arm.mean(|training| training.final_loss.unwrap_or(f64::NAN))).into(),
        ]);
        table.rows.push(row);
    }
    table.notes = notes(found);
    table.notes.extend(correction.map(|correction| correction.note().english));
    if uncertain {
        table
            .notes
            .push("The bounds are the macro average with every answer without a score counted as 0 and as 1.".into());
    }
    table
}

fn notes(found: &JudgeScores) -> Vec<String> {
    let mut notes: Vec<String> = found.arms.iter().filter_map(missing_note).collect();
    notes.extend(found.arms.iter().filter_map(|arm| match &arm.macro_average {
        Err(why) => Some(format!("{}: no macro average, {why}.", arm.arm)),
        Ok(Mean { interval: Err(why), .. }) => Some(format!("{}: {why}.", arm.arm)),
        Ok(_) => None,
    }));
    let is_coarse = |arm: &&ArmScore| {
        let interval = arm.macro_average.as_ref().ok().and_then(|mean| mean.interval.as_ref().ok());
        interval.is_some_and(Interval::leaves_unit_range)
    };
    let coarse: Vec<&str> = found.arms.iter().filter(is_coarse).map(|arm| arm.arm.as_str()).collect();
    if !coarse.is_empty() {
        notes.push(format!(
            "Wider than scores can be, because so little is known: the interval of {}.",
            coarse.join(", ")
        ));
    }
    let single: Vec<&str> = found
        .arms
        .iter()
        .filter(|arm| !arm.is_base && arm.scope == Scope::ItemsOnly)
        .map(|arm| arm.arm.as_str())
        .collect();
    if !single.is_empty() {
        notes.push(format!(
            "Trained once: {}. Such an interval is over items only and does not contain the training's own noise, which may be \
             larger; give the study `seeds = 3` or more.",
            single.join(", ")
        ));
    }
    if found.arms.iter().any(|arm| !arm.letters.is_empty()) {
        notes.push(
            "group: arms that share a letter cannot be told apart (Tukey's method over all pairs, 5 %); the best group is a."
                .into(),
        );
    }
    if !found.unjudged.is_empty() {
        notes.push(format!(
            "This judge scored no answer in: {}. The macro average is over the other {} categories.",
            found.unjudged.join(", "),
            found.categories.len()
        ));
    }
    notes.extend(found.notes.iter().cloned());
    notes
}

fn missing_note(arm: &ArmScore) -> Option<String> {
    let counts = &arm.counts;
    let without = counts.unscored + counts.failed;
    let words = || {
        format!(
            "{}: {without} of {} answers without a score ({} unscored, {} failed).",
            arm.arm, counts.answers, counts.unscored, counts.failed
        )
    };
    (without > 0).then(words)
}

fn categories(found: &JudgeScores, title: String, value: impl Fn(&Mean) -> Option<f64>) -> Table {
    let names = found.categories.iter().chain(&found.unjudged);
    let columns: Vec<(&str, usize)> =
        std::iter::once(("arm", 0)).chain(names.clone().map(|name| (name.as_str(), 3))).collect();
    let mut table = Table::new(title, &columns);
    for arm in &found.arms {
        let of =
            |name: &String| arm.categories.iter().find(|(known, _)| known == name).and_then(|(_, mean)| value(mean));
        let cells = names.clone().map(|name| Cell::from(of(name)));
        table.rows.push(std::iter::once(arm.arm.as_str().into()).chain(cells).collect());
    }
    table
}

/// Why a category's mean has no interval, each reason once, with the arms that it is about.
fn reasons(found: &JudgeScores) -> Vec<String> {
    let mut reasons: Vec<(String, Vec<&str>)> = Vec::new();
    for (arm, name, mean) in
        found.arms.iter().flat_map(|arm| arm.categories.iter().map(move |(name, mean)| (arm, name, mean)))
    {
        let Err(why) = &mean.interval else { continue };
        let reason = format!("{name}: {why}");
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, arms)) => arms.push(&arm.arm),
            None => reasons.push((reason, vec![&arm.arm])),
        }
    }
    reasons.into_iter().map(|(reason, arms)| format!("{reason} ({}).", arms.join(", "))).collect()
}
