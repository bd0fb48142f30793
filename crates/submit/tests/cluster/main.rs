//! A real Slurm on three hosts (`tests/cluster/cluster.sh`), and submissions to it: stages in their order, a node that dies,
//! a task out of time, one that is cancelled, one that is refused. A script stands in for tunebench.
//!
//! Needs Slurm and root; where they are missing it says so, and fails only with TUNEBENCH_NEEDS_SLURM=1.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

mod scenarios;

use std::path::{Path, PathBuf};
use std::process::Command;

/// Set by `cluster.sh` inside.
const INSIDE: &str = "TUNEBENCH_IN_CLUSTER";

#[test]
fn studies_on_a_cluster() {
    if std::env::var_os(INSIDE).is_some() {
        let shared = std::env::var_os("TUNEBENCH_SHARED").unwrap();
        let is_to_be_killed = std::env::var_os(scenarios::KILLED).is_some();
        let scenario = if is_to_be_killed { scenarios::submit_and_be_killed } else { scenarios::run };
        return scenario(Path::new(&shared));
    }
    let missing = missing();
    if !missing.is_empty() {
        assert!(std::env::var_os("TUNEBENCH_NEEDS_SLURM").is_none(), "{missing}");
        eprintln!("skipped: {missing}");
        return;
    }
    let shared = tempfile::tempdir().unwrap();
    let exe = std::env::current_exe().unwrap();
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [shared.path(), exe.parent().unwrap(), manifest].map(|path| path.to_str().unwrap()).join(":");
    let status = Command::new(script())
        .arg(folders)
        .arg(&exe)
        .args(["--exact", "studies_on_a_cluster", "--nocapture"])
        .env("TUNEBENCH_SHARED", shared.path())
        .status();
    assert!(status.unwrap().success());
}

/// What is missing for a cluster here, and how to get it; empty where nothing is.
fn missing() -> String {
    let said = Command::new(script()).arg("--missing").output().unwrap();
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cluster/cluster.sh")
}
