//! The benchmark program: what it prints can be read, and it trains on the tokens it is given in their order.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tunebench_kernels::SimdLevel;

use crate::support;

/// What the program prints: one line of JSON.
fn run(words: &str, paths: &[(&str, &Path)]) -> Value {
    let lines = run_lines(words, paths);
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines[0].clone()
}

/// The same of what prints a line a thing.
fn run_lines(words: &str, paths: &[(&str, &Path)]) -> Vec<Value> {
    let mut command = Command::new(support::program("tunebench-bench"));
    command.args(words.split(' '));
    for (option, path) in paths {
        command.arg(option).arg(path);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What `cargo xtask bench` says in refusing its options, before it builds anything.
fn refusal(options: &[&str]) -> String {
    let mut command = Command::new(support::program("xtask"));
    let output = command.arg("bench").args(options).output().unwrap();
    assert!(!output.status.success() && output.stdout.is_empty(), "{options:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn losses(line: &Value) -> Vec<f64> {
    line["losses"].as_array().unwrap().iter().map(|loss| loss.as_f64().unwrap()).collect()
}

#[test]
fn training_prints_speed_memory_and_every_loss() {
    let model = support::repository("tests/golden/tiny");
    let words = "train --batch 2 --seq 8 --steps 2 --warmup 1 --tuner";
    for tuner in ["ft", "lora-attention", "lora-all-linear"] {
        let line = run(&format!("{words} {tuner}"), &[("--model", &model)]);
        assert_eq!(line["tuner"], tuner);
        assert!(line["tokens_per_s"].as_f64().unwrap() > 0.0 && line["step_s"].as_f64().unwrap() > 0.0, "{line}");
        assert!(line["peak_rss_mib"].is_f64(), "{line}");
        assert_eq!(losses(&line).len(), 3);
    }
}

#[test]
fn both_sides_can_start_from_the_same_tokens_and_adapters() {
    let model = support::repository("tests/golden/tiny");
    let folder = tempfile::tempdir().unwrap();
    let shared = run("shared --tokens 48", &[("--model", &model), ("--out", folder.path())]);
    let words = "train --batch 2 --seq 8 --steps 2 --warmup 1 --tuner lora-attention";
    let data = folder.path().join("tokens.u32");
    assert_eq!(shared["data"], data.to_str().unwrap());
    let given = run(words, &[("--model", &model), ("--data", &data)]);
    let drawn = run(words, &[("--model", &model)]);
    assert_eq!(losses(&given), losses(&drawn));
    for tuner in ["lora-attention", "lora-all-linear"] {
        let adapter = Path::new(shared["adapters"][tuner].as_str().unwrap());
        assert!(adapter.join("adapter_config.json").is_file() && adapter.join("adapter_model.safetensors").is_file());
    }
}

#[test]
fn generation_prints_its_speed() {
    let model = support::repository("tests/golden/tiny");
    let line = run("generate --batch 3 --prompt 4 --new 5 --repeats 1", &[("--model", &model)]);
    assert!(line["new_tokens_per_s"].as_f64().unwrap() > 0.0, "{line}");
}

#[test]
fn adapters_are_timed_together_and_one_after_another() {
    let model = support::repository("tests/golden/tiny");
    let words = "generate --batch 3 --prompt 4 --new 5 --repeats 1 --adapters 2 --tuner lora-attention";
    let line = run(words, &[("--model", &model)]);
    for key in ["seconds", "one_by_one_seconds", "new_tokens_per_s"] {
        assert!(line[key].as_f64() > Some(0.0), "{line}");
    }
    assert_eq!((&line["adapters"], &line["tuner"]), (&2.into(), &"lora-attention".into()));
}

#[test]
fn generation_reads_a_gguf_file() {
    let file = support::repository("tests/golden/gguf/mixed.gguf");
    let line = run("generate --batch 3 --prompt 4 --new 5 --repeats 1", &[("--model", &file)]);
    assert!(line["new_tokens_per_s"].as_f64().unwrap() > 0.0, "{line}");
    assert_eq!(line["weight_bytes"], file.metadata().unwrap().len());
}

#[test]
fn what_the_machine_can_do_is_said_of_memory_and_of_every_level() {
    let lines = run_lines("floors --repeats 1", &[]);
    let number = |line: &Value, key: &str| line[key].as_f64().filter(|number| *number > 0.0);
    assert!(lines[0]["floor"] == "memory" && number(&lines[0], "bytes_per_s").is_some(), "{}", lines[0]);
    assert_eq!(lines[0]["level"], SimdLevel::chosen().unwrap().name());
    let wanted = SimdLevel::available().flat_map(|level| ["f32", "bf16"].map(|kind| (level.name(), kind)));
    let wanted: Vec<_> = wanted.collect();
    assert_eq!(lines.len(), 1 + wanted.len());
    for ((level, kind), line) in wanted.into_iter().zip(&lines[1..]) {
        assert!(line["level"] == level && line["kind"] == kind && number(line, "flop_per_s").is_some(), "{line}");
    }
}

#[test]
fn the_other_side_is_asked_for_when_it_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().to_str().unwrap();
    let how = "cmake --build build --target llama-batched-bench";
    for (options, wants) in [
        (&["--against", "llamacpp"][..], ["where is llama-batched-bench? Give --llamacpp DIR", how]),
        (&["--against", "llamacpp", "--llamacpp", empty], ["there is no llama-batched-bench", how]),
        (&["--against", "peft"], ["required arguments were not provided", "--python <PATH>"]),
    ] {
        let said = refusal(options);
        assert!(wants.iter().all(|want| said.contains(want)), "{options:?}: {said}");
    }
}

#[test]
fn the_boundary_to_plugins_is_measured_on_a_thread_and_in_a_process() {
    let lines = run_lines("boundary --repeats 1", &[]);
    assert!(lines.len() > 6 && lines.iter().all(|line| line["thread"].as_f64().unwrap() > 0.0), "{lines:?}");
    assert!(lines.iter().filter(|line| line["process"].is_f64()).count() > 4, "{lines:?}");
}
