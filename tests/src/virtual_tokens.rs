//! Prompt tuning, P-tuning and prefix tuning by plugin files: PEFT's numbers, training on both engines, and studies.

use std::ops::ControlFlow;

use candle_core::Device;
use serde_json::{Value, json};
use tunebench_dataset::Tokenized;
use tunebench_host::{Options, Registry};
use tunebench_model::backend::{FAST, REFERENCE};
use tunebench_model::{Batch, DropoutKey, ReferenceModel, Tuning};
use tunebench_spec::plan::RecordedPlan;
use tunebench_spec::{Decoder, Recipe};
use tunebench_testkit::compare::{bits, error};
use tunebench_testkit::golden::{self, Rows, section};
use tunebench_testkit::kink;
use tunebench_train::{Job, Outcome, Progress, load_result, steps, train};

use crate::study::Study;
use crate::support;

/// Plugin, its options, name of the fixture, number of gradients.
fn methods() -> [(&'static str, Value, &'static str, usize); 4] {
    let mlp = json!({ "num_virtual_tokens": 4, "encoder_hidden_size": 20 });
    let mut projected = mlp.clone();
    projected["prefix_projection"] = true.into();
    [
        ("prompt-tuning", json!({ "num_virtual_tokens": 4 }), "prompt_tuning", 1),
        ("p-tuning", mlp, "p_tuning", 7),
        ("prefix-tuning", json!({ "num_virtual_tokens": 4 }), "prefix_tuning", 1),
        ("prefix-tuning", projected, "prefix_tuning_mlp", 5),
    ]
}

fn record(plugin: &str, options: Value, shape: &Decoder) -> RecordedPlan {
    let mut registry = Registry::default();
    registry.add(&support::third_party(plugin)).unwrap();
    let options: Options = serde_json::from_value(options).unwrap();
    registry.tuner(plugin, &options).unwrap().record(shape).unwrap()
}

/// PEFT's rows are padded on the right, where positions are the same as without padding.
#[test]
fn every_plugin_computes_what_peft_computes() {
    let (shape, weights) = golden::model("tiny");
    let rows = Rows::tiny();
    let (batch, targets) = rows.batch();
    let numbers = golden::json("tiny/virtual_tokens.json");
    let fixture = "tiny/virtual_tokens.safetensors";
    for (plugin, options, method, count) in methods() {
        let recorded = record(plugin, options, &shape);
        let additional = recorded.plan.additional_params();
        assert_eq!(numbers["methods"][method]["trainable"].as_u64(), Some(additional), "{method}");
        let tuning = Tuning::new(&shape, recorded, section(fixture, &format!("{method}.param."))).unwrap();
        // A hundred times what f32 is off by.
        assert!(kink::keeps_margin(1e-4, &shape, &weights, &tuning, &rows), "{method}");
        let model = ReferenceModel::new(&shape, &weights, &tuning, &Device::Cpu).unwrap();
        let draw = DropoutKey::new(0, 0, (0..batch.rows() as u64).collect());
        let (loss, gradients) = model.loss_and_gradients(&batch, &targets, &draw).unwrap();

        let labels = targets.len() as f64;
        let expected = numbers["methods"][method]["loss"].as_f64().unwrap();
        assert!((loss / labels - expected).abs() < 1e-5, "{method}: loss {} for {expected}", loss / labels);
        assert_eq!(model.loss(&batch, &targets).unwrap(), loss, "{method}: nothing is dropped");
        let expected = section(fixture, &format!("{method}.grad."));
        assert_eq!((expected.len(), gradients.len()), (count, count), "{method}");
        for (name, expected) in expected {
            let off = error(&(&gradients[&name] / labels).unwrap(), &expected);
            assert!(off < 2e-5, "{method}: gradient of {name} is off by {off}");
        }
    }
}

