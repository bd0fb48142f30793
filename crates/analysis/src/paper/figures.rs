//! The published figures that a study is held against: Sun et al. 2023, from `data/paper.toml`.

use serde::Deserialize;

use crate::error::Result;

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
    pub fn word(self) -> &'static str {
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
        Ok(toml::from_str(include_str!("../../../../data/paper.toml"))?)
    }

    /// Where the paper does not agree with itself about one of its tables.
    pub fn remarks(&self, table: u32) -> Vec<String> {
        self.remarks.iter().filter(|remark| remark.table == table).map(|remark| remark.text.clone()).collect()
    }
}
