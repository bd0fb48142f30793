//! Slurm's own programs, as they are called here.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::process::Command;

use crate::error::Error;

/// Runs a command of Slurm's for its standard output.
///
/// # Errors
/// [`Error::NoCommand`], [`Error::Start`], and [`Error::Command`] with what it said.
pub(crate) fn run(command: &'static str, arguments: &[&OsStr]) -> Result<String, Error> {
    let output = match clean(Command::new(command).args(arguments)).output() {
        Ok(output) => output,
        Err(e) if e.kind() == ErrorKind::NotFound => return Err(Error::NoCommand { command }),
        Err(source) => return Err(Error::Start { command, source }),
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let prefix = format!("{command}: error: ");
    let lines = said.lines().map(str::trim).map(|line| line.strip_prefix(&prefix).unwrap_or(line));
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    let fault = if lines.is_empty() { output.status.to_string() } else { lines.join("; ") };
    Err(Error::Command { command, fault })
}

/// Without the variables that would have squeue leave jobs out.
fn clean(command: &mut Command) -> &mut Command {
    let filters =
        std::env::vars_os().map(|(name, _)| name).filter(|name| name.to_string_lossy().starts_with("SQUEUE_"));
    filters.fold(command, |command, name| command.env_remove(name))
}
