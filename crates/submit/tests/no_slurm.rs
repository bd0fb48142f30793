//! Where Slurm is not installed: a sentence, and nothing that looks submitted.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::process::Command;

use tunebench_submit::slurm::{self, Options};
use tunebench_submit::{Resources, Stage, Submission};

const INSIDE: &str = "TUNEBENCH_TEST_WITHOUT_SLURM";

/// Runs itself again with an empty PATH, since Slurm may be installed here.
#[test]
fn nothing_is_submitted() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    let mut again = Command::new(std::env::current_exe().unwrap());
    let output = again.args(["--exact", "nothing_is_submitted"]).env("PATH", "").env(INSIDE, "1").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

fn inside() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    assert!(slurm::status(&out).unwrap_err().to_string().ends_with("run --slurm` does"));
    let needs = Resources { cpus: 1, memory: 1 << 30, seconds: 60.0 };
    let submission = Submission {
        study: "s".into(),
        program: "/opt/tunebench".into(),
        file: "/study.toml".into(),
        out: out.clone(),
        arguments: vec![],
        stages: vec![Stage { name: "arms".into(), tasks: 2, needs }],
        join: needs,
    };
    // The second time nothing of the first is in the way.
    for _ in 0..2 {
        let error = slurm::submit(&submission, &Options::default()).unwrap_err();
        let want = "`sbatch` is not on PATH; run this where Slurm's commands are, as a login node of the cluster";
        assert_eq!(error.to_string(), want);
        assert!(slurm::status(&out).unwrap().jobs.is_empty());
        assert!(out.join("work/slurm/0-arms.sbatch").exists());
    }
}
