//! A small study killed at every one of its durable writes: run again, it ends with the bytes of one that was not.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Serialize;
use serde_json::Value;
use tunebench_results::{Frames, Record};
use tunebench_spec::{ArmRecord, Generation, Judgement, StepLog, hash};

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

/// What differs between two runs that do the same.
const MEASURED: [&str; 5] = ["seconds", "train_seconds", "hours_per_epoch", "tokens_per_second", "peak_rss_bytes"];

/// Runs at once.
const TOGETHER: usize = 2;

/// All that a study left in its run folder, file by file, without what was measured.
fn left(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true => folders.push(path),
                false => drop(found.insert(path.strip_prefix(root).unwrap().to_owned(), content(&path))),
            }
        }
    }
    found
}

fn content(path: &Path) -> String {
    let bytes = fs::read(path).unwrap();
    let parse = |json: &[u8]| without_measured(serde_json::from_slice(json).unwrap());
    let name = path.file_name().and_then(|name| name.to_str()).unwrap();
    match name {
        "arms.parquet" => rows::<ArmRecord>(path),
        "steps.parquet" => rows::<StepLog>(path),
        "generations.parquet" => rows::<Generation>(path),
        "judgements.parquet" => rows::<Judgement>(path),
        // Answers stand in the order in which they ended, which depends on what was asked together.
        _ if name.ends_with(".jsonl") => {
            let mut lines: Vec<String> = bytes.split_inclusive(|b| *b == b'\n').map(parse).collect();
            lines.sort();
            lines.join("\n")
        }
        _ if name.ends_with(".json") => parse(&bytes),
        _ => hash::of_bytes(&bytes),
    }
}

fn rows<R: Record + Serialize>(frame: &Path) -> String {
    let rows: Vec<R> = Frames::open(frame.parent().unwrap()).unwrap().read().unwrap();
    without_measured(serde_json::to_value(rows).unwrap())
}

fn without_measured(mut value: Value) -> String {
    forget_measured(&mut value);
    value.to_string()
}

fn forget_measured(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !MEASURED.contains(&name.as_str()));
            fields.values_mut().for_each(forget_measured);
        }
        Value::Array(values) => values.iter_mut().for_each(forget_measured),
        _ => {}
    }
}

#[test]
fn a_study_killed_at_any_write_ends_as_if_it_had_not_been() {
    let study = Study::new();
    study.write("study.toml", &STUDY.replace("MODEL", &tiny::model(1)));
    let run = |out: &str| ["study", "study.toml", "--out", out].map(str::to_owned);
    study.run(&run("whole").each_ref().map(String::as_str));
    let expected = left(&study.path("whole"));
    assert!(expected.len() > 15, "{expected:?}");

    // One kill after the other, until the study ends before it comes to it.
    let next = AtomicUsize::new(0);
    let kill_and_go_on = || loop {
        let kill = next.fetch_add(1, Ordering::SeqCst);
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
        assert_eq!(left(&study.path(&out)), expected, "killed at {kill}");
    };
    std::thread::scope(|scope| {
        (0..TOGETHER).for_each(|_| drop(scope.spawn(kill_and_go_on)));
    });
    let kills = next.into_inner() - TOGETHER;
    assert!(kills > 80, "the study was killed {kills} times only");
}
