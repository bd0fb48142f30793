//! Plugins built with the contract as it was released first, and with a later version than this one, in this host.

use std::fs;

use serde_json::json;
use tunebench_spec::plan::RecordedPlan;
use tunebench_spec::{JudgeStep, Row};

use crate::plugins::{options, record, refused, registry, tiny};
use crate::support;

/// A plugin built last year, with the sources of 1.0.0, and one of a later version that uses nothing this host lacks.
#[test]
fn older_and_newer_plugins_work_in_this_host() {
    let packages = ["frozen-tuner", "frozen-dataset", "frozen-judge", "newer-judge"];
    let registry = registry(packages.map(support::third_party));
    let api = |kind, name| registry.find(kind, name).unwrap().manifest.api.clone();
    assert_eq!(api("tuner", "frozen-lora"), "1.0.0");
    assert!(api("judge", "newer-length").starts_with("1.9"));

    let old = registry.tuner("frozen-lora", &options(json!({}))).unwrap().record(&tiny()).unwrap();
    let now = record("lora-attention", json!({ "lora_dropout": 0.0 }), &tiny());
    let merges = |recorded: &RecordedPlan| -> Vec<_> { recorded.graphs.iter().map(|g| g.merge.clone()).collect() };
    assert_eq!((&old.plan.weights, merges(&old)), (&now.plan.weights, merges(&now)));

    let folder = tempfile::tempdir().unwrap();
    let rows = folder.path().join("rows.jsonl");
    fs::write(&rows, "{\"q\": \"1+1?\", \"a\": \"2\"}\n{}\n{\"q\": \"2+2?\", \"a\": \"4\"}\n").unwrap();
    let mut dataset = registry.dataset("frozen-questions", &[rows], &options(json!({}))).unwrap();
    let mut found = Vec::new();
    while let Some((position, row)) = dataset.next().unwrap() {
        found.push((position, row));
    }
    let Row::Example(last) = found[2].1.clone() else { panic!("{:?}", found[2]) };
    assert!(found.len() == 3 && matches!(found[1].1, Row::Skip { .. }) && last.question() == "2+2?", "{found:?}");
    dataset.seek(&found[2].0).unwrap();
    assert_eq!(dataset.next().unwrap(), Some(found[2].clone()));
    for (judge, answer, want) in
        [("frozen-contains", "it is 4", 1.0), ("frozen-contains", "5", 0.0), ("newer-length", "5", 0.0)]
    {
        let step = registry.judge(judge, &options(json!({}))).unwrap().step(&last, answer, &[]).unwrap();
        assert!(matches!(step, JudgeStep::Score { score, .. } if score == want), "{judge}: {step:?}");
    }
}

#[test]
fn a_newer_plugin_that_needs_more_is_refused_when_it_is_loaded() {
    refused(&support::third_party("newer-needs"), "operations", "`matmul` in version 2, which this host lacks; update");
}
