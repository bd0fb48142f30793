//! What judging takes: 10,000 judgements by a server that does everything wrong, and 3,000 by one that states its limits and
//! enforces them. Prints the memory, the pace and what was asked.
//!
//! `cargo run --release -p tunebench-judge --example ten_thousand`

#![allow(clippy::unwrap_used)] // as a test, it fails by panicking

#[path = "../tests/faults/child.rs"]
mod child;
#[path = "../tests/faults/script.rs"]
#[allow(dead_code)] // the ends are looked at by the test
mod script;
#[path = "../tests/faults/secrets.rs"]
mod secrets;
#[path = "../tests/support/mod.rs"]
mod support;

use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use tunebench_scripted_server::{Counting, RateLimited, Response, Server, Spelling};

use self::child::Work;
use self::script::Script;
use self::secrets::{KEY, Secret};

fn main() {
    if let Some(progress) = Work::do_what_was_told() {
        println!("  {progress:?}");
        println!("  peak resident memory: {}", peak_memory().unwrap_or_else(|| "unknown here".into()));
        return;
    }
    let script = Arc::new(Script::new(Secret::new(KEY)));
    let for_server = script.clone();
    let server = Server::start(move |_, seen| for_server.respond(seen));
    println!("every fault there is, waits 2000 times as fast:");
    let seconds = run(&server, &Work { judgements: 10_000, speed: 2000.0, concurrency: 16 });
    let answered = script.answered();
    let twice = answered.values().filter(|n| **n > 1).count();
    println!("  {seconds:.1} s, {} requests, {} answers judged, {twice} paid twice", server.count(), answered.len());

    // Ten times as fast as the wall's clock, on both sides.
    const SPEED: f64 = 10.0;
    const PER_MINUTE: f64 = 1200.0;
    for counting in [Counting::SlidingWindow, Counting::FixedWindow, Counting::Bucket] {
        let limits = Arc::new(RateLimited::new(counting, Spelling::OpenAi, 60.0, PER_MINUTE, None));
        let (for_server, start) = (limits.clone(), Instant::now());
        let server = Server::start(move |_, _| {
            let verdict = for_server.arrive(start.elapsed().as_secs_f64() * SPEED, 0.0);
            let response = if verdict.is_admitted {
                Response::reply("0.5")
            } else {
                Response::error(429, "Rate limit reached", "rate_limit_exceeded")
            };
            Response { headers: verdict.headers, ..response }
        });
        println!("a limit of {PER_MINUTE} a minute, {counting:?}, time {SPEED} times as fast:");
        let seconds = run(&server, &Work { judgements: 3000, speed: SPEED, concurrency: 64 });
        let per_minute = limits.admitted() as f64 / (seconds * SPEED / 60.0);
        println!("  {seconds:.1} s, {per_minute:.0} a minute, {} of them too early", limits.violations());
    }
}

/// Seconds that a process of its own takes.
fn run(server: &Server, work: &Work) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    let start = Instant::now();
    let status = work.tell(&mut command, server, folder.path(), None).status().unwrap();
    assert!(status.success());
    Secret::new(KEY).assert_not_in(folder.path());
    start.elapsed().as_secs_f64()
}

fn peak_memory() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:").map(|value| value.trim().to_owned()))
}
