//! Several processes on one run: workers that are killed, stopped, late, or given something else; and what they leave is what one
//! process leaves.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tunebench_files::Lock;

use crate::remains::{assert_alike, remains};
use crate::study::Study;

/// The small study with each arm trained so often.
fn study(seeds: u32) -> Study {
    let study = Study::new();
    study.edit("study.toml", "seed = 3\n", &format!("seed = 3\nseeds = {seeds}\n"));
    study
}

const WORKER: [&str; 5] = ["study", "study.toml", "--out", "out", "--worker"];

fn start(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// How it ended, and what it said.
fn ended(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!text.contains("panicked"), "{text}");
    (output.status.code(), text)
}

#[test]
fn eight_workers_of_which_three_are_killed_leave_what_one_process_leaves() {
    let study = study(3);
    study.run(&["study", "study.toml", "--out", "alone", "--jobs", "1"]);
    let expected = remains(&study.path("alone"));

    let workers: Vec<Child> = (0..8)
        .map(|number| {
            let mut command = study.command(&WORKER);
            if let Some(write) = [(1, 9), (4, 23), (6, 41)].iter().find(|(killed, _)| *killed == number) {
                command.env("TUNEBENCH_KILL_AT_WRITE", format!("{}:torn", write.1));
            }
            start(&mut command)
        })
        .collect();
    let (mut trained, mut killed) = (0, 0);
    for worker in workers {
        let (code, text) = ended(worker);
        trained += text.lines().filter(|line| line.starts_with("  trained ")).count();
        killed += usize::from(code.is_none());
        assert!(matches!(code, Some(0) | None), "{code:?}: {text}");
    }
    assert!((1..=3).contains(&killed), "{killed} of three were killed before they ended");
    assert_alike(&remains(&study.path("out")), &expected, "eight workers");
    // Five arms, each three times. One that is killed may have trained to the end without having said so.
    assert!((15 - killed..=15).contains(&trained), "{trained} trainings were made to their end");
}

#[test]
fn workers_of_one_process_leave_what_it_leaves_alone() {
    let study = study(2);
    study.run(&["study", "study.toml", "--out", "alone", "--jobs", "1"]);
    let said = study.run(&["study", "study.toml", "--out", "out", "--jobs", "3"]);
    assert!(said.contains("3 workers side by side"), "{said}");
    assert_alike(&remains(&study.path("out")), &remains(&study.path("alone")), "three workers");
}

#[test]
fn one_model_at_a_time_without_judging_and_joined_at_the_end() {
    let study = study(1);
    study.run(&["study", "study.toml", "--out", "alone", "--jobs", "1"]);
    let mut join = vec!["study", "study.toml", "--out", "out", "--join"];
    let told = study.fails(&join);
    assert!(told.contains("its training is not done yet; workers"), "{told}");
    // Five arms and a base model; the last one finds nothing to do.
    for number in 0..7 {
        let said = study.run(&[&WORKER[..], &["--models", "1", "--leave-judging"]].concat());
        let worked = said.lines().filter(|line| line.starts_with("  trained ")).count();
        assert!(worked <= 1, "{number}: {said}");
        assert!(!said.contains("judged"), "{said}");
    }
    let said = study.run(&join);
    assert!(said.contains("reference: 4 answers judged"), "{said}");
    assert_alike(&remains(&study.path("out")), &remains(&study.path("alone")), "one by one");
    join.extend(["--only", "full"]);
    study.run(&join);
}

#[test]
fn what_failed_is_passed_over_by_others_and_tried_again_by_a_run() {
    let study = study(1);
    let chained = "name = \"all, then sums\"\nbase = \"all\"\n";
    study.edit("study.toml", chained, &format!("{chained}recipe = {{ learning_rate = 1e30 }}\n"));
    let first = study.fails(&WORKER);
    assert!(first.contains("failed: arm `all, then sums`"), "{first}");
    let second = study.fails(&WORKER);
    assert!(second.contains("run `study` without --worker to try it again"), "{second}");
    assert!(!second.contains("  trained "), "{second}");
    let again = study.fails(&["study", "study.toml", "--out", "out"]);
    assert!(!again.contains("to try it again"), "{again}");
}

