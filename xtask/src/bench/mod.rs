//! `bench`: kernels, training steps and generation, alone or in turn with PyTorch and PEFT, with llama.cpp or
//! with vLLM.
//!
//! Every measurement is a process of its own: `tunebench-bench` on our side, the scripts in `xtask/bench` or a program
//! of llama.cpp's on theirs. Here they are run in turn ([`programs`], [`answering`] with [`llamacpp`] and [`vllm`], [`levels`]), what they say is held
//! against what the machine can do ([`floors`]), and becomes tables or JSON ([`report`], [`figures`]).

mod answering;
mod args;
mod case;
mod figures;
mod floors;
mod levels;
mod llamacpp;
mod programs;
mod report;
mod vllm;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use crate::plugins::build_all;
use crate::workspace::Workspace;
pub use args::Args;
use args::{Part, Peer};
use levels::Levels;
use llamacpp::LlamaCpp;
use programs::{PACKAGES, Programs, Python};
use report::{Generation, Report, Training};
use vllm::Vllm;

/// The package of our side.
pub const PACKAGE: &str = "tunebench-bench";

/// Builds our side, runs what is asked for and prints it.
///
/// # Errors
/// When the model, a Python package or the other side is missing, a build fails, or a measurement does.
pub fn run(args: &Args) -> Result<ExitCode> {
    args.check()?;
    let model = args.model()?;
    let llamacpp = (args.against == Some(Peer::LlamaCpp)).then(|| LlamaCpp::new(args)).transpose()?;
    let workspace = Workspace::members_only()?;
    let vllm = (args.against == Some(Peer::Vllm)).then(|| Vllm::new(args, &workspace.root)).transpose()?;
    let python = args.python.as_ref().filter(|_| args.against == Some(Peer::Peft));
    let python = python.map(|path| Python::new(path, &workspace.root, &PACKAGES)).transpose()?;
    eprintln!("building {PACKAGE} and the plugins …");
    let output = build_all(&workspace).args(["--package", PACKAGE]).output().context("starting cargo")?;
    if !output.status.success() {
        bail!("{PACKAGE} does not build:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    let ours = workspace.built().join(format!("{PACKAGE}{}", std::env::consts::EXE_SUFFIX));
    let folder = tempfile::Builder::new().prefix("tunebench-bench-").tempdir().context("making a folder")?;
    let mut programs = Programs::new(ours, python, args, model.unwrap_or_default());
    if (programs.has_peer() || vllm.is_some()) && args.needs_model() {
        programs.share(folder.path(), &text(&workspace.root)?, most_tokens(args))?;
    }
    if let Some(llamacpp) = llamacpp {
        let comparison = llamacpp.compare(args, &programs)?;
        return print(args, &comparison, &comparison.tables());
    }
    if let Some(vllm) = vllm {
        let comparison = vllm.compare(args, &programs)?;
        return print(args, &comparison, &comparison.tables());
    }
    if args.levels {
        let levels = Levels::measure(args, &programs)?;
        return print(args, &levels, &levels.tables());
    }
    let report = measure(args, &programs)?;
    print(args, &report, &report.tables())
}

fn print(args: &Args, report: &impl Serialize, tables: &str) -> Result<ExitCode> {
    if args.json {
        println!("{}", serde_json::to_string(report)?);
    } else {
        print!("{tables}");
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
    let texts = args.streams().into_iter().fold(case::PROMPTS, usize::max);
    training.unwrap_or(0).max(texts * case::PROMPT_TOKENS)
}
