//! The third-party tuners, as they are built: the fast engine against the reference path, and ten steps of LoRA+.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use half::bf16;
use serde_json::{Value, json};
use tunebench_dataset::Tokenized;
use tunebench_host::Registry;
use tunebench_kernels::SimdLevel;
use tunebench_model::fast::{Batch, Cache, Model, Options, Storage, Workspace, memory};
use tunebench_model::{Draw, Llama, Tuning, Weights};
use tunebench_spec::plan::Recorded;
use tunebench_spec::random::Stream;
use tunebench_spec::{Engine, ModelShape, Recipe, Schedule};
use tunebench_train::batches::{Cut, Steps};
use tunebench_train::{Job, load_result, peft, steps, train};

use crate::gradients::{batch, difference, examples, fixture, numbers, rows, section};
use crate::support;

/// Tuner, which has its package's name, and its options.
fn cases() -> [(&'static str, Value); 8] {
    let lora = |dropout: f64| json!({ "r": 4, "lora_alpha": 8.0, "lora_dropout": dropout });
    [
        ("dora", lora(0.1)),
        ("rslora", lora(0.0)),
        ("rslora", lora(0.1)),
        ("lora-plus", lora(0.1)),
        ("ia3", json!({})),
        ("ia3", json!({ "target_modules": ["q_proj", "gate_proj"], "feedforward_modules": ["gate_proj"] })),
        ("houlsby", json!({ "bottleneck_size": 4 })),
        ("houlsby", json!({ "bottleneck_size": 4, "activation": "relu" })),
    ]
}

fn tiny() -> (ModelShape, Weights) {
    let source = tunebench_model::open(&support::repository("tests/golden/tiny")).unwrap();
    let weights = source.weights().unwrap();
    (source.shape, weights)
}

fn record(file: &Path, tuner: &str, options: Value, shape: &ModelShape) -> Recorded {
    let mut registry = Registry::default();
    registry.add(file).unwrap();
    registry.tuner(tuner, &serde_json::from_value(options).unwrap()).unwrap().record(shape).unwrap()
}

/// A tuning that has moved, so that nothing zero hides a product.
fn moved(shape: &ModelShape, weights: &Weights, recorded: Recorded) -> Tuning {
    let start = Tuning::init(shape, weights, recorded, 3).unwrap();
    let shift = |(name, value): (&String, &Tensor)| {
        let mut stream = Stream::named(5, name);
        let noise: Vec<f32> = (0..value.elem_count()).map(|_| 0.05 * stream.normal() as f32).collect();
        let noise = Tensor::from_vec(noise, value.dims(), &Device::Cpu).unwrap();
        (name.clone(), (value + noise).unwrap())
    };
    let values = start.values().iter().map(shift).collect();
    Tuning::new(shape, start.recorded().clone(), values).unwrap()
}

/// Rounded to bf16, in f32 still.
fn in_bf16<'a>(tensors: impl Iterator<Item = (&'a str, &'a Tensor)>) -> BTreeMap<String, Tensor> {
    let round = |t: &Tensor| t.to_dtype(DType::BF16).unwrap().to_dtype(DType::F32).unwrap();
    tensors.map(|(name, tensor)| (name.to_owned(), round(tensor))).collect()
}

fn draw() -> Draw {
    Draw { seed: 11, step: 2, rows: vec![0, 1, 2], ends: vec![] }
}

fn reference(shape: &ModelShape, weights: &Weights, tuning: &Tuning) -> (f64, BTreeMap<String, Tensor>) {
    let (batch, targets) = batch();
    let model = Llama::new(shape, weights, tuning, &Device::Cpu).unwrap();
    model.loss_and_gradients(&batch, &targets, &draw()).unwrap()
}

fn fast<E: Storage>(
    shape: &ModelShape,
    weights: &Weights,
    tuning: &Tuning,
    options: Options,
) -> (f64, BTreeMap<String, Tensor>) {
    let model = Model::<E>::new(shape, weights.clone(), tuning.clone(), options).unwrap();
    let mut batch = Batch::new();
    for Tokenized { tokens, is_label } in examples() {
        batch.push(&tokens, &is_label).unwrap();
    }
    let mut gradients = model.gradients();
    let loss = model.loss_and_gradients(&batch, &draw(), &mut gradients, &mut Workspace::default()).unwrap();
    let found = model.trained().enumerate().map(|(slot, (name, dims))| {
        (name.to_owned(), Tensor::from_slice(gradients.get(slot).unwrap(), dims, &Device::Cpu).unwrap())
    });
    (loss, found.collect())
}

fn norm(tensor: &Tensor) -> f64 {
    f64::from(tensor.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap()).sqrt()
}

