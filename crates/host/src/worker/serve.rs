//! The whole of a worker process: commands as lines of JSON on standard input, answers on what was standard output.

use std::io::{BufRead as _, Write as _};
use std::process::ExitCode;

use super::handler::Handler;
use super::protocol::{Answer, Command};
use super::sandbox::Sandbox;
use crate::error::HostError;

/// Runs one worker. A program that is started with [`crate::WORKER_ARGUMENT`] as its only argument calls this first.
pub fn serve() -> ExitCode {
    let (sandbox, mut out) = match Sandbox::enter() {
        Ok(entered) => entered,
        Err(e) => {
            // The answer to the first command, whatever it will be.
            let (plugin, operation) = ("(none yet)".into(), "limiting its process".into());
            let error: Answer = Err(HostError::Refused { plugin, operation, reason: e.to_string() });
            println!("{}", serde_json::to_string(&error).unwrap_or_default());
            return ExitCode::FAILURE;
        }
    };
    let mut answer = |answer: Answer| serde_json::to_string(&answer).is_ok_and(|line| writeln!(out, "{line}").is_ok());
    let parse = |line: std::io::Result<String>| serde_json::from_str::<Command>(&line.ok()?).ok();
    let is_heard = Handler::isolated(sandbox).run(std::io::stdin().lock().lines().map_while(parse), &mut answer);
    if is_heard { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
