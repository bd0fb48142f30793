//! `plugins`: builds every plugin of the workspace as a library beside the executable.

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::workspace::{Workspace, run as run_command};

/// Builds the plugins and says where they are.
///
/// # Errors
/// When the build fails.
pub fn run() -> Result<ExitCode> {
    let workspace = Workspace::members_only()?;
    run_command(&mut build_all(&workspace))?;
    println!("{} plugins in {}", workspace.plugins().len(), workspace.built().display());
    Ok(ExitCode::SUCCESS)
}

/// Builds the executable and the plugins it finds beside itself. Never one without the other: cargo chooses features
/// for what is built together, so plugins built alone would be other files, and everything would be compiled twice.
pub fn build_all(workspace: &Workspace) -> Command {
    let mut command = workspace.cargo(["build", "--package", "tunebench-cli"]);
    command.args(workspace.plugins().into_iter().flat_map(|name| ["--package", name]));
    command
}
