//! `coverage`: the simulation that shows what the statistics are worth; its table is `docs/coverage.md`.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use crate::workspace::{Workspace, show};

/// Where the table is kept.
const TABLE: &str = "docs/coverage.md";

/// Options of `cargo xtask coverage`.
#[derive(clap::Args)]
pub struct Args {
    /// Simulations of each cell, printed only; unless given, as many as the table is kept for, and it is written.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(100..))]
    pub simulations: Option<u32>,
}

/// Runs the example `coverage` of `tunebench-statistics`, prints its table, and keeps it if it is the whole one.
///
/// # Errors
/// When the example fails, or the table cannot be written.
pub fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::members_only()?;
    let mut command = workspace.cargo("run -q -p tunebench-statistics --example coverage --".split(' '));
    command.args(args.simulations.map(|simulations| simulations.to_string()));
    let output = command.stderr(std::process::Stdio::inherit()).output().context("starting cargo")?;
    if !output.status.success() {
        bail!("`{}` failed", show(&command));
    }
    let text = String::from_utf8(output.stdout).context("reading the table")?;
    print!("{text}");
    if args.simulations.is_none() {
        std::fs::write(workspace.root.join(TABLE), text).context(TABLE)?;
        eprintln!("written to {TABLE}");
    }
    Ok(ExitCode::SUCCESS)
}
