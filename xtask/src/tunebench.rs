//! Everything else: builds tunebench and its plugins, then becomes it.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, IsTerminal as _};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::plugins::build_all;
use crate::workspace::{Workspace, run as run_command};

/// Off a terminal, how often a build says how far it is.
const BETWEEN_LINES: Duration = Duration::from_secs(30);

/// Runs `tunebench` with `args`, in the current folder. Standard output is tunebench's alone; the build shows itself on
/// standard error, on a terminal as cargo does it.
///
/// # Errors
/// When the build fails or the executable does not start. Its own failure is its exit status.
pub fn run(args: &[OsString]) -> Result<ExitCode> {
    let workspace = Workspace::members_only()?;
    let mut build = build_all(&workspace);
    build.stdout(Stdio::null());
    match std::io::stderr().is_terminal() {
        true => run_command(&mut build)?,
        false => run_in_few_lines(&mut build)?,
    }
    let path = workspace.built().join(format!("tunebench{}", std::env::consts::EXE_SUFFIX));
    become_command(Command::new(&path).args(args)).with_context(|| format!("starting {}", path.display()))
}

/// Builds without a word when nothing has changed, else with a line now and then; what cargo printed comes with a
/// failure.
fn run_in_few_lines(build: &mut Command) -> Result<()> {
    let mut cargo = build.stderr(Stdio::piped()).spawn().context("starting cargo")?;
    let output = cargo.stderr.take().context("reading what cargo prints")?;
    let (mut crates, mut kept) = (0, String::new());
    let mut last = Instant::now();
    for line in BufReader::new(output).lines() {
        let line = line.context("reading what cargo prints")?;
        match line.split_whitespace().next() {
            Some("Compiling") => {
                if crates == 0 {
                    eprintln!("building tunebench and its plugins; the first time takes minutes");
                }
                crates += 1;
            }
            // Another cargo is at work in the same folder.
            Some("Blocking") => eprintln!("{}", line.trim()),
            _ => kept += &format!("{line}\n"),
        }
        if last.elapsed() >= BETWEEN_LINES {
            eprintln!("building: crate {crates}");
            last = Instant::now();
        }
    }
    if !cargo.wait().context("waiting for cargo")?.success() {
        bail!("tunebench does not build:\n{kept}");
    }
    Ok(())
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
