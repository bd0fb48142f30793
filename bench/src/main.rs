//! `tunebench-bench`: measures one thing in a process of its own, so that peak memory is that thing's, and prints it as
//! JSON. `cargo xtask bench` runs it, in turn with PyTorch.
//!
//! [`training`], [`generation`] and [`grouped`] are what a study does, [`products`] what it is made of, [`floors`] what the machine
//! can do at best, [`boundary`] what plugins cost; [`model`] and [`tokens`] are shared.

mod boundary;
mod drawn;
mod figures;
mod floors;
mod generation;
mod grouped;
mod model;
mod products;
mod shared;
mod timed;
mod tokens;
mod training;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use serde_json::Value;
use tunebench_kernels::machine::threads;

/// Measure one thing in this process and print it as a line of JSON.
#[derive(Parser)]
#[command(name = "tunebench-bench", max_term_width = 110)]
struct Args {
    #[command(subcommand)]
    command: Command,
    /// Threads that compute.
    #[arg(long, global = true, default_value_t = 2)]
    threads: usize,
}

#[derive(Subcommand)]
enum Command {
    /// Training steps: forward, backward, clipping, AdamW, every token a label.
    #[command(after_help = "Examples:
  tunebench-bench train --model smollm2 --tuner lora-all-linear --batch 4 --seq 256 --steps 6 --warmup 2
  mpirun -n 2 tunebench-bench --threads 1 train --model smollm2 --tuner ft --lanes 2 --micro-batch-tokens 256
  tunebench-bench train --preset llama-7b --tuner lora-all-linear --batch 1 --seq 256 --steps 1 --warmup 0")]
    Train(training::Args),
    /// Greedy answers of a fixed length, all prompts at once.
    #[command(after_help = "Examples:
  tunebench-bench generate --model smollm2 --batch 64 --prompt 64 --new 64
  tunebench-bench generate --model smollm2-q8_0.gguf --batch 1 --prompt 64 --new 64
  tunebench-bench generate --model smollm2 --batch 16 --adapters 4 --tuner lora-all-linear")]
    Generate(generation::Args),
    /// Matrix products of bf16, each with the peak of the instruction it uses: a line each.
    #[command(after_help = "Example: tunebench-bench kernels --repeats 5")]
    Kernels(products::Args),
    /// What the machine can do at best, memory and the arithmetic of each level of CPU instructions: a line each.
    #[command(after_help = "Example: tunebench-bench floors --repeats 3")]
    Floors(floors::Args),
    /// What the boundary to plugins costs, on a thread and in a process: a line each.
    #[command(after_help = "Example: tunebench-bench boundary --repeats 9")]
    Boundary(boundary::Args),
    /// Write what both sides of a comparison start from: tokens, and adapters as they begin.
    #[command(after_help = "Example: tunebench-bench shared --model smollm2 --tokens 20480 --out runs/shared")]
    Shared(shared::Args),
}

fn main() -> ExitCode {
    let args = Args::parse();
    if !threads::are_given() {
        return threads::run_again(args.threads, &[]).unwrap_or_else(|error| {
            eprintln!("error: starting itself with {}={}: {error}", threads::PRODUCTS, args.threads);
            ExitCode::FAILURE
        });
    }
    match run(&args.command) {
        Ok(lines) => {
            let mut out = std::io::stdout().lock();
            // That nobody reads on, as in `tunebench-bench kernels | head`, is no failure.
            let _ = lines.iter().try_for_each(|line| writeln!(out, "{line}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Result<Vec<Value>> {
    match command {
        Command::Train(args) => Ok(training::measure(args)?.into_iter().collect()),
        Command::Generate(args) => Ok(vec![generation::measure(args)?]),
        Command::Kernels(args) => products::measure(args),
        Command::Floors(args) => floors::measure(args),
        Command::Boundary(args) => boundary::measure(args),
        Command::Shared(args) => Ok(vec![shared::write(args)?]),
    }
}
