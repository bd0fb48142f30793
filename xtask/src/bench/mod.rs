//! `bench`: kernels, training steps and generation, alone or in turn with PyTorch and PEFT.
//!
//! Every measurement is a process of its own: `tunebench-bench` on our side, the scripts in `xtask/bench` on theirs.
//! Here they are run in turn ([`programs`]), and what they say becomes tables or JSON ([`report`]).

mod case;
mod programs;
mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

use crate::plugins::build_all;
use crate::workspace::Workspace;
use case::{Case, TUNERS};
use programs::{Programs, Python};
use report::{Generation, Report, Training};

/// The package of our side.
pub const PACKAGE: &str = "tunebench-bench";
/// Names the model when no option does; `data/studies/smollm2.toml` reads it too.
const MODEL_VARIABLE: &str = "TUNEBENCH_SMOLLM2";

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub struct Args {
    /// Model folder in Hugging Face's layout; unless given, the one that TUNEBENCH_SMOLLM2 names.
    #[arg(long, value_name = "DIR", conflicts_with = "preset")]
    model: Option<PathBuf>,
    /// A well-known shape with generated weights instead, e.g. llama-7b: training only, unless --only says otherwise.
    #[arg(long, value_name = "NAME", conflicts_with = "against")]
    preset: Option<String>,
    /// Run the other side too, in turn with ours.
    #[arg(long, value_enum, requires = "python")]
    against: Option<Peer>,
    /// A Python that has torch, transformers and peft.
    #[arg(long, value_name = "PATH", requires = "against")]
    python: Option<PathBuf>,
    /// Times that each side is run; medians are reported.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// One part instead of all.
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Tuners to train with, instead of all three; may be given more than once.
    #[arg(long, value_parser = TUNERS)]
    tuner: Vec<String>,
    /// Batches to train on, rows x tokens, instead of 4x256 and 2x1024; may be given more than once.
    #[arg(long = "case", value_name = "ROWSxTOKENS")]
    cases: Vec<Case>,
    /// Training steps that are timed.
    #[arg(long, default_value_t = 17, value_parser = clap::value_parser!(u16).range(1..))]
    steps: u16,
    /// Training steps before them; their losses are compared too.
    #[arg(long, default_value_t = 3)]
    warmup: u16,
    /// Threads of each side.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    threads: u16,
    /// Engine of our side; unless given, its own choice.
    #[arg(long)]
    engine: Option<String>,
    /// Train with recomputed layers: less memory, more work. Theirs: gradient checkpointing.
    #[arg(long)]
    recompute: bool,
    /// One line of JSON instead of tables.
    #[arg(long)]
    json: bool,
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
    fn has(&self, part: Part) -> bool {
        match (self.only, &self.preset) {
            (Some(only), _) => only == part,
            (None, Some(_)) => part == Part::Training,
            (None, None) => true,
        }
    }

    fn needs_model(&self) -> bool {
        !matches!(self.only, Some(Part::Kernels | Part::Boundary))
    }

    fn cases(&self) -> Vec<Case> {
        if self.cases.is_empty() { case::USUAL.to_vec() } else { self.cases.clone() }
    }

    fn tuners(&self) -> Vec<&str> {
        if self.tuner.is_empty() { TUNERS.to_vec() } else { self.tuner.iter().map(String::as_str).collect() }
    }

    /// What the model is named by on our side; none where none is needed.
    fn model(&self) -> Result<Option<[String; 2]>> {
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

/// Builds our side, runs what is asked for and prints it.
///
/// # Errors
/// When the model or a Python package is missing, a build fails, or a measurement does.
pub fn run(args: &Args) -> Result<ExitCode> {
    let model = args.model()?;
    let workspace = Workspace::members_only()?;
    let python = args.python.as_ref().map(|path| Python::new(path, &workspace.root)).transpose()?;
    eprintln!("building {PACKAGE} and the plugins …");
    let output = build_all(&workspace).args(["--package", PACKAGE]).output().context("starting cargo")?;
    if !output.status.success() {
        bail!("{PACKAGE} does not build:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    let ours = workspace.built().join(format!("{PACKAGE}{}", std::env::consts::EXE_SUFFIX));
    let folder = tempfile::Builder::new().prefix("tunebench-bench-").tempdir().context("making a folder")?;
    let mut programs = Programs::new(ours, python, args, model.unwrap_or_default());
    if programs.has_peer() && args.needs_model() {
        programs.share(folder.path(), &text(&workspace.root)?, most_tokens(args))?;
    }
    let report = measure(args, &programs)?;
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{}", report.tables());
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(args: &Args, programs: &Programs<'_>) -> Result<Report> {
    let mut report = Report::default();
    if args.has(Part::Kernels) {
        report.kernels = programs.kernels()?;
    }
    if args.has(Part::Training) {
        for tuner in args.tuners() {
            for case in args.cases() {
                let [ours, eager, compiled] = programs.training(tuner, case)?;
                report.training.push(Training::new(tuner, case, &ours, &eager, &compiled));
            }
        }
    }
    if args.has(Part::Generation) {
        let [ours, theirs] = programs.generation()?;
        report.generation = Some(Generation::new(&ours, &theirs));
    }
    if args.has(Part::Boundary) {
        report.boundary = programs.boundary()?;
    }
    Ok(report)
}

/// The files whose text both sides train on: real text, on which losses fall from where a trained model has them, so
/// that a difference between the sides is one of arithmetic. On random tokens they part by chance.
fn text(root: &Path) -> Result<Vec<PathBuf>> {
    let mut folders: Vec<PathBuf> = case::TEXT.iter().map(|folder| root.join(folder)).collect();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() { &mut folders } else { &mut files }.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Tokens that the largest measurement reads.
fn most_tokens(args: &Args) -> usize {
    let steps = usize::from(args.steps) + usize::from(args.warmup);
    let training = args.cases().into_iter().map(|case| steps * case.batch * case.seq).max();
    training.unwrap_or(0).max(case::PROMPTS * case::PROMPT_TOKENS)
}
