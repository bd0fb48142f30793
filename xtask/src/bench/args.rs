//! The options of `cargo xtask bench`, and what they mean together.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::ValueEnum;

use super::case::{Case, TUNERS, USUAL};

/// Names the model when no option does; `data/studies/smollm2.toml` reads it too.
const MODEL_VARIABLE: &str = "TUNEBENCH_SMOLLM2";

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub struct Args {
    /// Model folder in Hugging Face's layout; unless given, the one that TUNEBENCH_SMOLLM2 names.
    #[arg(long, value_name = "DIR", conflicts_with = "preset")]
    pub model: Option<PathBuf>,
    /// A well-known shape with generated weights instead, e.g. llama-7b: training only, unless --only says otherwise.
    #[arg(long, value_name = "NAME", conflicts_with = "against")]
    pub preset: Option<String>,
    /// Run the other side too, in turn with ours.
    #[arg(long, value_enum, requires = "python")]
    pub against: Option<Peer>,
    /// A Python that has torch, transformers and peft.
    #[arg(long, value_name = "PATH", requires = "against")]
    pub python: Option<PathBuf>,
    /// Times that each side is run; medians are reported.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    pub rounds: u16,
    /// One part instead of all.
    #[arg(long, value_enum)]
    pub only: Option<Part>,
    /// Tuners to train with, instead of all three; may be given more than once.
    #[arg(long, value_parser = TUNERS)]
    pub tuner: Vec<String>,
    /// Batches to train on, rows x tokens, instead of 4x256 and 2x1024; may be given more than once.
    #[arg(long = "case", value_name = "ROWSxTOKENS")]
    pub cases: Vec<Case>,
    /// Training steps that are timed.
    #[arg(long, default_value_t = 17, value_parser = clap::value_parser!(u16).range(1..))]
    pub steps: u16,
    /// Training steps before them; their losses are compared too.
    #[arg(long, default_value_t = 3)]
    pub warmup: u16,
    /// Threads of each side.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: u16,
    /// Engine of our side; unless given, its own choice.
    #[arg(long)]
    pub engine: Option<String>,
    /// Train with recomputed layers: less memory, more work. Theirs: gradient checkpointing.
    #[arg(long)]
    pub recompute: bool,
    /// One line of JSON instead of tables.
    #[arg(long)]
    pub json: bool,
}

/// What the other side can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Peer {
    /// PyTorch, transformers and PEFT: eager and compiled.
    Peft,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    Training,
    Generation,
    Kernels,
    /// What plugins cost.
    Boundary,
}

impl Args {
    pub fn has(&self, part: Part) -> bool {
        match (self.only, &self.preset) {
            (Some(only), _) => only == part,
            (None, Some(_)) => part == Part::Training,
            (None, None) => true,
        }
    }

    pub fn needs_model(&self) -> bool {
        !matches!(self.only, Some(Part::Kernels | Part::Boundary))
    }

    pub fn cases(&self) -> Vec<Case> {
        if self.cases.is_empty() { USUAL.to_vec() } else { self.cases.clone() }
    }

    pub fn tuners(&self) -> Vec<&str> {
        if self.tuner.is_empty() { TUNERS.to_vec() } else { self.tuner.iter().map(String::as_str).collect() }
    }

    /// What the model is named by on our side; none where none is needed.
    pub fn model(&self) -> Result<Option<[String; 2]>> {
        if !self.needs_model() {
            return Ok(None);
        }
        if let Some(name) = &self.preset {
            return Ok(Some(["--preset".into(), name.clone()]));
        }
        let named = self.model.clone().or_else(|| std::env::var_os(MODEL_VARIABLE).map(PathBuf::from));
        let Some(folder) = named else {
            bail!(
                "which model? Give --model DIR or set {MODEL_VARIABLE}; only --only kernels and --only boundary need none"
            );
        };
        if !folder.join("config.json").is_file() {
            bail!("{}: no model folder; one holds config.json and model.safetensors", folder.display());
        }
        Ok(Some(["--model".into(), folder.to_string_lossy().into()]))
    }
}
