//! `tunebench plan`: parameters, steps, memory and time of every arm, and what is to be said before any of it is paid for.

use std::path::Path;

use anyhow::Result;
use serde_json::json;
use tunebench_analysis::duration::words as duration;
use tunebench_analysis::power::{Design, Source, power};
use tunebench_analysis::{Cell, Table};
use tunebench_study::{Judging, PlanReport, StudyForecast};

use crate::args::{Plan, Shared};
use crate::output::{OutputFormat, print, print_tables};
use crate::plugin_files;

const GIB: f64 = (1u64 << 30) as f64;

pub fn run(args: &Plan, shared: &Shared) -> Result<()> {
    let study = plugin_files::open_study(&args.file, shared)?;
    let arms = study.plan()?;
    // A study may be planned without the data that it would be run with.
    let forecast = study.forecast();
    if args.json {
        let (forecast, fault) = match forecast {
            Ok(forecast) => (Some(forecast), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let plan = json!({ "arms": arms, "forecast": forecast, "not_forecast_because": fault });
        return print(&format!("{}\n", serde_json::to_string_pretty(&plan)?));
    }
    let mut tables = vec![table(&study.definition().study.name, &arms)];
    match forecast {
        Ok(forecast) => {
            tables.push(time_table(&forecast));
            match power_table(args, &study.definition().study.name, &forecast) {
                Ok(table) => tables.extend(table),
                Err(error) if args.seen.is_some() => return Err(error),
                // A study too small for statistics can be run all the same.
                Err(error) => tables[0].notes.push(format!("What its scores could show is not said: {error}")),
            }
        }
        Err(error) => tables[0].notes.push(format!("Time is not predicted, for that takes the data: {error}")),
    }
    print_tables(&tables, OutputFormat::Text)
}

/// A row an arm and candidate; a note on each that does not fit this machine.
fn table(study: &str, arms: &[PlanReport]) -> Table {
    let columns = [
        ("arm", 0),
        ("tuner", 0),
        ("seeds", 0),
        ("total", 0),
        ("trainable", 0),
        ("additional", 0),
        ("trained %", 3),
        ("examples", 0),
        ("steps", 0),
        ("rate", 0),
        ("memory GiB", 1),
    ];
    let mut table = Table::new(format!("Plan of {study}"), &columns);
    let row = |arm: &PlanReport| -> Vec<Cell> {
        vec![
            name(&arm.arm, &arm.candidate).into(),
            arm.tuner.as_str().into(),
            u64::from(arm.seeds).into(),
            arm.total_params.into(),
            arm.trainable_params.into(),
            arm.additional_params.into(),
            arm.trainable_percent.into(),
            arm.examples.into(),
            arm.steps.into(),
            format!("{:e}", arm.learning_rate).into(),
            arm.memory_bytes.map(|bytes| bytes as f64 / GIB).into(),
        ]
    };
    table.rows = arms.iter().map(row).collect();
    if arms.iter().any(|arm| arm.examples.is_none()) {
        table.notes.push("Without a number of examples an arm takes all that its dataset has.".to_owned());
    }
    if arms.iter().any(|arm| !arm.candidate.is_empty()) {
        table
            .notes
            .push("Of an arm's candidates the one with the least held-out loss is trained with all seeds.".to_owned());
    }
    for arm in arms {
        let name = name(&arm.arm, &arm.candidate);
        let said = arm.remarks.iter().cloned().chain(arm.too_large());
        table.notes.extend(said.map(|text| format!("{name}: {text}")));
    }
    table
}

/// What the study could show, where it is evaluated at all.
fn power_table(args: &Plan, study: &str, forecast: &StudyForecast) -> Result<Option<Table>> {
    let Some(items) = &forecast.items else { return Ok(None) };
    let design = Design { items: items.scorable, categories: items.categories, seeds: 1, repeats: items.repeats };
    let usual = Path::new("runs").join(study);
    let source = match &args.seen {
        Some(dir) => Source::Seen(dir),
        None if usual.join("judgements.parquet").exists() => Source::Seen(&usual),
        None => Source::Guess,
    };
    match power(source, &design, args.margin) {
        Ok(table) => Ok(Some(table)),
        // What was asked for must not become a guess; what was only found may.
        Err(error) if args.seen.is_some() => Err(error.into()),
        Err(error) => {
            let mut table = power(Source::Guess, &design, args.margin)?;
            table.notes.push(format!("{} says nothing of it: {error}", usual.display()));
            Ok(Some(table))
        }
    }
}

fn name(arm: &str, candidate: &str) -> String {
    if candidate.is_empty() { arm.to_owned() } else { format!("{arm} [{candidate}]") }
}

/// What the study takes on this machine, a row an arm and candidate.
fn time_table(forecast: &StudyForecast) -> Table {
    let columns = [
        ("arm", 0),
        ("steps", 0),
        ("tokens", 0),
        ("training", 0),
        ("trainings", 2),
        ("all trainings", 0),
        ("answers at most", 0),
    ];
    let mut table = Table::new("Time on this machine", &columns);
    let shown = |seconds: Option<f64>| Cell::from(seconds.map(duration));
    for arm in &forecast.arms {
        table.rows.push(vec![
            name(&arm.arm, &arm.candidate).into(),
            arm.steps.into(),
            arm.tokens.into(),
            shown(arm.training_seconds),
            arm.trainings.into(),
            shown(arm.training_seconds.map(|seconds| seconds * arm.trainings)),
            shown(arm.answering_seconds_at_most),
        ]);
    }
    table.notes.push(match forecast.seconds() {
        Some(seconds) => format!(
            "The whole study takes {} at most, from nothing; models and judges are loaded besides.",
            duration(seconds)
        ),
        None => "The time of the whole study cannot be said, because that of an arm cannot.".to_owned(),
    });
    let Judging { judgements, requests, seconds_at_least, usd_at_most } = forecast.judging;
    if requests > 0 {
        let usd = usd_at_most.map_or_else(
            || "their price is not known, as the study gives none".to_owned(),
            |usd| format!("{usd:.2} US dollars at most, if every answer and reply is as long as it may be"),
        );
        let least = duration(seconds_at_least);
        table.notes.push(format!(
            "{judgements} judgements take {requests} requests if each takes one: {least} at least by requests_per_minute; {usd}."
        ));
    }
    table.notes.extend(forecast.warnings.iter().cloned());
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(arm: &str, examples: Option<u64>) -> PlanReport {
        PlanReport {
            arm: arm.to_owned(),
            candidate: String::new(),
            seeds: 1,
            base: "m".to_owned(),
            tuner: "ft".to_owned(),
            dataset: "x".to_owned(),
            model_params: 6_738_415_616,
            total_params: 6_738_415_616,
            trainable_params: 6_738_415_616,
            additional_params: 0,
            trainable_percent: 100.0,
            examples,
            steps: examples,
            epochs: 1.0,
            batch_size: 1,
            learning_rate: 5e-6,
            remarks: Vec::new(),
            memory_bytes: Some(3 << 30),
            fits: Some(true),
        }
    }

    /// A Chinese character is as wide as two others.
    #[test]
    fn names_of_any_script_align() {
        let text =
            table("s", &[report("全参数微调", Some(600_000)), report("FT", Some(7)), report("b", None)]).to_text();
        let rows: Vec<&str> = text.lines().skip(4).take(3).collect();
        let width = |text: &str| text.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum::<usize>();
        let starts: Vec<usize> = rows.iter().map(|row| width(row.split_once("ft").unwrap().0)).collect();
        assert_eq!(starts, [12; 3], "{text}");
        assert!(rows[0].contains("6,738,415,616") && rows[0].contains("600,000") && rows[0].ends_with("3.0"), "{text}");
        assert!(rows[2].contains(" -  ") && text.contains("takes all that its dataset has"), "{text}");
    }

    #[test]
    fn times_are_in_units_that_fit() {
        let arm = |training_seconds, trainings| tunebench_study::ArmTime {
            arm: "a".to_owned(),
            candidate: "learning_rate=0.1".to_owned(),
            steps: 10,
            tokens: 100,
            training_seconds,
            trainings,
            answering_seconds_at_most: Some(90.0),
        };
        let forecast = |arms| StudyForecast {
            arms,
            items: None,
            judging: Judging { judgements: 20, requests: 20, seconds_at_least: 7200.0, usd_at_most: Some(1.5) },
            warnings: vec!["warning: look".to_owned()],
        };
        let text = time_table(&forecast(vec![arm(Some(1.5), 3.0)])).to_text();
        for part in [
            "a [learning_rate=0.1]",
            "1.5 s",
            "4.5 s",
            "90.0 s",
            "2.0 h at least",
            "1.50 US dollars at most",
            "warning: look",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(time_table(&forecast(vec![arm(None, 1.0)])).to_text().contains("cannot be said"));
    }
}
