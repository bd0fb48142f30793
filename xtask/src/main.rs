//! `cargo xtask`: what a developer runs. What it does not know itself it passes on to a freshly built `tunebench`.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Build, check and run tunebench from its repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 110, after_help = PASSED_ON)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

const PASSED_ON: &str = "\
Any other command builds tunebench and its plugins and passes everything on, exit status included:
  cargo xtask quickstart
  cargo xtask plan data/studies/paper.toml
  cargo xtask study data/studies/smollm2.toml --out runs/smollm2
  cargo xtask analyze scores runs/quickstart

`cargo xtask COMMAND --help` says more.";

#[derive(Subcommand)]
enum Command {
    /// Build the plugins under plugins/, and tunebench beside them.
    #[command(after_help = "Example: cargo xtask plugins")]
    Plugins,
    /// Build what the tests load, then run `cargo test --workspace`.
    #[command(after_help = "Examples:
  cargo xtask test
  cargo xtask test plugins            only tests with `plugins` in their name
  cargo xtask test --no-fail-fast     all of them, whatever fails
  cargo xtask test --levels           all of them, then what computes as on lesser CPUs")]
    Test(xtask::test::Args),
    /// All that a change must pass, cheapest first: formatting, tidy, clippy, the types of tunebench-cuda, tests at
    /// every CPU level, the quickstart.
    #[command(after_help = "Example: cargo xtask ci")]
    Ci,
    /// Check files, crate edges and ARCHITECTURE.md; lists all faults.
    #[command(after_help = "Example: cargo xtask tidy")]
    Tidy,
    /// Measure kernels, training steps and generation, alone or in turn with PyTorch and PEFT, llama.cpp or vLLM.
    #[command(after_help = "Examples:
  cargo xtask bench --only kernels
  cargo xtask bench --model smollm2 --only training --tuner lora-all-linear --case 4x256
  cargo xtask bench --model smollm2 --against peft --python venv/bin/python --json
  cargo xtask bench --against llamacpp --llamacpp llama.cpp/build/bin --gguf smollm2-q8_0.gguf
  cargo xtask bench --model smollm2 --against vllm --python venv-of-vllm/bin/python
  cargo xtask bench --levels --model smollm2 --rounds 1 --steps 3 --warmup 1
  cargo xtask bench --preset llama-7b --tuner lora-all-linear --case 1x256 --warmup 0 --steps 1 --rounds 1

BENCHMARKS.md says what is measured and how, and what was seen.")]
    Bench(xtask::bench::Args),
    /// Show by simulation that tests reject and intervals cover as often as they say; writes docs/coverage.md.
    #[command(after_help = "Examples:
  cargo xtask coverage                     three minutes; writes docs/coverage.md
  cargo xtask coverage --simulations 200   a quick look")]
    Coverage(xtask::coverage::Args),
    /// Build tunebench-cuda, which computes on a graphics card; needs CUDA's compiler, nvcc.
    #[command(after_help = "Examples:
  cargo xtask cuda            minutes of nvcc; CUDA_COMPUTE_CAP says for which card, where none is there
  cargo xtask cuda --check    the types alone, on any machine")]
    Cuda(xtask::cuda::Args),
    /// Build the guide, docs/guide, as HTML pages.
    #[command(after_help = "Example: cargo xtask docs")]
    Docs,
    /// Feed what reads strangers' bytes with made-up ones, an hour each; needs a nightly compiler and cargo-fuzz.
    #[command(after_help = "Examples:
  cargo xtask fuzz                         every target, an hour each
  cargo xtask fuzz gguf --seconds 60       a quick look at one

What fails is in fuzz/artifacts; put it into fuzz/corpus/TARGET, which the tests read on every run.")]
    Fuzz(xtask::fuzz::Args),
    #[command(external_subcommand)]
    Tunebench(Vec<OsString>),
}

fn main() -> ExitCode {
    let result = match Args::parse().command {
        Command::Plugins => xtask::plugins::run(),
        Command::Test(args) => xtask::test::run(&args),
        Command::Ci => xtask::ci::run(),
        Command::Tidy => xtask::tidy::run(),
        Command::Bench(args) => xtask::bench::run(&args),
        Command::Coverage(args) => xtask::coverage::run(&args),
        Command::Cuda(args) => xtask::cuda::run(&args),
        Command::Docs => xtask::docs::run(),
        Command::Fuzz(args) => xtask::fuzz::run(&args),
        Command::Tunebench(args) => xtask::tunebench::run(&args),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
