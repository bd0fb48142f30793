//! `test --levels`: the tests of what computes, at each lower set of CPU instructions that this machine has.
//!
//! The kernels choose their instructions when they run, by `TUNEBENCH_CPU` or what the CPU can do. So the test programs
//! that were built for `cargo test` are run again, each time with another level forced; nothing is built anew.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

use crate::workspace::{Workspace, show};

/// A package whose tests compute at the level in force, and a word in their names; all, where it is empty. What tries
/// the levels one by one itself, as the tests of single kernels do, is not here.
const NUMERIC: &[(&str, &str)] = &[
    ("tunebench-model", ""),
    ("tunebench-train", ""),
    ("tunebench-generate", ""),
    ("tunebench-tests", "gradients::"),
    ("tunebench-tests", "testing_kit::"),
    ("tunebench-tests", "third_party_tuners::"),
    ("tunebench-tests", "virtual_tokens::"),
];

/// Prints what this CPU can do, lowest first: an example of the kernels.
const LISTING: (&str, &str) = ("tunebench-kernels", "levels");

/// As `tunebench_kernels` reads it.
pub const VARIABLE: &str = "TUNEBENCH_CPU";

/// A line of `cargo test --no-run --message-format json`, as far as it is used here.
#[derive(Deserialize)]
struct Message {
    package_id: Option<String>,
    target: Option<Target>,
    profile: Option<Profile>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// A program that cargo built.
struct Program {
    package: String,
    folder: PathBuf,
    name: String,
    is_test: bool,
    path: PathBuf,
}

/// Runs the numeric tests at each level below the best, highest first, and prints a line for each.
///
/// # Errors
/// Names the levels at which a test failed; what the tests printed is above.
pub fn run(workspace: &Workspace) -> Result<()> {
    let programs = programs(workspace)?;
    let levels = levels(&programs)?;
    let (best, lower) = levels.split_last().context("the kernels name no level")?;
    println!("{best}: all tests passed, as this CPU does it by itself");
    let mut failed = Vec::new();
    for level in lower.iter().rev() {
        let start = Instant::now();
        match run_level(&programs, level) {
            Ok(passed) => println!("{level}: {passed} numeric tests passed in {:.0} s", start.elapsed().as_secs_f64()),
            Err(error) => {
                println!("{level}: FAILED\n{error:#}");
                failed.push(level.as_str());
            }
        }
    }
    if !failed.is_empty() {
        bail!("tests fail with {VARIABLE}={}", failed.join(&format!(" and {VARIABLE}=")));
    }
    Ok(())
}

/// How many tests passed.
fn run_level(programs: &[Program], level: &str) -> Result<usize> {
    let mut passed = 0;
    for (package, word) in NUMERIC {
        let tests = programs.iter().filter(|p| p.is_test && p.package == *package);
        let counts = tests.map(|test| run_tests(test, word, level)).collect::<Result<Vec<_>>>()?;
        let count: usize = counts.iter().sum();
        ensure!(count > 0, "{package} has no test with `{word}` in its name; correct xtask/src/levels.rs");
        passed += count;
    }
    Ok(passed)
}

/// How many tests of a program passed, of those with a word in their names.
fn run_tests(test: &Program, word: &str, level: &str) -> Result<usize> {
    let mut command = Command::new(&test.path);
    command.arg(word).env(VARIABLE, level).current_dir(&test.folder);
    let output = command.output().with_context(|| format!("starting `{}`", show(&command)))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("{text}{errors}repeat it by `{VARIABLE}={level} cargo test -p {} {word}`", test.package);
    }
    count_passed(&text).with_context(|| format!("`{}` prints no result:\n{text}", show(&command)))
}

/// The number in `test result: ok. 12 passed; 0 failed; …`.
fn count_passed(text: &str) -> Option<usize> {
    let (_, rest) = text.rsplit_once("test result: ok. ")?;
    rest.split(' ').next()?.parse().ok()
}

fn levels(programs: &[Program]) -> Result<Vec<String>> {
    let is_listing = |p: &&Program| !p.is_test && (p.package.as_str(), p.name.as_str()) == LISTING;
    let listing =
        programs.iter().find(is_listing).with_context(|| format!("{} has no example {}", LISTING.0, LISTING.1))?;
    let output = Command::new(&listing.path).output().context("listing the levels")?;
    ensure!(output.status.success(), "listing the levels failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

/// The test programs and examples of the workspace, as `cargo test --workspace` has built them.
fn programs(workspace: &Workspace) -> Result<Vec<Program>> {
    let mut command = workspace.cargo("test --workspace --quiet --no-run --message-format json".split(' '));
    let output = command.stderr(std::process::Stdio::inherit()).output().context("starting cargo")?;
    ensure!(output.status.success(), "`{}` failed ({})", show(&command), output.status);
    let text = String::from_utf8(output.stdout).context("what cargo prints")?;
    text.lines().filter_map(|line| program(workspace, line).transpose()).collect()
}

fn program(workspace: &Workspace, line: &str) -> Result<Option<Program>> {
    let message: Message = serde_json::from_str(line).with_context(|| format!("what cargo prints: {line}"))?;
    let Message { package_id: Some(id), target: Some(target), profile: Some(profile), executable: Some(path) } =
        message
    else {
        return Ok(None);
    };
    let package = workspace.members().find(|package| package.id() == id);
    Ok(package.map(|package| Program {
        package: package.name.clone(),
        folder: workspace.root.join(Path::new(&workspace.folder(package))),
        name: target.name,
        is_test: profile.test,
        path,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_counted() {
        let text =
            "\nrunning 2 tests\n..\ntest result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out\n\n";
        assert_eq!(count_passed(text), Some(2));
        assert_eq!(count_passed("running 1 test\n"), None);
    }
}
