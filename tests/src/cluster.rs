//! A study on a real Slurm cluster of two nodes (`tests/cluster/cluster.sh`), of which one dies in the middle: the frames and the
//! weights are those of a run on one machine.
//!
//! It needs Slurm and root; where they are missing it says so, and fails only with TUNEBENCH_NEEDS_SLURM=1. With
//! TUNEBENCH_QUICKSTART=DIR, the run folder of a quickstart, it is that study which is submitted, and that run it is compared with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::remains::{assert_alike, remains_of};
use crate::study::Study;
use crate::support;

/// Within the cluster: submits, kills the node of a running task once some are done, and waits for the end.
const SCRIPT: &str = r#"
set -eu
"$PROGRAM" submit "$STUDY" --out "$OUT" --slurm --cpus 1 --lost-after 5
begin=$(date +%s)
late() { [ $(($(date +%s) - begin)) -lt 1200 ] || { echo "too late: $1"; squeue; tail -n 20 "${OUT}/work/slurm/"*.log; exit 1; }; }
until ls "${OUT}/work/train-"*/arm.json >/dev/null 2>&1 && [ -n "$(squeue -h -t RUNNING -o %N)" ]; do sleep 0.2; late "nothing trained"; done
node=$(squeue -h -t RUNNING -o %N | head -n 1)
kill -9 "$(cat "/run/cluster/$node.pid")"
scontrol update nodename="$node" state=down reason=died
"$PROGRAM" status "$OUT"
while squeue -h | grep -q .; do sleep 0.5; late "jobs are left"; done
grep -h 'is worked on\|trained\|failed\|error' "${OUT}/work/slurm/"*.log | sort | uniq -c | sort -rn | head -n 40
tail -n 5 "${OUT}/work/slurm/"*join*.log
echo "$node died after $(($(date +%s) - begin)) s"
"#;

/// What is missing for a cluster here, and how to get it; empty where nothing is.
fn missing() -> String {
    let said = Command::new(support::repository("tests/cluster/cluster.sh")).arg("--missing").output().unwrap();
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}

/// Frames and weights alone: what a run on one machine and one on several have to share.
fn results(run: &Path) -> BTreeMap<PathBuf, String> {
    // The quickstart's own data lie beside them.
    let is_data = |path: &Path| path.starts_with(run.join("data"));
    let is_result = |path: &Path| path.extension().is_some_and(|kind| kind == "parquet" || kind == "safetensors");
    remains_of(run, |path| is_result(path) && !is_data(path))
}

#[test]
fn two_nodes_of_which_one_dies_leave_what_one_machine_leaves() {
    let missing = missing();
    if !missing.is_empty() {
        assert!(std::env::var_os("TUNEBENCH_NEEDS_SLURM").is_none(), "{missing}");
        eprintln!("skipped: {missing}");
        return;
    }
    let study = Study::new();
    let (file, alone) = match std::env::var_os("TUNEBENCH_QUICKSTART").map(PathBuf::from) {
        Some(run) => (run.join("data/study.toml"), run),
        None => {
            study.edit("study.toml", "seed = 3\n", "seed = 3\nseeds = 3\n");
            study.run(&["study", "study.toml", "--out", "alone", "--jobs", "1"]);
            (study.path("study.toml"), study.path("alone"))
        }
    };
    let (out, script) = (study.path("cluster"), study.path("script.sh"));
    std::fs::write(&script, SCRIPT).unwrap();
    let data = file.parent().unwrap();
    let folders = [&study.path(""), data, &support::repository("")].map(|path| path.to_str().unwrap().to_owned());
    let mut command = study.command(&[]);
    let environment: Vec<_> =
        command.get_envs().map(|(name, value)| (name.to_owned(), value.unwrap().to_owned())).collect();
    command = Command::new(support::repository("tests/cluster/cluster.sh"));
    command.arg(folders.join(":")).arg("bash").arg(&script).envs(environment);
    command.env("PROGRAM", support::executable()).env("STUDY", &file).env("OUT", &out);
    let output = command.current_dir(study.path("")).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    eprintln!("{text}");
    let expected = results(&alone);
    assert!(expected.len() > 10, "{expected:?}");
    assert_alike(&results(&out), &expected, "two nodes");
}
