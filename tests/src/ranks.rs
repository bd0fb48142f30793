//! A study by ranks of a real MPI: frames and weights are those of one process, however many ranks there are, under either MPI,
//! also where a rank was killed on the way, or where ranks are on two hosts; and what they say where they differ.
//!
//! It takes the launchers that there are, and says which are missing; a CI that has to have them sets TUNEBENCH_NEEDS_MPI=1.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tunebench_kernels::SimdLevel;

use crate::cluster;
use crate::launchers::{ended, launch, launchers};
use crate::remains::{assert_alike, remains};
use crate::study::Study;

/// So many ranks, each with these variables.
type Several<'a> = (usize, &'a [(&'a str, &'a str)]);

const RUN: [&str; 4] = ["study", "study.toml", "--out", "out"];

/// Far longer than any of it takes on one busy core.
const PATIENCE: Duration = Duration::from_secs(300);

/// The small study, its steps cut into four lanes, with packing and dropout beside what it has.
fn study() -> Study {
    let study = Study::new();
    study.edit("study.toml", "batch_size = 4\n", "batch_size = 4\nmicro_batch_tokens = 16\nlanes = 4\n");
    let text = std::fs::read_to_string(study.path("study.toml")).unwrap();
    let arm = "[[arm]]\nname = \"packed\"\nbase = \"tiny\"\ntuner = \"lora-all-linear\"\ndataset = \"few\"\n\
               options = { lora_dropout = 0.1 }\nrecipe = { packing = true, max_length = 32 }\n[eval]";
    study.write("study.toml", &text.replace("[eval]", arm));
    study
}

/// That study, and what one process leaves of it.
fn study_and_remains(more: &[&str]) -> (Study, BTreeMap<PathBuf, String>) {
    let study = study();
    study.run(&[&["study", "study.toml", "--out", "alone", "--jobs", "1"], more].concat());
    let left = remains(&study.path("alone"));
    (study, left)
}

