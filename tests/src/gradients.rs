//! The maths that plugin files record, run by the model and compared with PEFT (Houlsby's adapters with plain PyTorch):
//! losses, every gradient, merged weights.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};
use tunebench_dataset::Tokenized;
use tunebench_host::{Options, Registry};
use tunebench_model::{Batch, Draw, ReferenceModel, Targets, Tuning};
use tunebench_spec::{Engine, Recipe, WeightPlan};
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
        // Its maths is LoRA's; how it learns is in `strangers`.
        (support::third_party("lora-plus"), "lora-plus", lora, "lora_all_linear", 2 * 7 * 2),
        (support::third_party("ia3"), "ia3", json!({}), "ia3", 2 * 3),
        // Two adapters a layer, and five norms.
        (support::third_party("houlsby"), "houlsby", houlsby("gelu"), "houlsby", 2 * 2 * 4 + 5),
        (support::third_party("houlsby"), "houlsby", houlsby("relu"), "houlsby_relu", 2 * 2 * 4 + 5),
    ]
}

pub fn fixture(path: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(support::repository(&format!("tests/golden/tiny/{path}")), &Device::Cpu).unwrap()
}

/// What of a fixture begins with a prefix, which is cut off.
pub fn section(all: &HashMap<String, Tensor>, prefix: &str) -> BTreeMap<String, Tensor> {
    all.iter().filter_map(|(name, t)| Some((name.strip_prefix(prefix)?.to_owned(), t.clone()))).collect()
}

/// A JSON file of the fixtures.
pub fn numbers(path: &str) -> Value {
    let text = std::fs::read_to_string(support::repository(&format!("tests/golden/tiny/{path}"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Rows of a batch of the fixtures, `[b, t]` each, cut to their lengths.
pub fn rows(ids: &Tensor, labels: &Tensor, mask: &Tensor) -> Vec<Tokenized> {
    let read = |t: &Tensor| t.to_dtype(DType::I64).unwrap().to_vec2::<i64>().unwrap();
    let (ids, labels, mask) = (read(ids), read(labels), read(mask));
    let row = |i: usize| {
        let n = mask[i].iter().sum::<i64>() as usize;
        let tokens = ids[i][..n].iter().map(|&id| id as u32).collect();
        Tokenized { tokens, is_label: labels[i][..n].iter().map(|&label| label != -100).collect() }
    };
    (0..ids.len()).map(row).collect()
}

/// The rows that losses and gradients of the fixtures are given for.
pub fn examples() -> Vec<Tokenized> {
    let all = fixture("fixtures.safetensors");
    rows(&all["input_ids"], &all["labels"], &all["attention_mask"])
}

/// [`examples`] as the reference path takes them.
pub fn batch() -> (Batch, Targets) {
    let (tokens, is_label): (Vec<_>, Vec<_>) = examples().into_iter().map(|e| (e.tokens, e.is_label)).unzip();
    let batch = Batch::right_padded(&tokens).unwrap();
    let targets = Targets::new(&batch, &is_label).unwrap();
    (batch, targets)
}

/// Largest difference over the largest expected value.
pub fn difference(found: &Tensor, expected: &Tensor) -> f64 {
    let max = |t: &Tensor| f64::from(t.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap());
    assert_eq!(found.dims(), expected.dims());
    max(&(found - expected).unwrap()) / max(expected)
}

#[test]
fn every_plugin_computes_what_peft_computes() {
    let source = tunebench_model::open(&support::repository("tests/golden/tiny")).unwrap();
    let weights = source.weights().unwrap();
    let reports = [numbers("fixtures.json"), numbers("adapters.json")];
    let (batch, targets) = batch();
    for (file, tuner, options, method, count) in methods() {
        let mut registry = Registry::default();
        registry.add(&file).unwrap();
        let options: Options = serde_json::from_value(options).unwrap();
        let recorded = registry.tuner(tuner, &options).unwrap().record(&source.shape).unwrap();

        let all = fixture(&format!("{method}.safetensors"));
        let values = match section(&all, &format!("{method}.param.")) {
            params if params.is_empty() => {
                Tuning::init(&source.shape, &weights, recorded.clone(), 0).unwrap().values().clone()
            }
            params => params,
        };
        let tuning = Tuning::new(&source.shape, recorded, values).unwrap();
        let model = ReferenceModel::new(&source.shape, &weights, &tuning, &Device::Cpu).unwrap();
        let draw = Draw { seed: 0, step: 0, rows: (0..batch.rows() as u64).collect(), ends: vec![] };
        let (loss, gradients) = model.loss_and_gradients(&batch, &targets, &draw).unwrap();

        let labels = targets.len() as f64;
        let expected = reports.iter().find_map(|report| report["methods"][method]["loss"].as_f64()).unwrap();
        assert!((loss / labels - expected).abs() < 1e-5, "{method}: loss {} for {expected}", loss / labels);
        let expected = section(&all, &format!("{method}.grad."));
        assert_eq!((expected.len(), gradients.len()), (count, count), "{method}");
        for (name, expected) in expected {
            let found = (&gradients[&name] / labels).unwrap();
            let off = difference(&found, &expected);
            assert!(off < 2e-5, "{method}: gradient of {name} is off by {off}");
        }
        let merged = section(&all, &format!("merged.{method}."));
        let has_merged = matches!(method, "lora_all_linear" | "dora" | "rslora" | "ia3");
        assert_eq!(merged.is_empty(), !has_merged, "{method}");
        if merged.is_empty() {
            continue;
        }
        let ours = tuning.merge(&source.shape, weights.clone()).unwrap();
        for (name, expected) in merged {
            let off = difference(&ours.get(&name).unwrap(), &expected);
            assert!(off < 1e-6, "{method}: merged {name} is off by {off}");
        }
    }
}

#[test]
fn what_is_trained_moves_and_what_is_frozen_stays() {
    let source = tunebench_model::open(&support::repository("tests/golden/tiny")).unwrap();
    let (shape, base) = (&source.shape, source.weights().unwrap());
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
            shape,
            weights: base.clone(),
            tuning: start.clone(),
            examples: &examples,
            recipe: &recipe,
            seed: 1,
            engine: Engine::Reference,
            dir: folder.path(),
        };
        train(job, &mut |_| ControlFlow::Continue(())).unwrap();

        let end = load_result(folder.path(), shape).unwrap();
        assert_eq!(end.recorded(), &recorded, "{method}: the maths is saved with the values");
        assert_eq!(end.values().len(), start.values().len());
        for (name, value) in end.values() {
            assert!(
                difference(value, &start.values()[name]) > 0.0 || is_zero(&start.values()[name]),
                "{method}: {name}"
            );
            assert!(!is_zero(value), "{method}: {name} is still zero");
        }
        if recorded.graphs.iter().any(|graphs| graphs.merge.is_none()) {
            let error = end.merge(shape, base.clone()).unwrap_err().to_string();
            assert!(error.contains("cannot fold the adaptation"), "{method}: {error}");
            continue;
        }
        let merged = end.merge(shape, base.clone()).unwrap();
        for (name, plan) in &recorded.plan.weights {
            let bits = |t: &Tensor| -> Vec<u32> {
                t.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
            };
            let same = bits(&merged.get(name).unwrap()) == bits(&base.get(name).unwrap());
            assert_eq!(same, *plan == WeightPlan::Frozen, "{method}: {name}");
        }
    }
}

fn is_zero(tensor: &Tensor) -> bool {
    tensor.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap() == 0.0
}
