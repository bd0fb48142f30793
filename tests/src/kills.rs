//! A small study killed at every one of its durable writes: run again, it ends with the bytes of one that was not.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::remains::{assert_alike, remains};
use crate::study::Study;
use crate::tiny;

/// An arm with two checkpoints, of which one is replaced, and one that starts from it.
const STUDY: &str = r#"
[study]
name = "killed"
seed = 3
[recipe]
epochs = 1
batch_size = 2
max_length = 64
learning_rate = 1e-2
warmup_steps = 0
checkpoint_steps = 1
MODEL
[[dataset]]
id = "few"
plugin = "belle"
source = "train.jsonl"
max_skipped_share = 0.1
examples = 6
[[dataset]]
id = "questions"
plugin = "belle"
source = ["questions.json", "rubrics.json"]
[[arm]]
name = "parent"
base = "tiny"
tuner = "ft"
dataset = "few"
[[arm]]
name = "child"
base = "parent"
tuner = "lora-attention"
dataset = "few"
recipe = { max_steps = 1 }
[eval]
items = "questions"
judge = "reference"
generation = { max_new_tokens = 2, batch_size = 2 }
"#;

/// A grid that is halved, each arm trained twice, and losses on rows that are held out, with the best state kept: what a
/// single training does not write.
const GRID: &str = r#"
[study]
name = "killed"
seed = 3
seeds = 2
[recipe]
max_steps = 4
batch_size = 2
max_length = 64
learning_rate = 1e-2
warmup_steps = 0
checkpoint_steps = 3
[selection]
share = 0.2
schedule = "halving"
reduction_factor = 2
least_steps = 0.5
MODEL
[[dataset]]
id = "few"
plugin = "belle"
source = "train.jsonl"
max_skipped_share = 0.1
[[dataset]]
id = "questions"
plugin = "belle"
source = ["questions.json", "rubrics.json"]
[[arm]]
name = "parent"
base = "tiny"
tuner = "lora-attention"
dataset = "few"
grid = { learning_rate = [1e-5, 1e-2] }
[[arm]]
name = "child"
base = "parent"
tuner = "ft"
dataset = "few"
recipe = { max_steps = 2, eval_steps = 1, load_best_model_at_end = true }
[eval]
items = "questions"
judge = "reference"
generation = { max_new_tokens = 2, batch_size = 2 }
"#;

/// Runs at once.
const TOGETHER: usize = 2;

/// Kills the study at every `stride`th of its durable writes, and expects of each that it ends as if it had not been; how
/// often that was.
fn kill(study: &str, stride: usize) -> usize {
    let text = study.replace("MODEL", &tiny::model(1));
    let study = Study::new();
    study.write("study.toml", &text);
    let run = |out: &str| ["study", "study.toml", "--out", out].map(str::to_owned);
    study.run(&run("whole").each_ref().map(String::as_str));
    let expected = remains(&study.path("whole"));
    assert!(expected.len() > 15, "{expected:?}");

    // One kill after the other, until the study ends before it comes to it.
    let next = AtomicUsize::new(0);
    let kill_and_go_on = || loop {
        let kill = next.fetch_add(1, Ordering::SeqCst) * stride;
        let kill = format!("{}:{}", kill / 2 + 1, ["torn", "after"][kill % 2]);
        let out = kill.replace(':', "-");
        let arguments = run(&out);
        let arguments = arguments.each_ref().map(String::as_str);
        let killed = study.command(&arguments).env("TUNEBENCH_KILL_AT_WRITE", &kill).output().unwrap();
        if killed.status.success() {
            break;
        }
        assert!(killed.status.code().is_none() || cfg!(not(unix)), "{kill}: {killed:?}");
        study.run(&arguments);
        assert_alike(&remains(&study.path(&out)), &expected, &format!("killed at {kill}"));
    };
    std::thread::scope(|scope| {
        (0..TOGETHER).for_each(|_| drop(scope.spawn(kill_and_go_on)));
    });
    next.into_inner() - TOGETHER
}

#[test]
fn a_study_killed_at_any_write_ends_as_if_it_had_not_been() {
    let kills = kill(STUDY, 1);
    assert!(kills > 80, "the study was killed {kills} times only");
}

/// At every kind of write, if not at each: a stride without a common factor with how often anything is written.
#[test]
fn a_study_with_a_grid_and_seeds_killed_at_its_writes_ends_as_if_it_had_not_been() {
    let kills = kill(GRID, 13);
    assert!(kills > 25, "the study was killed {kills} times only");
}
