//! The study file: which models, data and arms are compared, and how their answers are judged.
//!
//! ```toml
//! [study]
//! name = "example"
//! seed = 1
//! seeds = 3                        # trainings of each arm
//! template = "belle"               # or "model": the model's own chat template
//!
//! [selection]                      # what candidates of grids are compared on, never evaluation items
//! share = 0.05                     # of each source, kept from training; or dataset = "ID"
//!
//! [grid.rates]                     # arms may share it, or have an [arm.grid] of their own
//! learning_rate = [1e-4, 2e-4, 5e-4]
//! "options.r" = [8, 64]
//!
//! [[model]]
//! id = "small"
//! source = "models/small"          # folder, .gguf file, "preset:llama-7b", or "init:" with [model.shape]
//!
//! [[dataset]]
//! id = "chinese"
//! plugin = "belle"
//! source = "data/train.jsonl"      # a file, or a list of files
//! examples = 2000                  # the first of a seeded order, so smaller sets lie inside larger ones
//!
//! [[arm]]
//! name = "small + LoRA"
//! base = "small"                   # a model or another arm
//! tuner = "lora-attention"
//! dataset = "chinese"
//! options = { alpha = 16 }
//! recipe = { epochs = 2 }
//! grid = "rates"
//!
//! [[arm]]                          # the same, but folded, rounded or quantised: see `form`
//! name = "small + LoRA, 4 bits"
//! of = "small + LoRA"
//! as = "Q4_K_M"
//!
//! [eval]
//! items = "questions"
//! judge = "reference"
//! ```

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use crate::arms::{Arm, Arms};
use crate::decoder::Decoder;
pub use crate::evaluation::{ChatSettings, Dialect, Eval, GenerationSettings, JudgeSettings};
pub use crate::form::{Form, Variant};
use crate::grid::{ArmGrid, Candidate, Grid, Selection};
use crate::recipe::RecipeOverrides;

/// A whole study file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Study {
    pub study: Header,
    /// Recipe values for every arm, between the tuner's defaults and an arm's own.
    #[serde(default)]
    pub recipe: RecipeOverrides,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection: Option<Selection>,
    /// Grids by name, for arms to share.
    #[serde(rename = "grid", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub grids: BTreeMap<String, Grid>,
    #[serde(rename = "model")]
    pub models: Vec<Model>,
    #[serde(rename = "dataset", default)]
    pub datasets: Vec<Dataset>,
    #[serde(rename = "arm")]
    pub arms: Arms,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval: Option<Eval>,
}

/// `[study]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    pub name: String,
    #[serde(default)]
    pub seed: u64,
    /// How often each arm is trained: with `seed`, `seed` + 1 and so on.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub seeds: u32,
    /// How a conversation becomes text, in training and in evaluation: the name of a template, or `model` for the chat
    /// template that the model brings.
    #[serde(default = "belle")]
    pub template: String,
    /// Whether a conversation begins with the tokenizer's beginning-of-sequence token where the template writes none.
    #[serde(default, skip_serializing_if = "is_false")]
    pub add_bos_token: bool,
    /// Plugin files beside the installed ones, relative to the study file.
    #[serde(default)]
    pub plugins: Vec<String>,
}

/// `[[model]]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub id: String,
    /// A Hugging Face folder, a `.gguf` file, `preset:NAME` (shape only, for `plan`), or `init:` for fresh
    /// random weights of `shape`. `${NAME}` is replaced by the environment variable.
    pub source: String,
    /// With `init:`, the shape to make.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<Decoder>,
    /// Fewer bits for the linear maps of its layers, from when they are read on: frozen under adapters (QLoRA), and in answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantise: Option<Quantise>,
    /// A PEFT folder: LoRA, DoRA and (IA)³ are folded into the source's weights; behind virtual tokens (prompt, prefix and
    /// P-tuning) it answers, and nothing is trained on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<String>,
    /// A `tokenizer.json`, when the source does not hold one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<String>,
    /// Said in the error when the source is missing: how to get it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Formats that a model can be quantised to when it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quantise {
    /// 4-bit NormalFloat with double quantisation (QLoRA, Dettmers et al. 2023).
    Nf4,
}

impl Quantise {
    /// As the study file spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nf4 => "nf4",
        }
    }
}

/// `[[dataset]]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    pub id: String,
    pub plugin: String,
    /// Absent only for a study that is planned, never run.
    #[serde(default)]
    pub source: Sources,
    /// The first `examples` of the seeded order; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub examples: Option<u64>,
    /// Seed of the order; the study's when absent. Sets with equal source and seed are nested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    #[serde(default)]
    pub options: BTreeMap<String, Value>,
    /// The columns of its files by the names that the plugin knows: `{ instruction = "指令", output = "输出" }`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, String>,
    /// The largest share of its rows that may be unusable; above it the study ends. 0.01 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_skipped_share: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Dataset {
    /// The largest share of rows that may be unusable.
    pub fn max_skipped_share(&self) -> f64 {
        self.max_skipped_share.unwrap_or(0.01)
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        if !(0.0..=1.0).contains(&self.max_skipped_share()) {
            return Err("max_skipped_share must be between 0 and 1, e.g. 0.05".into());
        }
        let mut seen = BTreeSet::new();
        match self.columns.values().find(|column| !seen.insert(*column)) {
            Some(twice) => Err(format!("columns: `{twice}` is given two names; a column has one")),
            None => Ok(()),
        }
    }
}