#[test]
fn the_fast_engine_computes_what_the_reference_path_does() {
    let (shape, weights) = tiny();
    for (tuner, given) in cases() {
        let recorded = record(&support::third_party(tuner), tuner, given.clone(), &shape);
        let tuning = moved(&shape, &weights, recorded);
        let (loss, expected) = reference(&shape, &weights, &tuning);
        // What bf16 computes with, so that only the roundings on the way are compared.
        let rounded = Weights::new(&shape, in_bf16(weights.iter())).unwrap();
        let values = tuning.values().iter().map(|(name, value)| (name.as_str(), value));
        let half = Tuning::new(&shape, tuning.recorded().clone(), in_bf16(values)).unwrap();
        let (half_loss, half_expected) = reference(&shape, &rounded, &half);
        for (recompute, packed) in [(false, false), (true, false), (false, true)] {
            let options = Options { level: SimdLevel::best(), recompute, packed };
            let what = format!("{tuner} {given}, recompute {recompute}, packed {packed}");
            // The tolerances of crates/model/tests/fast.rs, for its reasons: another order of sums in f32; in bf16 the
            // roundings of a model 32 wide.
            let (found, gradients) = fast::<f32>(&shape, &weights, &tuning, options);
            assert!((found - loss).abs() < 1e-5 * loss, "{what}, f32: loss {found} for {loss}");
            assert!(gradients.keys().eq(expected.keys()), "{what}");
            for (name, expected) in &expected {
                let off = difference(&gradients[name], expected);
                assert!(off < 3e-5, "{what}, f32: gradient of {name} is off by {off}");
            }
            let (found, gradients) = fast::<bf16>(&shape, &rounded, &half, options);
            let off = (found - half_loss).abs() / half_loss;
            assert!(off < 5e-3, "{what}, bf16: loss {found} for {half_loss}");
            for (name, expected) in &half_expected {
                let off = norm(&(&gradients[name] - expected).unwrap()) / norm(expected);
                assert!(off < 0.2, "{what}, bf16: gradient of {name} is off by {off} of its norm");
            }
        }
    }
}

#[test]
fn the_first_answer_is_the_base_models() {
    let (shape, weights) = tiny();
    let (batch, targets) = batch();
    let loss =
        |tuning: &Tuning| Llama::new(&shape, &weights, tuning, &Device::Cpu).unwrap().loss(&batch, &targets).unwrap();
    let base = loss(&Tuning::none());
    for (tuner, given) in cases() {
        let recorded = record(&support::third_party(tuner), tuner, given.clone(), &shape);
        let found = loss(&Tuning::init(&shape, &weights, recorded, 3).unwrap());
        assert!((found - base).abs() < 1e-6 * base, "{tuner} {given}: {found} for {base}");
    }
}

/// Also where nothing can be merged: the graphs run for each new token.
#[test]
fn adapted_models_answer_token_by_token_as_they_read_a_whole_text() {
    let (shape, weights) = tiny();
    let text: Vec<u32> = (0..12).map(|i| (i * 37 + 11) % 96).collect();
    for (tuner, given) in cases() {
        let recorded = record(&support::third_party(tuner), tuner, given.clone(), &shape);
        let tuning = moved(&shape, &weights, recorded);
        let whole = Llama::new(&shape, &weights, &tuning, &Device::Cpu).unwrap();
        let padded = tunebench_model::Batch::right_padded(std::slice::from_ref(&text)).unwrap();
        let options = Options { level: SimdLevel::best(), recompute: false, packed: false };
        let mut model = Model::<f32>::new(&shape, weights.clone(), tuning, options).unwrap();
        model.pack();
        let (mut cache, mut scores) = (Cache::new(&model), Vec::new());
        model.prefill(&mut cache, &[&text[..5]], &mut scores).unwrap();
        for (n, token) in text.iter().enumerate().skip(5) {
            let expected = whole.logits(&padded, &[padded.index(0, n - 1)]).unwrap();
            let found = Tensor::from_slice(&scores, expected.dims(), &Device::Cpu).unwrap();
            let off = difference(&found, &expected);
            assert!(off < 1e-5, "{tuner} {given}: after {n} tokens off by {off}");
            model.step(&mut cache, &[*token], &mut scores).unwrap();
        }
    }
}

/// A site that is not recognised as LoRA costs its candle tensors: so memory tells.
#[test]
fn a_strangers_lora_is_recognised_as_lora() {
    let shape = ModelShape::preset("llama-7b").unwrap();
    let bytes = |file: &Path, tuner: &str| {
        let recorded = record(file, tuner, json!({ "r": 16, "lora_dropout": 0.1 }), &shape);
        memory::training(&shape, &recorded, 512, true)
    };
    let ours = bytes(&support::plugin("tuner-lora-all-linear"), "lora-all-linear");
    for tuner in ["rslora", "lora-plus"] {
        assert_eq!(bytes(&support::third_party(tuner), tuner), ours, "{tuner}");
    }
    assert!(bytes(&support::third_party("dora"), "dora") > ours + (1 << 28), "and DoRA is not");
}

