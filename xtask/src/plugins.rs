//! `plugins`: builds every plugin of the workspace as a library beside the executable.

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::workspace::{Workspace, run as run_command};

/// Builds the plugins.
///
/// # Errors
/// When the build fails.
pub fn run() -> Result<ExitCode> {
    let workspace = Workspace::members_only()?;
    run_command(build(&workspace).args(package_args(&workspace)))?;
    println!("{} plugins in {}", workspace.plugins().len(), workspace.built().display());
    Ok(ExitCode::SUCCESS)
}

/// Builds the executable and the plugins it finds beside itself: always together, so that one choice of features
/// serves all of them and nothing is compiled twice.
pub fn build_all(workspace: &Workspace) -> Command {
    let mut command = build(workspace);
    command.args(["--package", "tunebench-cli"]).args(package_args(workspace));
    command
}

fn build(workspace: &Workspace) -> Command {
    workspace.cargo(["build"])
}

fn package_args(workspace: &Workspace) -> impl Iterator<Item = &str> {
    workspace.plugins().into_iter().flat_map(|name| ["--package", name])
}
