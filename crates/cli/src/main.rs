//! `tunebench`: the command line, and the only place where the stages are wired together.
//!
//! [`args`] is what may be said, [`commands`] answers it, [`run`] runs studies, [`quickstart`] is the embedded one.
//! Exit status: 0 done, 1 failed, 2 wrong usage.

mod args;
mod commands;
mod progress;
mod quickstart;
mod run;

use std::process::{Command, ExitCode};

use clap::Parser as _;

/// How many threads candle gives to element-wise work.
const THREADS: &str = "CANDLE_NUM_THREADS";
/// How many it gives to products. Unset, it reads /proc/cpuinfo before each of them.
const PRODUCT_THREADS: &str = "RAYON_NUM_THREADS";

fn main() -> ExitCode {
    let args = args::Args::parse();
    if std::env::var_os(THREADS).is_none() {
        return run_again();
    }
    match commands::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // A cause that its context already quotes is not said twice.
            let mut text = String::new();
            for cause in error.chain().map(ToString::to_string) {
                if !text.contains(&cause) {
                    text += if text.is_empty() { "" } else { ": " };
                    text += &cause;
                }
            }
            progress::say(format!("error: {text}"));
            ExitCode::FAILURE
        }
    }
}

/// Becomes a process that has candle's pool at one thread. The pool waits by spinning, so that with two threads and
/// anything else running on the machine a step takes up to six times as long; products have threads of their own and
/// keep them. The variable is read once, at candle's start, and Rust can only set it safely for another process.
fn run_again() -> ExitCode {
    let again = |executable| {
        let mut command = Command::new(executable);
        command.args(std::env::args_os().skip(1)).env(THREADS, "1");
        if std::env::var_os(PRODUCT_THREADS).is_none() {
            let threads = std::thread::available_parallelism().map_or(1, usize::from);
            command.env(PRODUCT_THREADS, threads.to_string());
        }
        become_process(command)
    };
    match std::env::current_exe().and_then(again) {
        Ok(code) => code,
        Err(error) => {
            progress::say(format!("error: starting itself with {THREADS}=1: {error}; set the variable by hand"));
            ExitCode::FAILURE
        }
    }
}

#[cfg(unix)]
fn become_process(mut command: Command) -> std::io::Result<ExitCode> {
    use std::os::unix::process::CommandExt as _;
    Err(command.exec()) // returns only when it failed
}

#[cfg(not(unix))]
fn become_process(mut command: Command) -> std::io::Result<ExitCode> {
    let code = command.status()?.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// `tunebench … | head` is no failure.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}