#[test]
fn ten_steps_of_lora_plus_are_those_of_pytorch() {
    let (shape, weights) = tiny();
    let report = &numbers("adapters.json")["methods"]["lora_plus"];
    let options = json!({
        "r": 4, "lora_alpha": 8.0, "lora_dropout": 0.0, "loraplus_lr_ratio": report["loraplus_lr_ratio"],
    });
    let recorded = record(&support::third_party("lora-plus"), "lora-plus", options, &shape);
    let begin = section(&fixture("lora_all_linear.safetensors"), "lora_all_linear.param.");
    let tuning = Tuning::new(&shape, recorded, begin).unwrap();
    let recipe = Recipe {
        learning_rate: report["peak_learning_rate"].as_f64().unwrap(),
        epochs: 1.0,
        batch_size: 3,
        schedule: Schedule::Cosine,
        warmup_steps: 2,
        weight_decay: 0.01,
        max_grad_norm: 1.0,
        ..Recipe::base()
    };
    let examples = in_order(&recipe, 3);
    // Ours adds in another order. The fast engine computes in bf16, a model 32 wide: 0.027 is seen of the values, and
    // 0.16 would be if B learned at A's rate.
    for (engine, loss, values) in [(Engine::Reference, 2e-6, 2e-5), (Engine::Fast, 0.02, 0.05)] {
        let dir = tempfile::tempdir().unwrap();
        let job = Job {
            arm: "lora-plus",
            shape: &shape,
            weights: weights.clone(),
            tuning: tuning.clone(),
            examples: &examples,
            recipe: &recipe,
            seed: 3,
            engine,
            dir: dir.path(),
        };
        train(job, &mut |_| ControlFlow::Continue(())).unwrap();
        let log = steps(dir.path()).unwrap();
        for (key, tolerance, found) in [
            ("losses", loss, log.iter().map(|s| s.loss).collect::<Vec<_>>()),
            ("grad_norms", 10.0 * loss, log.iter().map(|s| s.grad_norm).collect()),
            ("learning_rates", 1e-12, log.iter().map(|s| s.learning_rate).collect()),
        ] {
            let expected: Vec<f64> = serde_json::from_value(report[key].clone()).unwrap();
            assert_eq!(found.len(), expected.len());
            for (step, (found, expected)) in found.into_iter().zip(expected).enumerate() {
                let is_close = (found - expected).abs() <= tolerance * expected;
                assert!(is_close, "{engine:?}, {key} of step {step}: {found} for {expected}");
            }
        }
        let result = load_result(dir.path(), &shape).unwrap();
        let expected = section(&fixture("lora_plus.safetensors"), "lora_plus.final.");
        assert!(result.values().keys().eq(expected.keys()));
        for (name, expected) in expected {
            let off = difference(&result.values()[&name], &expected);
            assert!(off < values, "{engine:?}: {name} is off by {off}");
        }
    }
}

#[test]
fn a_strangers_lora_is_written_for_peft_and_what_peft_does_not_know_is_not() {
    let (shape, weights) = tiny();
    let lora = || json!({ "r": 4, "lora_alpha": 8.0, "lora_dropout": 0.0 });
    // PEFT scales by alpha / r.
    for (tuner, given, want) in [
        ("rslora", lora(), Ok(16.0)),
        ("lora-plus", lora(), Ok(8.0)),
        ("ia3", json!({}), Err("has the parameters {\"ia3_l\"}")),
        ("houlsby", json!({}), Err("is trained as a whole")),
    ] {
        let recorded = record(&support::third_party(tuner), tuner, given, &shape);
        let tuning = moved(&shape, &weights, recorded);
        let dir = tempfile::tempdir().unwrap();
        let saved = peft::save(dir.path(), &shape, &weights, "tiny", &tuning);
        let alpha: f64 = match want {
            Ok(alpha) => alpha,
            Err(why) => {
                let error = saved.unwrap_err().to_string();
                assert!(error.contains(why), "{tuner}: {error}");
                continue;
            }
        };
        saved.unwrap();
        let config = std::fs::read_to_string(dir.path().join("adapter_config.json")).unwrap();
        let config: Value = serde_json::from_str(&config).unwrap();
        assert_eq!(config["lora_alpha"].as_f64(), Some(alpha), "{tuner}");
        let read = peft::load(dir.path(), &shape).unwrap();
        let (found, expected) = (reference(&shape, &weights, &read).0, reference(&shape, &weights, &tuning).0);
        assert!((found - expected).abs() < 1e-6 * expected, "{tuner}: {found} for {expected}");
    }
}

/// Thirty examples that one shuffled epoch puts into the batches of the fixtures: step `i` learns from batch `i % 4`.
fn in_order(recipe: &Recipe, seed: u64) -> Vec<Tokenized> {
    let all = fixture("fixtures.safetensors");
    let part = |name: &str, i: usize| all[name].get(i).unwrap();
    let batch = |i: usize| rows(&part("train_ids", i), &part("train_labels", i), &part("train_attention_mask", i));
    let batches: Vec<Vec<Tokenized>> = (0..4).map(batch).collect();
    let mut examples = vec![Tokenized { tokens: vec![1], is_label: vec![false] }; 30];
    let blank = examples.clone();
    let mut steps = Steps::new(&blank, recipe, seed, Cut::Padded);
    for step in 0..10 {
        let chosen = steps.step(step as u64).into_iter().flat_map(|piece| piece.examples);
        for (example, row) in chosen.zip(&batches[step % 4]) {
            examples[example] = row.clone();
        }
    }
    examples
}
