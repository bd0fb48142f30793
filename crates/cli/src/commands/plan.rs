//! `tunebench plan`: parameters and steps of every arm, before a weight is read.

use anyhow::Result;
use tunebench_analysis::{Cell, Table};
use tunebench_study::PlanReport;

use crate::args::{Plan, Shared};
use crate::output::{OutputFormat, print, print_tables};
use crate::plugin_files;

const GIB: f64 = (1u64 << 30) as f64;

pub fn run(args: &Plan, shared: &Shared) -> Result<()> {
    let study = plugin_files::open_study(&args.file, shared)?;
    let arms = study.plan()?;
    if args.json {
        return print(&format!("{}\n", serde_json::to_string_pretty(&arms)?));
    }
    print_tables(&[table(&study.definition().study.name, &arms)], OutputFormat::Text)
}

/// A row an arm; a note on each that does not fit this machine.
fn table(study: &str, arms: &[PlanReport]) -> Table {
    let columns = [
        ("arm", 0),
        ("tuner", 0),
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
            arm.arm.as_str().into(),
            arm.tuner.as_str().into(),
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
    table.notes.extend(arms.iter().filter_map(|arm| Some(format!("{}: {}", arm.arm, arm.too_large()?))));
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(arm: &str, examples: Option<u64>) -> PlanReport {
        PlanReport {
            arm: arm.to_owned(),
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
}
