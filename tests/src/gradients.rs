//! The graphs that plugin files record, run by the model and compared with PEFT (Houlsby's adapters with plain PyTorch):
//! losses, every gradient, merged weights.

use std::ops::ControlFlow;

use candle_core::{Device, Tensor};
use serde_json::{Value, json};
use tunebench_dataset::Tokenized;
use tunebench_host::{Options, Registry};
use tunebench_model::backend::REFERENCE;
use tunebench_model::{DropoutKey, ReferenceModel, Tuning};
use tunebench_spec::{Recipe, WeightPlan};
use tunebench_testkit::compare::{bits, error};
use tunebench_testkit::golden::{self, Rows, optional_section, section};
use tunebench_testkit::kink;
use tunebench_train::{Job, load_result, train};

use crate::support;

/// Plugin file, tuner and its options, name of the fixture, number of gradients.
pub fn methods() -> Vec<(std::path::PathBuf, &'static str, Value, &'static str, usize)> {
    let lora = json!({ "r": 4, "lora_alpha": 8.0, "lora_dropout": 0.0 });
    let houlsby = |f: &str| json!({ "bottleneck_size": 4, "activation": f });
    vec![
        (support::plugin("tuner-ft"), "ft", json!({}), "ft", 21),
        (support::plugin("tuner-lora-attention"), "lora-attention", lora.clone(), "lora_attention", 2 * 4 * 2),
        (support::plugin("tuner-lora-all-linear"), "lora-all-linear", lora.clone(), "lora_all_linear", 2 * 7 * 2),
        (support::third_party("dora"), "dora", lora.clone(), "dora", 2 * 7 * 3),
        (support::third_party("rslora"), "rslora", lora.clone(), "rslora", 2 * 7 * 2),
        // Its graph is LoRA's; how it learns is in `third_party_tuners`.
        (support::third_party("lora-plus"), "lora-plus", lora, "lora_all_linear", 2 * 7 * 2),
        (support::third_party("ia3"), "ia3", json!({}), "ia3", 2 * 3),
        // Two adapters a layer, and five norms.
        (support::third_party("houlsby"), "houlsby", houlsby("gelu"), "houlsby", 2 * 2 * 4 + 5),
        (support::third_party("houlsby"), "houlsby", houlsby("relu"), "houlsby_relu", 2 * 2 * 4 + 5),
    ]
}

#[test]
fn every_plugin_computes_what_peft_computes() {
    let (shape, weights) = golden::model("tiny");
    let reports = ["tiny/fixtures.json", "tiny/adapters.json"].map(golden::json);
    let rows = Rows::tiny();
    let (batch, targets) = rows.batch();
    for (file, tuner, options, method, count) in methods() {
        let mut registry = Registry::default();
        registry.add(&file).unwrap();
        let options: Options = serde_json::from_value(options).unwrap();
        let recorded = registry.tuner(tuner, &options).unwrap().record(&shape).unwrap();

        let fixture = format!("tiny/{method}.safetensors");
        let values = match optional_section(&fixture, &format!("{method}.param.")) {
            params if params.is_empty() => {
                Tuning::init(&shape, &weights, recorded.clone(), 0).unwrap().values().clone()
            }
            params => params,
        };
        let tuning = Tuning::new(&shape, recorded, values).unwrap();
        // As make_adapters.py says; a hundred times what f32 is off by.
        assert!(kink::keeps_margin(1e-4, &shape, &weights, &tuning, &rows), "{method}");
        let model = ReferenceModel::new(&shape, &weights, &tuning, &Device::Cpu).unwrap();
        let draw = DropoutKey::new(0, 0, (0..batch.rows() as u64).collect());
        let (loss, gradients) = model.loss_and_gradients(&batch, &targets, &draw).unwrap();

        let labels = targets.len() as f64;
        let expected = reports.iter().find_map(|report| report["methods"][method]["loss"].as_f64()).unwrap();
        assert!((loss / labels - expected).abs() < 1e-5, "{method}: loss {} for {expected}", loss / labels);
        let expected = section(&fixture, &format!("{method}.grad."));
        assert_eq!((expected.len(), gradients.len()), (count, count), "{method}");
        for (name, expected) in expected {
            let found = (&gradients[&name] / labels).unwrap();
            let off = error(&found, &expected);
            assert!(off < 2e-5, "{method}: gradient of {name} is off by {off}");
        }
        let merged = optional_section(&fixture, &format!("merged.{method}."));
        let has_merged = matches!(method, "lora_all_linear" | "dora" | "rslora" | "ia3");
        assert_eq!(merged.is_empty(), !has_merged, "{method}");
        if merged.is_empty() {
            continue;
        }
        let ours = tuning.merge(&shape, weights.clone()).unwrap();
        for (name, expected) in merged {
            let off = error(&ours.get(&name).unwrap(), &expected);
            assert!(off < 1e-6, "{method}: merged {name} is off by {off}");
        }
    }
}

#[test]
fn what_is_trained_moves_and_what_is_frozen_stays() {
    let (shape, base) = golden::model("tiny");
    let shape = &shape;
    let example =
        |i: u32| Tokenized { tokens: (0..8).map(|j| (i * 7 + j * 5) % 96).collect(), is_label: vec![true; 8] };
    let examples: Vec<Tokenized> = (0..12).map(example).collect();
    let recipe = Recipe { learning_rate: 1e-2, epochs: 1.0, batch_size: 4, ..Recipe::base() };
    for (file, tuner, options, method, _) in methods() {
        let mut registry = Registry::default();
        registry.add(&file).unwrap();
        let options: Options = serde_json::from_value(options).unwrap();
        let recorded = registry.tuner(tuner, &options).unwrap().record(shape).unwrap();
        let start = Tuning::init(shape, &base, recorded.clone(), 1).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let job = Job {
            arm: method,
            candidate: "",
            shape,
            weights: base.clone(),
            tuning: start.clone(),
            examples: &examples,
            held_out: &[],
            recipe: &recipe,
            seed: 1,
            backend: REFERENCE,
            dir: folder.path(),
            until: None,
        };
        train(job, &mut |_| ControlFlow::Continue(())).unwrap();

        let end = load_result(folder.path(), shape).unwrap();
        assert_eq!(end.recorded(), &recorded, "{method}: the graphs are saved with the values");
        assert_eq!(end.values().len(), start.values().len());
        for (name, value) in end.values() {
            assert_ne!(bits(value), bits(&start.values()[name]), "{method}: {name}");
            assert!(!is_zero(value), "{method}: {name} is still zero");
        }
        if recorded.graphs.iter().any(|graphs| graphs.merge.is_none()) {
            let error = end.merge(shape, base.clone()).unwrap_err().to_string();
            assert!(error.contains("cannot fold the adaptation"), "{method}: {error}");
            continue;
        }
        let merged = end.merge(shape, base.clone()).unwrap();
        for (name, plan) in &recorded.plan.weights {
            let same = bits(&merged.get(name).unwrap()) == bits(&base.get(name).unwrap());
            assert_eq!(same, *plan == WeightPlan::Frozen, "{method}: {name}");
        }
    }
}

fn is_zero(tensor: &Tensor) -> bool {
    tensor.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap() == 0.0
}