#[test]
fn they_learn_on_both_engines_and_a_stopped_training_goes_on() {
    let (shape, weights) = golden::model("tiny");
    let example =
        |i: u32| Tokenized { tokens: (0..8).map(|j| (i * 7 + j * 5) % 96).collect(), is_label: vec![true; 8] };
    let examples: Vec<Tokenized> = (0..12).map(example).collect();
    let recipe = Recipe { learning_rate: 1e-2, epochs: 4.0, batch_size: 4, micro_batch_tokens: 24, ..Recipe::base() };
    for (plugin, options, method, _) in methods() {
        let recorded = record(plugin, options, &shape);
        let start = Tuning::init(&shape, &weights, recorded.clone(), 1).unwrap();
        for (backend, recompute) in [(REFERENCE, false), (FAST, false), (FAST, true)] {
            let recipe = Recipe { gradient_checkpointing: recompute, ..recipe.clone() };
            let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
            let run = |folder: &tempfile::TempDir, until: u64| {
                let job = Job {
                    arm: method,
                    candidate: "",
                    shape: &shape,
                    weights: weights.clone(),
                    tuning: start.clone(),
                    examples: &examples,
                    held_out: &[],
                    recipe: &recipe,
                    seed: 1,
                    backend,
                    dir: folder.path(),
                    until: None,
                };
                let mut more = |progress: Progress<'_>| match progress {
                    Progress::Step(step) if step.step >= until => ControlFlow::Break(()),
                    Progress::Step(_) | Progress::Loss(_) | Progress::Receipt(_) => ControlFlow::Continue(()),
                };
                train(job, &mut more).unwrap()
            };
            let what = format!("{method}, {backend:?}");
            assert_eq!(run(&folders[0], 99), Outcome::Finished, "{what}");
            assert_eq!((run(&folders[1], 5), run(&folders[1], 99)), (Outcome::Stopped, Outcome::Finished), "{what}");

            let [end, resumed] = [0, 1].map(|i| load_result(folders[i].path(), &shape).unwrap());
            assert_eq!(end.recorded(), &recorded, "{what}: the graphs are saved with the values");
            assert_eq!(end.values().len(), start.values().len());
            for (name, value) in end.values() {
                assert_ne!(bits(value), bits(&start.values()[name]), "{what}: {name}");
                assert_eq!(bits(value), bits(&resumed.values()[name]), "{what}: {name} after it was stopped");
            }
            let log = steps(folders[0].path()).unwrap();
            assert!(log.iter().all(|step| step.tokens == 4 * 8), "{what}: virtual tokens are not counted");
            let rows: Vec<&[u32]> = examples.iter().map(|e| e.tokens.as_slice()).collect();
            let batch = Batch::right_padded(&rows).unwrap();
            let targets = tunebench_model::Targets::new(&batch, &vec![vec![true; 8]; 12]).unwrap();
            let loss = |tuning: &Tuning| {
                let model = ReferenceModel::new(&shape, &weights, tuning, &Device::Cpu).unwrap();
                model.loss(&batch, &targets).unwrap() / targets.len() as f64
            };
            let (before, after) = (loss(&start), loss(&end));
            assert!(after < before, "{what}: loss {before} before, {after} after");
        }
    }
}

#[test]
fn options_out_of_range_are_refused() {
    for (plugin, options, want) in [
        ("prompt-tuning", json!({ "num_virtual_tokens": 0 }), "num_virtual_tokens must"),
        ("prompt-tuning", json!({ "init_std": -1 }), "init_std"),
        ("p-tuning", json!({ "encoder_hidden_size": 0 }), "encoder_hidden_size"),
        ("p-tuning", json!({ "encoder_hiden_size": 8 }), "encoder_hiden_size"),
        ("prefix-tuning", json!({ "num_virtual_tokens": 0 }), "num_virtual_tokens and"),
        ("prefix-tuning", json!({ "prefix_projection": "yes" }), "expected a boolean"),
        ("prefix-tuning", json!({ "num_virtual_tokens": 63 }), "63 virtual tokens; this model can have from 1 to 62"),
    ] {
        let mut registry = Registry::default();
        registry.add(&support::third_party(plugin)).unwrap();
        let options: Options = serde_json::from_value(options).unwrap();
        let tuner = registry.tuner(plugin, &options);
        let error = tuner.and_then(|mut tuner| tuner.record(&golden::model("tiny").0)).err().unwrap().to_string();
        assert!(error.contains(want) && error.contains(plugin), "{error}");
    }
}

/// A study of an arm behind virtual tokens: it is trained and asked; nothing starts from it.
#[test]
fn a_study_trains_and_asks_them_and_folds_none() {
    for plugin in ["prompt-tuning", "prefix-tuning"] {
        let study = Study::new();
        study.run(&["plugins", "add", support::third_party(plugin).to_str().unwrap()]);
        let arm = format!("tuner = \"{plugin}\"\noptions = {{ num_virtual_tokens = 5 }}");
        study.edit("study.toml", "tuner = \"dora\"", &arm);
        study.run(&["study", "study.toml", "--out", "out", "--only", "stranger"]);
        let found = study.query("SELECT additional_params, tokens, steps FROM arms WHERE arm = 'stranger'");
        let width = if plugin == "prompt-tuning" { 16 } else { 2 * 2 * 8 };
        assert_eq!(found["rows"][0]["additional_params"], 5 * width, "{found}");
        let answers = study.query("SELECT finish FROM generations WHERE arm = 'stranger'").to_string();
        assert!(answers.contains("length") || answers.contains("stop"), "{answers}");

        let error = study.fails(&["export", "merged", "out", "stranger", "merged"]);
        assert!(error.contains("virtual_tokens") && error.contains("cannot be folded"), "{error}");
        // The study's model has fresh weights, which are nowhere else: they come with the adapter.
        let said = study.run(&["export", "adapter", "out", "stranger", "adapter"]);
        assert!(said.contains(&plugin.replace('-', " ")) && said.contains("adapter/base, written beside it"), "{said}");
        assert!(study.path("adapter/base/model.safetensors").is_file());
        study.edit("study.toml", "base = \"all\"", "base = \"stranger\"");
        let error = study.fails(&["plan", "study.toml"]);
        assert!(error.contains("`stranger`") && error.contains("cannot be folded"), "{error}");
        study.edit("study.toml", "base = \"stranger\"", "base = \"all\"");
        study.edit("study.toml", "max_length = 64", "max_length = 92");
        let error = study.fails(&["plan", "study.toml"]);
        assert!(error.contains("5 virtual tokens leave 91; lower it to 91"), "{error}");
    }
}
