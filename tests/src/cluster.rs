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

/// A script within a cluster that shares a study's files with this machine, and is told of them by PROGRAM, STUDY and OUT; none
/// where there is no cluster, and why is said.
pub fn command(study: &Study, script: &str, file: &Path, out: &Path) -> Option<Command> {
    let program = support::repository("tests/cluster/cluster.sh");
    let missing = Command::new(&program).arg("--missing").output().unwrap().stdout;
    let missing = String::from_utf8(missing).unwrap();
    if !missing.trim().is_empty() {
        assert!(std::env::var_os("TUNEBENCH_NEEDS_SLURM").is_none(), "{missing}");
        eprintln!("skipped: {missing}");
        return None;
    }
    let text = study.path("script.sh");
    std::fs::write(&text, script).unwrap();
    let folders = [&study.path(""), file.parent().unwrap(), &support::repository("")];
    let folders: Vec<&str> = folders.iter().map(|path| path.to_str().unwrap()).collect();
    let mut command = Command::new(program);
    command.arg(folders.join(":")).arg("bash").arg(&text).current_dir(study.path(""));
    command.envs(study.command(&[]).get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("PROGRAM", support::executable()).env("STUDY", file).env("OUT", out);
    Some(command)
}

/// Expects success; what it said.
pub fn run(mut command: Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    text
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
    let study = Study::new();
    let quickstart = std::env::var_os("TUNEBENCH_QUICKSTART").map(PathBuf::from);
    let file = quickstart.as_ref().map_or_else(|| study.path("study.toml"), |run| run.join("data/study.toml"));
    let out = study.path("cluster");
    let Some(command) = command(&study, SCRIPT, &file, &out) else { return };
    let alone = quickstart.unwrap_or_else(|| {
        study.edit("study.toml", "seed = 3\n", "seed = 3\nseeds = 3\n");
        study.run(&["study", "study.toml", "--out", "alone", "--jobs", "1"]);
        study.path("alone")
    });
    eprintln!("{}", run(command));
    let expected = results(&alone);
    assert!(expected.len() > 10, "{expected:?}");
    assert_alike(&results(&out), &expected, "two nodes");
}