/// One path or several, relative to the study file; `${NAME}` is replaced by the environment variable.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Sources {
    #[default]
    None,
    One(String),
    Many(Vec<String>),
}

impl Sources {
    /// The paths as written.
    pub fn paths(&self) -> &[String] {
        match self {
            Self::None => &[],
            Self::One(path) => std::slice::from_ref(path),
            Self::Many(paths) => paths,
        }
    }
}

fn belle() -> String {
    "belle".into()
}

fn one() -> u32 {
    1
}

fn is_false(value: &bool) -> bool {
    !*value
}

fn is_one(value: &u32) -> bool {
    *value == 1
}

/// Why a study cannot be run.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum StudyError {
    #[error("{0}")]
    Toml(String),
    #[error("{kind} `{name}` is defined twice; give each its own name")]
    Twice { kind: &'static str, name: String },
    #[error("{place}: no {kind} `{name}`; there are: {known}")]
    Unknown { place: String, kind: &'static str, name: String, known: String },
    #[error("{place}: {fault}")]
    Value { place: String, fault: String },
}

impl Study {
    pub fn model(&self, id: &str) -> Option<&Model> {
        self.models.iter().find(|m| m.id == id)
    }

    pub fn dataset(&self, id: &str) -> Option<&Dataset> {
        self.datasets.iter().find(|d| d.id == id)
    }

    pub fn arm(&self, name: &str) -> Option<&Arm> {
        self.arms.iter().find(|a| a.name == name)
    }

    /// The other form of an arm that has this name.
    pub fn variant(&self, name: &str) -> Option<&Variant> {
        self.arms.variants.iter().find(|variant| variant.name == name)
    }

    /// The arm whose trainings have this name: it, or the one that it is another form of.
    pub fn trained_arm(&self, name: &str) -> Option<&Arm> {
        self.arm(self.variant(name).map_or(name, |variant| &variant.of))
    }

    /// The names of all arms, each other form behind the arm that it is of.
    pub fn arm_names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for arm in &self.arms {
            names.push(arm.name.as_str());
            names.extend(self.arms.variants_of(&arm.name).map(|variant| variant.name.as_str()));
        }
        names
    }

    /// Kind and name of every plugin that it needs, with repetitions.
    pub fn plugin_names(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let tuners = self.arms.iter().map(|arm| ("tuner", arm.tuner.as_str()));
        let datasets = self.datasets.iter().map(|dataset| ("dataset", dataset.plugin.as_str()));
        let judge = self.eval.iter().map(|eval| ("judge", eval.judge.as_str()));
        let panel = self.eval.iter().flat_map(|eval| &eval.panel).map(|judge| ("judge", judge.judge.as_str()));
        tuners.chain(datasets).chain(judge).chain(panel)
    }

    /// The id of the model that an arm's chain starts from.
    pub fn root_model<'a>(&'a self, arm: &'a Arm) -> &'a str {
        self.parents(arm).last().map_or(&arm.base, |parent| &parent.base)
    }

    /// The arms between an arm and that model, its own base first.
    pub fn parents<'a>(&'a self, arm: &'a Arm) -> impl Iterator<Item = &'a Arm> {
        std::iter::successors(self.arm(&arm.base), |parent| self.arm(&parent.base))
    }

    /// The grid of an arm; none where it has only itself.
    pub fn grid<'a>(&'a self, arm: &'a Arm) -> Option<&'a Grid> {
        match arm.grid.as_ref()? {
            ArmGrid::Own(grid) => Some(grid),
            ArmGrid::Named(name) => self.grids.get(name),
        }
    }

    /// What is to be trained of an arm: each combination of its grid, or the arm as it is.
    ///
    /// # Errors
    /// When a name or value of the grid is none of the recipe.
    pub fn candidates(&self, arm: &Arm) -> Result<Vec<Candidate>, StudyError> {
        let Some(grid) = self.grid(arm) else { return Ok(vec![Candidate::default()]) };
        grid.candidates().map_err(|fault| StudyError::Value { place: format!("arm `{}`: grid", arm.name), fault })
    }

    /// How often an arm is trained.
    pub fn seeds(&self, arm: &Arm) -> u32 {
        match (arm.seeds, self.arm(&arm.base)) {
            (Some(seeds), _) => seeds,
            // Of a parent with a single training, the study decides.
            (None, Some(parent)) if self.seeds(parent) > 1 => self.seeds(parent),
            (None, _) => self.study.seeds,
        }
    }

    /// The seed of an arm's training number `number`, from 0.
    pub fn training_seed(&self, arm: &Arm, number: u32) -> u64 {
        arm.seed.unwrap_or(self.study.seed).wrapping_add(number.into())
    }
}
