//! Everything else: builds tunebench and its plugins, then becomes it.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

use crate::plugins::build_all;
use crate::workspace::Workspace;

/// Runs `tunebench` with `args`, in the current folder. What the build prints is shown only if it fails, and
/// standard output is tunebench's alone.
///
/// # Errors
/// When the build fails or the executable does not start. Its own failure is its exit status.
pub fn run(args: &[OsString]) -> Result<ExitCode> {
    let workspace = Workspace::members_only()?;
    eprintln!("building tunebench and its plugins (the first time takes minutes) …");
    let output = build_all(&workspace).output().context("starting cargo")?;
    if !output.status.success() {
        bail!("tunebench does not build:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    let path = workspace.built().join(format!("tunebench{}", std::env::consts::EXE_SUFFIX));
    become_command(Command::new(&path).args(args)).with_context(|| format!("starting {}", path.display()))
}

/// In its place, so that signals and the terminal are the command's own.
#[cfg(unix)]
fn become_command(command: &mut Command) -> Result<ExitCode> {
    Err(std::os::unix::process::CommandExt::exec(command).into())
}

#[cfg(not(unix))]
fn become_command(command: &mut Command) -> Result<ExitCode> {
    let code = command.status()?.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