#[test]
fn a_worker_takes_the_study_that_is_there_or_none() {
    let study = study(1);
    study.run(&["study", "study.toml", "--out", "out", "--only", "full"]);
    study.edit("study.toml", "epochs = 2", "epochs = 1");
    let told = study.fails(&WORKER);
    assert!(told.contains("it holds another version of this study"), "{told}");
    // A run of its own may change it, but not while workers are at the earlier one.
    let at_work = Lock::share(&study.path("out/work/workers.lock")).unwrap();
    let told = study.fails(&["study", "study.toml", "--out", "out", "--only", "full"]);
    assert!(told.contains("another run is writing to it"), "{told}");
    drop(at_work);
    study.run(&["study", "study.toml", "--out", "out", "--only", "full"]);
    let joined = || std::fs::read_to_string(study.path("out/work/joined.json")).unwrap();
    let before = joined();
    study.run(&WORKER);
    assert_ne!(joined(), before, "the others are joined, too");
}

#[test]
fn a_run_with_workers_that_is_told_to_end_ends_them_and_goes_on_another_time() {
    let study = study(9);
    let run = start(&mut study.command(&["study", "study.toml", "--out", "out", "--jobs", "2"]));
    let begin = Instant::now();
    while !std::fs::read_dir(study.path("out/work/claims")).is_ok_and(|claims| claims.count() > 2) {
        assert!(begin.elapsed() < Duration::from_secs(60), "no worker began");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(Command::new("kill").args(["-TERM", &run.id().to_string()]).status().unwrap().success());
    let (code, said) = ended(run);
    assert!(code == Some(143) && said.contains("stopped; what was computed is kept"), "{code:?}: {said}");
    let progress = std::fs::read_to_string(study.path("out/work/progress.json")).unwrap();
    assert!(progress.contains(r#""state": "interrupted""#), "{progress}");
    Lock::acquire(&study.path("out/work/workers.lock")).unwrap();
    study.run(&["study", "study.toml", "--out", "out", "--only", "full"]);
}

#[test]
fn workers_end_with_the_process_that_started_them() {
    let study = study(9);
    let mut run = start(&mut study.command(&["study", "study.toml", "--out", "out", "--jobs", "2"]));
    let lock = study.path("out/work/workers.lock");
    let begin = Instant::now();
    // Until workers are at work.
    while !std::fs::read_dir(study.path("out/work/claims")).is_ok_and(|claims| claims.count() > 2) {
        assert!(begin.elapsed() < Duration::from_secs(60), "no worker began");
        std::thread::sleep(Duration::from_millis(10));
    }
    run.kill().unwrap();
    run.wait().unwrap();
    let begin = Instant::now();
    while Lock::acquire(&lock).is_err() {
        assert!(begin.elapsed() < Duration::from_secs(30), "a worker goes on alone");
    }
    study.run(&["study", "study.toml", "--out", "out", "--only", "full"]);
}

#[test]
fn workers_of_a_launcher_need_nothing_of_it_and_ranks_its_library() {
    let study = study(1);
    let ranked = |arguments: &[&str]| {
        let mut command = study.command(arguments);
        command.env("OMPI_COMM_WORLD_RANK", "0").env("OMPI_COMM_WORLD_SIZE", "2").env("TUNEBENCH_MPI", "libno_such.so");
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = ranked(&["study", "study.toml", "--out", "out"]);
    assert!(code == Some(1) && said.contains("no MPI library can be opened"), "{code:?}: {said}");
    assert!(!study.path("out").exists());
    let (code, said) = ranked(&WORKER);
    assert_eq!(code, Some(0), "{said}");
}
