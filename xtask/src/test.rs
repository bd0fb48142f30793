//! `test`: builds what the tests load, then runs them all.
//!
//! The tests need no environment variable: they find the executable and the plugins from where they run themselves,
//! `TARGET/debug/deps`, and the third-party plugins in `TARGET/third-party/debug`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::plugins::build_all;
use crate::workspace::{Workspace, run as run_command};

#[derive(clap::Args)]
pub struct Args {
    /// Then run the tests of what computes again, at each lower level of CPU instructions that this machine has.
    #[arg(long)]
    levels: bool,
    /// Passed on to `cargo test --workspace`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

/// Builds tunebench, its plugins and the benchmark program, builds and tests the third-party plugins, then runs
/// `cargo test --workspace`.
///
/// # Errors
/// When a build or a test fails.
pub fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::members_only()?;
    run_command(build_all(&workspace).args(["--package", crate::bench::PACKAGE]))?;
    let target = workspace.target.join("third-party");
    for manifest in third_party(&workspace)?.into_iter().chain([crate::newer::write(&workspace)?]) {
        for command in ["build", "test"] {
            let mut cargo = workspace.cargo([command, "--manifest-path"]);
            run_command(cargo.arg(&manifest).arg("--target-dir").arg(&target))?;
        }
    }
    // What a release build does in this dev host, and what no plugin may be built with.
    for (folder, package, profile) in [("dora", "dora", "release"), ("stress", "stress-tuner", "abort")] {
        let mut build = workspace.cargo(["build", "--package", package, "--profile", profile, "--manifest-path"]);
        let manifest = workspace.root.join("tests/third-party").join(folder).join("Cargo.toml");
        run_command(build.arg(manifest).arg("--target-dir").arg(&target))?;
    }
    run_command(workspace.cargo(["test", "--workspace"]).args(&args.args))?;
    if args.levels {
        crate::levels::run(&workspace)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The manifests under tests/third-party: workspaces of their own, as a stranger's plugin would be.
pub(crate) fn third_party(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let folder = workspace.root.join("tests/third-party");
    let entries = std::fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    let entries = entries.collect::<std::io::Result<Vec<_>>>().with_context(|| folder.display().to_string())?;
    let mut manifests: Vec<PathBuf> = entries.iter().map(|e| e.path().join("Cargo.toml")).collect();
    manifests.retain(|m| m.is_file());
    manifests.sort();
    Ok(manifests)
}
