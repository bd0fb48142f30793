//! What each arm trains, and the memory that takes.

use tunebench_analysis::{Cell, Table};
use tunebench_study::PlanReport;

const GIB: f64 = (1u64 << 30) as f64;

/// A row an arm and candidate; a note on each that does not fit this machine.
pub fn arms_table(study: &str, arms: &[PlanReport]) -> Table {
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
            (arm.learning_rate > 0.0).then(|| format!("{:e}", arm.learning_rate)).into(),
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
        let said = arm.remarks.iter().cloned().chain(arm.too_large()).chain(arm.read_again());
        table.notes.extend(said.map(|text| format!("{name}: {text}")));
    }
    table
}

/// An arm, with the values that a grid gives it.
pub(crate) fn name(arm: &str, candidate: &str) -> String {
    if candidate.is_empty() { arm.to_owned() } else { format!("{arm} [{candidate}]") }
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
            own_memory_bytes: Some(3 << 30),
            mapped_bytes: Some(0),
            fits: Some(true),
            limit: None,
        }
    }

    /// A Chinese character is as wide as two others.
    #[test]
    fn names_of_any_script_align() {
        let text =
            arms_table("s", &[report("全参数微调", Some(600_000)), report("FT", Some(7)), report("b", None)]).to_text();
        let rows: Vec<&str> = text.lines().skip(4).take(3).collect();
        let width = |text: &str| text.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum::<usize>();
        let starts: Vec<usize> = rows.iter().map(|row| width(row.split_once("ft").unwrap().0)).collect();
        assert_eq!(starts, [12; 3], "{text}");
        assert!(rows[0].contains("6,738,415,616") && rows[0].contains("600,000") && rows[0].ends_with("3.0"), "{text}");
        assert!(rows[2].contains(" -  ") && text.contains("takes all that its dataset has"), "{text}");
    }
}
