//! The paper that a study is held against: its tables, what makes its comparison unfair, and which of its differences its
//! items can carry.

pub mod best_case;
pub mod figures;

pub use figures::Paper;

use figures::PaperArm;

use crate::error::Result;
use crate::lint;
use crate::ratios;
use crate::table::{Cell, Table};

/// The paper's tables: settings, evaluation set, averages with their recomputation, scores by category; then hours per epoch
/// of full fine-tuning against LoRA, what makes the comparison unfair, and which differences its items can carry.
///
/// # Errors
/// As [`Paper::load`].
pub fn paper() -> Result<Vec<Table>> {
    let paper = Paper::load()?;
    Ok(vec![
        settings(&paper),
        items(&paper),
        averages(&paper),
        categories(&paper),
        ratios::table("Sun et al. 2023: hours per epoch, full fine-tuning against LoRA", &ratios::of_paper(&paper)),
        lint::paper_table(&paper),
        best_case::pairs_table(&paper),
        best_case::assumptions_table(&paper),
    ])
}

fn settings(paper: &Paper) -> Table {
    let columns = [("setting", 0), ("full_fine_tuning", 0), ("lora", 0), ("origin", 0)];
    let mut table = Table::new("Sun et al. 2023, Tables 2 and 3: settings", &columns);
    table.rows = paper
        .settings
        .iter()
        .map(|s| vec![s.name.as_str().into(), s.ft.clone().into(), s.lora.clone().into(), s.origin.word().into()])
        .collect();
    table.notes = [paper.remarks(2), paper.remarks(3)].concat();
    table
}

fn items(paper: &Paper) -> Table {
    let mut table = Table::new("Sun et al. 2023, Table 1: evaluation set", &[("category", 0), ("items", 0)]);
    let counts = paper.categories.iter().zip(&paper.items);
    table.rows = counts.map(|(category, items)| vec![category.as_str().into(), (*items).into()]).collect();
    table.rows.push(vec!["all".into(), paper.items.iter().sum::<u64>().into()]);
    table.notes = paper.remarks(1);
    table
}

fn averages(paper: &Paper) -> Table {
    let columns =
        [("arm", 0), ("macro_average", 3), ("recomputed", 4), ("additional_params", 0), ("hours_per_epoch", 0)];
    let mut table = Table::new("Sun et al. 2023, Table 4: average score and what it took", &columns);
    let row = |arm: &PaperArm| {
        vec![
            arm.name.as_str().into(),
            arm.average.into(),
            arm.recomputed().into(),
            arm.additional_params.into(),
            arm.hours_per_epoch.into(),
        ]
    };
    table.rows = paper.arms.iter().map(row).collect();
    table.notes.push("recomputed: the mean of the arm's row in Table 5.".into());
    table.notes.extend(paper.remarks(4));
    table
}

fn categories(paper: &Paper) -> Table {
    let names = paper.categories.iter().map(|name| (name.as_str(), 3));
    let columns: Vec<(&str, usize)> = std::iter::once(("arm", 0)).chain(names).collect();
    let mut table = Table::new("Sun et al. 2023, Table 5: average score by category", &columns);
    let row = |arm: &PaperArm| -> Vec<Cell> {
        std::iter::once(arm.name.as_str().into()).chain(arm.scores.iter().map(|score| (*score).into())).collect()
    };
    table.rows = paper.arms.iter().map(row).collect();
    table.notes = paper.remarks(5);
    table
}
