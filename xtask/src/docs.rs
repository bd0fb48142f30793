//! `cargo xtask docs`: the guide as a book of HTML pages.

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::workspace::{Workspace, show};

/// Builds the guide and says where it is.
///
/// # Errors
/// When cargo cannot be started, or a page cannot be built.
pub fn run() -> Result<ExitCode> {
    let workspace = Workspace::members_only()?;
    let (guide, out) = (workspace.root.join("docs/guide"), workspace.target.join("guide/book"));
    let mut command = workspace.cargo("run --quiet --locked --manifest-path".split(' '));
    command.arg(guide.join("builder/Cargo.toml")).arg("--target-dir").arg(workspace.target.join("guide/builder"));
    command.arg("--").arg(&guide).arg(&out);
    let status = command.status().with_context(|| format!("starting `{}`", show(&command)))?;
    if !status.success() {
        eprintln!("error: `{}` failed", show(&command));
        return Ok(ExitCode::FAILURE);
    }
    println!("{}", out.join("index.html").display());
    Ok(ExitCode::SUCCESS)
}
