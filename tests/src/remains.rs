//! All that a study left in its run folder, so that two runs can be compared to the byte: without what was measured.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use tunebench_results::{Frames, Record};
use tunebench_spec::progress::Progress;
use tunebench_spec::{ArmRecord, Generation, Judgement, LossLog, StepLog, hash};

/// What differs between two runs that do the same.
const MEASURED: [&str; 7] = [
    "computed_by",
    "seconds",
    "train_seconds",
    "predicted_seconds",
    "hours_per_epoch",
    "tokens_per_second",
    "peak_rss_bytes",
];

/// File by file.
pub fn remains(root: &Path) -> BTreeMap<PathBuf, String> {
    remains_of(root, |_| true)
}

/// Of these files alone.
pub fn remains_of(root: &Path, is_wanted: impl Fn(&Path) -> bool) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                // Who did what, and who may write.
                true if path.ends_with("work/claims") => {}
                false if !is_wanted(&path) => {}
                false if path.extension().is_some_and(|kind| kind == "lock") || path.ends_with("work/lock") => {}
                true => folders.push(path),
                false => drop(found.insert(name(path.strip_prefix(root).unwrap()), content(&path))),
            }
        }
    }
    found
}

/// TensorBoard's files have the time in their names.
fn name(path: &Path) -> PathBuf {
    match path.to_string_lossy().contains("tfevents") {
        true => path.with_file_name("tfevents"),
        false => path.to_owned(),
    }
}

fn content(path: &Path) -> String {
    let bytes = fs::read(path).unwrap();
    let parse = |json: &[u8]| without_measured(serde_json::from_slice(json).unwrap());
    let name = path.file_name().and_then(|name| name.to_str()).unwrap();
    match name {
        "arms.parquet" => rows::<ArmRecord>(path),
        "steps.parquet" => rows::<StepLog>(path),
        "losses.parquet" => rows::<LossLog>(path),
        "generations.parquet" => rows::<Generation>(path),
        "judgements.parquet" => rows::<Judgement>(path),
        // Says when, and what this run had left to do.
        "progress.json" => format!("{:?}", serde_json::from_slice::<Progress>(&bytes).unwrap().state),
        "begun.json" | "sessions.json" => String::new(),
        // Made of the logs and their times.
        _ if name.contains("tfevents") => String::new(),
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

/// Fails with the files that differ, rather than with all of them.
pub fn assert_alike(found: &BTreeMap<PathBuf, String>, expected: &BTreeMap<PathBuf, String>, when: &str) {
    let names: BTreeSet<&PathBuf> = found.keys().chain(expected.keys()).collect();
    for name in names {
        assert_eq!(found.get(name), expected.get(name), "{when}: {}", name.display());
    }
}
