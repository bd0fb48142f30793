//! `cargo xtask fuzz`: strangers' bytes for everything that reads them, by cargo-fuzz, one target after the other.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

use crate::workspace::Workspace;

/// Options of `cargo xtask fuzz`.
#[derive(clap::Args)]
pub struct Args {
    /// Targets, as `fuzz/src/targets.rs` names them; all when none is given.
    pub targets: Vec<String>,
    /// For each target.
    #[arg(long, default_value_t = 3600)]
    pub seconds: u64,
}

/// An input may be this long; what memory it may take, `fuzz/src/lib.rs` says.
const INPUT_BYTES: usize = 1 << 20;

/// Folders of files that a target begins with too, as they are too large to be kept twice.
const MORE: &[(&str, &str)] = &[("gguf", "tests/golden/gguf")];

/// Feeds each target for so long.
///
/// # Errors
/// When there is no such target, or cargo-fuzz is missing.
pub fn run(args: &Args) -> Result<ExitCode> {
    let root = Workspace::members_only()?.root;
    let there = targets(&root.join("fuzz/fuzz_targets"))?;
    if let Some(unknown) = args.targets.iter().find(|target| !there.contains(target)) {
        bail!("no target `{unknown}`; there are: {}", there.join(", "));
    }
    let chosen = if args.targets.is_empty() { &there } else { &args.targets };
    let mut failed = Vec::new();
    for target in chosen {
        // What is found new stays out of the committed inputs, until somebody takes it there.
        let found = root.join("fuzz/target/found").join(target);
        std::fs::create_dir_all(&found)?;
        let mut command = Command::new("cargo");
        // Readers have no unsafe code: without a sanitizer ten times as much is tried.
        command
            .args(["+nightly", "fuzz", "run", "--sanitizer", "none", target])
            .arg(&found)
            .arg(format!("fuzz/corpus/{target}"))
            .args(MORE.iter().filter(|(of, _)| of == target).map(|(_, folder)| folder));
        command.arg("--").args([
            format!("-max_total_time={}", args.seconds),
            format!("-max_len={INPUT_BYTES}"),
            "-timeout=20".into(),
            "-print_final_stats=1".into(),
        ]);
        let status = command.current_dir(&root).status();
        if !status.context("cargo-fuzz: `rustup toolchain install nightly` and `cargo install cargo-fuzz`")?.success() {
            failed.push(target.as_str());
        }
    }
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("error: {} found something; the inputs are in fuzz/artifacts", failed.join(", "));
    Ok(ExitCode::FAILURE)
}

/// Names of targets, sorted.
fn targets(folder: &std::path::Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        names.extend(path.file_stem().and_then(|name| name.to_str()).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}
