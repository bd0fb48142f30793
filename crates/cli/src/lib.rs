//! `tunebench`: the command line over the study engine and the analyses. A library, so that it is the same in the executable
//! that is linked with CUDA, `crates/cuda`.
//!
//! [`args`] is what may be said, [`commands`] answers it, [`output`] prints, [`downloads`] shows what comes from the hub, [`jobs`] runs workers side by side,
//! [`plugin_files`] finds plugins,
//! [`quickstart`] is the embedded study, [`signals`] end a run early.
//! Exit status: 0 done, 1 failed, 2 wrong usage, 128 and the number of the signal that ended a run.

mod args;
mod commands;
mod downloads;
mod jobs;
mod output;
mod plugin_files;
mod quickstart;
mod signals;

use std::process::ExitCode;

use clap::Parser as _;
use tunebench_kernels::machine::{memory, threads};

/// Does what the command line of this process says.
pub fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == tunebench_host::WORKER_ARGUMENT) {
        return tunebench_host::serve();
    }
    let args = args::Args::parse();
    if !threads::are_given() {
        return run_again();
    }
    let signals = match signals::Signals::catch() {
        Ok(signals) => signals,
        Err(error) => {
            output::status(format!("error: listening for signals: {error}"));
            end(1)
        }
    };
    match commands::run(args, &signals) {
        Ok(()) => end(0),
        Err(error) if is_closed_pipe(&error) => end(0),
        Err(error) => {
            // A cause that its context already quotes is not said twice.
            let mut text = String::new();
            for cause in error.chain().map(ToString::to_string) {
                if !text.contains(&cause) {
                    text += if text.is_empty() { "" } else { ": " };
                    text += &cause;
                }
            }
            output::status(format!("error: {text}"));
            match signals.received() {
                Some(number) => end(128 + number),
                None => end(1),
            }
        }
    }
}

/// Ends with `code`, unless a plugin broke where no command could say so.
fn end(code: u8) -> ! {
    let errors = tunebench_host::take_late_errors();
    errors.iter().for_each(|error| output::status(format!("error: {error}")));
    tunebench_host::exit(if errors.is_empty() { code } else { 1 })
}

/// Becomes a process with its threads given: as many as the environment says, or as the machine has. Ranks of one machine share
/// its cores and memory.
fn run_again() -> ExitCode {
    let asked = std::env::var(threads::PRODUCTS).ok().and_then(|text| text.parse().ok());
    let processes = tunebench_exchange::ranks_here();
    let products = asked.unwrap_or_else(|| threads::share(processes));
    let share = memory::limit().filter(|_| processes > 1).map(|limit| memory::share(limit.bytes, processes));
    threads::run_again(products, share.as_slice()).unwrap_or_else(|error| {
        let (elements, products) = (threads::ELEMENTS, threads::PRODUCTS);
        output::status(format!("error: starting itself again: {error}; set {elements} and {products} by hand"));
        ExitCode::FAILURE
    })
}

/// `tunebench … | head` is no failure.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}
