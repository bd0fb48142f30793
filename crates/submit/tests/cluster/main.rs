//! A real Slurm on three hosts (`tests/cluster/cluster.sh`), and submissions to it: stages in their order, a node that dies,
//! a task out of time, one that is cancelled, one that is refused. A script stands in for tunebench.
//!
//! Needs Slurm and root; where they are missing it says so, and fails only with TUNEBENCH_NEEDS_SLURM=1.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

mod scenarios;

use std::path::Path;
use std::process::{Command, Stdio};

/// Set by `cluster.sh` inside.
const INSIDE: &str = "TUNEBENCH_IN_CLUSTER";
const INSTALL: &str = "apt-get install --no-install-recommends slurmctld slurmd slurm-client munge iproute2 util-linux";

#[test]
fn studies_on_a_cluster() {
    if std::env::var_os(INSIDE).is_some() {
        let shared = std::env::var_os("TUNEBENCH_SHARED").unwrap();
        let is_to_be_killed = std::env::var_os(scenarios::KILLED).is_some();
        let scenario = if is_to_be_killed { scenarios::submit_and_be_killed } else { scenarios::run };
        return scenario(Path::new(&shared));
    }
    if let Some(missing) = missing() {
        assert!(std::env::var_os("TUNEBENCH_NEEDS_SLURM").is_none(), "{missing}; {INSTALL}");
        eprintln!("skipped: {missing}; {INSTALL}");
        return;
    }
    let shared = tempfile::tempdir().unwrap();
    let exe = std::env::current_exe().unwrap();
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [shared.path(), exe.parent().unwrap(), manifest].map(|path| path.to_str().unwrap()).join(":");
    let status = Command::new(manifest.join("../../tests/cluster/cluster.sh"))
        .arg(folders)
        .arg(&exe)
        .args(["--exact", "studies_on_a_cluster", "--nocapture"])
        .env("TUNEBENCH_SHARED", shared.path())
        .status();
    assert!(status.unwrap().success());
}

/// What is missing for a cluster here.
fn missing() -> Option<&'static str> {
    let quiet = |script: &str| {
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new("sh");
        let status =
            command.args(["-c", script]).env("PATH", path).stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    if !quiet("command -v slurmctld && command -v slurmd && command -v sbatch && command -v munged") {
        return Some("Slurm is not installed");
    }
    let hosts = "unshare --net --uts --ipc --mount --pid --fork --mount-proc ip link add br0 type bridge";
    if !quiet(hosts) { Some("no hosts can be made here: that takes root, namespaces and bridges") } else { None }
}