/// Ranks of a study, so many each with its environment.
fn start(study: &Study, launcher: &Path, ranks: &[Several<'_>], arguments: &[&str]) -> (bool, String) {
    let own = study.command(arguments);
    let mut words: Vec<OsString> = Vec::new();
    for (count, environment) in ranks {
        if !words.is_empty() {
            words.push(":".into());
        }
        words.extend(["-n".into(), count.to_string().into(), "env".into()]);
        words.extend(environment.iter().map(|(name, value)| format!("{name}={value}").into()));
        words.push(own.get_program().to_owned());
        words.extend(own.get_args().map(ToOwned::to_owned));
    }
    let mut command = launch(launcher, words);
    command.current_dir(study.path(""));
    command.envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let (ok, text, _) = ended(command, PATIENCE);
    assert!(!text.contains("panicked"), "{text}");
    (ok, text)
}

#[test]
fn any_number_of_ranks_leaves_what_one_process_leaves() {
    let (study, expected) = study_and_remains(&[]);
    for launcher in launchers() {
        for ranks in 2..=4 {
            let what = format!("{}, {ranks} ranks", launcher.display());
            let (ok, said) = start(&study, &launcher, &[(ranks, &[])], &RUN);
            assert!(ok, "{what}: {said}");
            assert_eq!(said.matches(&format!("{ranks} ranks train and answer together")).count(), 1, "{what}: {said}");
            assert_eq!(said.matches("  trained ").count(), 6, "{what}: the first one tells: {said}");
            assert_alike(&remains(&study.path("out")), &expected, &what);
            std::fs::remove_dir_all(study.path("out")).unwrap();
        }
    }
}

/// Its answers depend on the company in which they are made, so ranks share whole groups.
#[test]
fn ranks_of_the_reference_engine_leave_what_it_leaves_alone() {
    let engine = ["--engine", "reference"];
    let (study, expected) = study_and_remains(&engine);
    let run = [&RUN[..], &engine].concat();
    for launcher in launchers() {
        let (ok, said) = start(&study, &launcher, &[(3, &[])], &run);
        assert!(ok, "{}: {said}", launcher.display());
        assert_alike(&remains(&study.path("out")), &expected, &launcher.display().to_string());
        std::fs::remove_dir_all(study.path("out")).unwrap();
    }
}

#[test]
fn a_rank_that_is_killed_ends_all_and_others_go_on() {
    let (study, expected) = study_and_remains(&[]);
    for launcher in launchers() {
        // The first one writes all but what others answer.
        let kills: [&[Several<'_>]; 2] = [
            &[(1, &[("TUNEBENCH_KILL_AT_WRITE", "40:torn")]), (2, &[])],
            &[(2, &[]), (1, &[("TUNEBENCH_KILL_AT_WRITE", "3:torn")])],
        ];
        for (number, ranks) in kills.into_iter().enumerate() {
            let (ok, said) = start(&study, &launcher, ranks, &RUN);
            assert!(!ok, "{}, kill {number}: {said}", launcher.display());
        }
        let (ok, said) = start(&study, &launcher, &[(2, &[])], &RUN);
        assert!(ok, "{}: {said}", launcher.display());
        assert_alike(&remains(&study.path("out")), &expected, &format!("{}, after kills", launcher.display()));
        std::fs::remove_dir_all(study.path("out")).unwrap();
    }
}

#[test]
fn ranks_that_differ_or_can_do_nothing_together_say_so_once() {
    let study = study();
    std::fs::copy(study.path("study.toml"), study.path("other.toml")).unwrap();
    study.edit("other.toml", "epochs = 2", "epochs = 1");
    let Some(launcher) = launchers().into_iter().next() else { return };
    let refused = |ranks: &[Several<'_>], arguments: &[&str], expected: &str| {
        let (ok, said) = start(&study, &launcher, ranks, arguments);
        assert!(!ok && said.contains(expected), "{expected}: {said}");
        assert_eq!(said.matches("error: ").count(), 1, "{said}");
        assert!(!study.path("out/arms.parquet").exists());
    };
    // Whatever level is forced on all; a CPU may have no other.
    let chosen = SimdLevel::chosen().unwrap();
    if let Some(other) = SimdLevel::available().into_iter().find(|level| *level != chosen) {
        let forced: &[(&str, &str)] = &[("TUNEBENCH_CPU", other.name())];
        let expected = format!("rank 2 has another CPU level than rank 0: {}", other.name());
        refused(&[(2, &[]), (1, forced)], &RUN, &expected);
    }
    for part in [&["--join"][..], &["--dry-run"], &["--jobs", "2"]] {
        refused(&[(2, &[])], &[&RUN[..], part].concat(), "for one process, and");
    }
    refused(&[(2, &[])], &[&RUN[..], &["--only", "nobody"]].concat(), "no arm `nobody`");
    let narrow: &[(&str, &str)] = &[("TUNEBENCH_MEMORY_GIB", "0.001")];
    let (ok, said) = start(&study, &launcher, &[(1, &[]), (1, narrow)], &RUN);
    assert!(!ok && said.contains("rank 1: training takes"), "{said}");
    let (ok, nothing) = start(&study, &launcher, &[(3, &[])], &["study", "nothing.toml", "--out", "out"]);
    assert!(!ok && nothing.matches("nothing.toml").count() == 1, "{nothing}");
    // Each arm failed for that, and none hung.
    assert!(said.contains("failed: arm `full`") && said.contains("failed: arm `packed`"), "{said}");
    let (ok, said) = start(&study, &launcher, &[(2, &[])], &RUN);
    assert!(ok, "{said}");
}

/// Two ranks on each of two hosts.
const SCRIPT: &str = r#"
set -eu
cd "$(dirname "$STUDY")"
timeout 300 srun --mpi="$MPI" --nodes 2 --ntasks 4 --oversubscribe --overcommit "$PROGRAM" study study.toml --out "$(basename "$OUT")"
"#;

/// How Slurm starts the ranks of a launcher's MPI. Not MPICH's (pmi2): over UCX its `MPI_Finalize` was seen to wait for ever, when all
/// was done.
const BY_SLURM: [(&str, &str); 1] = [("mpirun.openmpi", "pmix")];

const NO_PMIX: &str =
    "Slurm's plugin for Open MPI's ranks opens libpmix.so; apt-get install --no-install-recommends libpmix-dev";

/// Whether the loader finds a library of this very name.
fn has_library(name: &str) -> bool {
    let known =
        std::process::Command::new("sh").args(["-c", "PATH=$PATH:/usr/sbin:/sbin ldconfig -p"]).output().unwrap();
    String::from_utf8_lossy(&known.stdout).lines().any(|line| line.split_whitespace().next() == Some(name))
}

#[test]
fn ranks_on_two_hosts_leave_what_one_process_leaves() {
    let (study, expected) = study_and_remains(&[]);
    for (name, mpi) in BY_SLURM {
        if !launchers().iter().any(|launcher| launcher.ends_with(name)) {
            continue;
        }
        if !has_library("libpmix.so") {
            assert!(std::env::var_os("TUNEBENCH_NEEDS_SLURM").is_none(), "{NO_PMIX}");
            eprintln!("skipped: {NO_PMIX}");
            continue;
        }
        let out = study.path(mpi);
        let Some(mut run) = cluster::command(&study, SCRIPT, &study.path("study.toml"), &out) else { return };
        run.env("MPI", mpi);
        let text = cluster::run(run);
        assert_eq!(text.matches("4 ranks train and answer together").count(), 1, "{text}");
        assert_alike(&remains(&out), &expected, &format!("four ranks on two hosts by {mpi}"));
    }
}
