//! `ci`: all that a change must pass, cheapest first, each step a command that can be run by hand.

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::test::third_party;
use crate::workspace::{Workspace, run as run_command, show};

/// Runs the steps and stops at the first that fails.
///
/// # Errors
/// Names the step that failed.
pub fn run() -> Result<ExitCode> {
    let workspace = Workspace::members_only()?;
    let folder = tempfile::Builder::new().prefix("tunebench-ci-").tempdir().context("making a folder")?;
    let start = Instant::now();
    for mut step in steps(&workspace, &folder.path().join("quickstart"))? {
        eprintln!("\n==> {}", show(&step));
        run_command(&mut step)?;
    }
    eprintln!("\n==> all passed in {:.0} s", start.elapsed().as_secs_f64());
    Ok(ExitCode::SUCCESS)
}

/// `cargo fmt` follows `mod` lines; the families are declared by a macro, so that one is a file and a line.
fn families(workspace: &Workspace) -> Result<Command> {
    let folder = workspace.root.join("crates/model/src/families");
    let entries = std::fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    let mut files: Vec<_> = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    files.sort();
    let mut command = Command::new("rustfmt");
    command.args(["--check", "--edition", "2024"]).args(files);
    Ok(command)
}

fn steps(workspace: &Workspace, out: &std::path::Path) -> Result<Vec<Command>> {
    let cargo = |line: &str| workspace.cargo(line.split(' '));
    let mut steps = vec![cargo("fmt --all --check"), families(workspace)?];
    for manifest in third_party(workspace)? {
        let mut step = cargo("fmt --all --check --manifest-path");
        step.arg(manifest.strip_prefix(&workspace.root)?);
        steps.push(step);
    }
    steps.push(cargo("xtask tidy"));
    steps.push(cargo("clippy --workspace --all-targets -- -D warnings"));
    steps.push(cargo("xtask cuda --check"));
    steps.push(cargo("xtask test --levels"));
    let mut quickstart = cargo("xtask quickstart --out");
    quickstart.arg(out);
    steps.push(quickstart);
    // The same study once more, on two nodes of which one dies.
    let mut cluster = cargo("test --workspace --test suite -- --nocapture cluster");
    cluster.env("TUNEBENCH_QUICKSTART", out);
    steps.push(cluster);
    Ok(steps)
}
