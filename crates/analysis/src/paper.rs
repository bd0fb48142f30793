//! The published figures that a study is held against: Sun et al. 2023, from `data/paper.toml`.

use serde::Deserialize;

use crate::error::Result;
use crate::table::{Cell, Table};

/// The figures, as printed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paper {
    pub categories: Vec<String>,
    /// Items per category.
    pub items: Vec<u64>,
    #[serde(rename = "arm")]
    pub arms: Vec<PaperArm>,
    #[serde(rename = "setting")]
    pub settings: Vec<Setting>,
    #[serde(rename = "remark")]
    pub remarks: Vec<Remark>,
}

/// One row of Tables 4 and 5.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaperArm {
    pub name: String,
    /// As Table 4 prints it, three digits.
    pub average: f64,
    /// Absent for full fine-tuning.
    pub additional_params: Option<u64>,
    pub hours_per_epoch: u64,
    /// One per category, three digits.
    pub scores: Vec<f64>,
}

impl PaperArm {
    /// The macro average that the scores by category give.
    pub fn recomputed(&self) -> f64 {
        self.scores.iter().sum::<f64>() / self.scores.len() as f64
    }
}

/// A hyper-parameter of full fine-tuning and of LoRA.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    pub name: String,
    pub ft: Option<String>,
    pub lora: Option<String>,
    pub origin: Origin,
}

/// How a value is known.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Printed in the paper.
    Stated,
    /// Follows from what is printed.
    Inferred,
    /// Our own.
    Chosen,
}

impl Origin {
    fn word(self) -> &'static str {
        match self {
            Self::Stated => "stated",
            Self::Inferred => "inferred",
            Self::Chosen => "chosen",
        }
    }
}

/// Where the paper does not agree with itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remark {
    /// Number of the table in the paper that it is about.
    pub table: u32,
    pub text: String,
}

impl Paper {
    /// The figures built into this program.
    ///
    /// # Errors
    /// When the built-in file does not parse, which a test excludes.
    pub fn load() -> Result<Self> {
        Ok(toml::from_str(include_str!("../../../data/paper.toml"))?)
    }

    fn remarks(&self, table: u32) -> Vec<String> {
        self.remarks.iter().filter(|remark| remark.table == table).map(|remark| remark.text.clone()).collect()
    }
}

/// The paper's tables: settings, evaluation set, averages with their recomputation, scores by category.
///
/// # Errors
/// As [`Paper::load`].
pub fn paper() -> Result<Vec<Table>> {
    let paper = Paper::load()?;
    Ok(vec![settings(&paper), items(&paper), averages(&paper), categories(&paper)])
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
