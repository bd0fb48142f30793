//! The commands, each in a file of its own.

mod analyze;
mod cache;
mod chat;
mod export;
mod fetch;
mod judge;
mod labels;
mod plan;
mod plugins;
mod query;
mod quickstart;
mod report;
mod serve;
mod study;
mod submit;
mod watch;

use anyhow::Result;

use crate::args::{Args, Command};
use crate::signals::Signals;

/// Does what the command line says; signals end what is long.
pub fn run(args: Args, signals: &Signals) -> Result<()> {
    let shared = &args.shared;
    match args.command {
        Command::Quickstart(args) => quickstart::run(&args, shared, signals),
        Command::Study(args) => study::run(&args, shared, signals),
        Command::Plan(args) => plan::run(&args, shared, signals),
        Command::Fetch(args) => fetch::run(&args, shared),
        Command::Judge(args) => judge::run(&args, shared, signals),
        Command::Labels(args) => labels::run(&args, shared, signals),
        Command::Analyze(args) => analyze::run(&args),
        Command::Query(args) => query::run(&args),
        Command::Export(args) => export::run(&args.what, shared.backend),
        Command::Chat(args) => chat::run(&args, shared.backend),
        Command::Cache(args) => cache::run(&args),
        Command::Serve(args) => serve::run(args, shared.backend, signals),
        Command::Submit(args) => submit::run(&args, shared, signals),
        Command::Status(args) => submit::show(&args),
        Command::Watch(args) => watch::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Plugins(args) => plugins::run(&args.command, shared),
    }
}
