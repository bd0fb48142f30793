//! Ten steps of training against PyTorch and PEFT: losses, gradient norms, learning rates, final values.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

#[path = "../../model/tests/common/mod.rs"]
mod common;

use std::ops::ControlFlow;

use common::{METHODS, Rows, assert_all_close, bits, json, model, recorded, section, tensors};
use tunebench_dataset::Tokenized;
use tunebench_model::Tuning;
use tunebench_spec::{Engine, Recipe, Schedule};
use tunebench_train::batches::{BatchLayout, Steps};
use tunebench_train::{Job, Outcome, load_result, steps, train};

/// Between f32 and f32 in another order of summation; ten steps of AdamW amplify what they start from.
const LOSS: f64 = 2e-6;
const GRADIENT_NORM: f64 = 2e-5;
const LEARNING_RATE: f64 = 1e-12;
fn value(_: &str) -> f64 {
    2e-5
}

const SEED: u64 = 3;

/// The recipe of the fixtures for a peak learning rate.
fn recipe(learning_rate: f64, micro_batch_tokens: usize) -> Recipe {
    Recipe {
        learning_rate,
        epochs: 1.0,
        batch_size: 3,
        schedule: Schedule::Cosine,
        warmup_steps: 2,
        weight_decay: 0.01,
        max_grad_norm: 1.0,
        micro_batch_tokens,
        ..Recipe::base()
    }
}

/// Thirty examples that one shuffled epoch puts into the batches of the fixtures: step `i` learns from batch `i % 4`.
fn examples(recipe: &Recipe) -> Vec<Tokenized> {
    let all = tensors("tiny/fixtures.safetensors");
    let batch = |name: &str, i: usize| all[name].get(i).unwrap();
    let batches: Vec<Rows> = (0..4)
        .map(|i| Rows::new(&batch("train_ids", i), &batch("train_labels", i), &batch("train_attention_mask", i)))
        .collect();
    let empty = Tokenized { tokens: vec![1], is_label: vec![false] };
    let mut examples = vec![empty; 30];
    let order = examples.clone();
    let mut steps = Steps::new(&order, recipe, SEED, BatchLayout::Padded);
    assert_eq!(steps.total, 10);
    for step in 0..10 {
        let rows = &batches[step % 4];
        let chosen: Vec<usize> = steps.step(step as u64).into_iter().flat_map(|micro_batch| micro_batch.examples).collect();
        assert_eq!(chosen.len(), 3);
        for (row, example) in chosen.into_iter().enumerate() {
            let (tokens, is_label) = (rows.tokens[row].clone(), rows.is_label[row].clone());
            examples[example] = Tokenized { tokens, is_label };
        }
    }
    assert!(examples.iter().all(|e| e.n_labels() > 0));
    examples
}

#[test]
fn ten_steps_are_those_of_pytorch_and_peft() {
    let report = json("tiny/fixtures.json");
    let numbers = |method: &str, key: &str| -> Vec<f64> {
        report["methods"][method][key].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
    };
    let (shape, weights) = model("tiny");
    let untouched: Vec<_> = weights.iter().map(|(name, t)| (name.to_string(), bits(t))).collect();
    for method in METHODS {
        let plan = recorded(&shape, method);
        let tuning = if method == "ft" {
            Tuning::init(&shape, &weights, plan, 0).unwrap()
        } else {
            let begin = section(&format!("tiny/{method}.safetensors"), &format!("{method}.param."));
            Tuning::new(&shape, plan, begin).unwrap()
        };
        // All rows at once, and each in a micro-batch of its own.
        for micro_batch_tokens in [1000, 1] {
            let peak = report["methods"][method]["peak_learning_rate"].as_f64().unwrap();
            let recipe = recipe(peak, micro_batch_tokens);
            let dir = tempfile::tempdir().unwrap();
            let job = Job {
                arm: method,
                shape: &shape,
                weights: weights.clone(),
                tuning: tuning.clone(),
                examples: &examples(&recipe),
                recipe: &recipe,
                seed: SEED,
                engine: Engine::Reference,
                dir: dir.path(),
            };
            assert_eq!(train(job, &mut |_| ControlFlow::Continue(())).unwrap(), Outcome::Finished);
            let log = steps(dir.path()).unwrap();
            assert_eq!(log.len(), 10);
            for (key, tolerance, found) in [
                ("losses", LOSS, log.iter().map(|s| s.loss).collect::<Vec<_>>()),
                ("grad_norms", GRADIENT_NORM, log.iter().map(|s| s.grad_norm).collect()),
                ("learning_rates", LEARNING_RATE, log.iter().map(|s| s.learning_rate).collect()),
            ] {
                for (step, (found, expected)) in found.iter().zip(numbers(method, key)).enumerate() {
                    let apart = (found - expected).abs() / expected.abs().max(1e-9);
                    assert!(apart <= tolerance, "{method} {key} of step {step}: {found} for {expected}");
                }
            }
            assert_eq!(log[0].tokens, 23, "10 + 8 + 5, padding excluded");
            assert_eq!(log[9].epoch, 1.0);

            let result = load_result(dir.path(), &shape).unwrap();
            let file = if method == "ft" { "ft-final".into() } else { method.to_string() };
            let expected = section(&format!("tiny/{file}.safetensors"), &format!("{method}.final."));
            assert_all_close(method, result.values(), &expected, value);
            // Everything that is trained has moved.
            for (name, begin) in tuning.values() {
                assert_ne!(bits(begin), bits(&result.values()[name]), "{method}: {name} has not moved");
            }
        }
    }
    // What is frozen, and the caller's own copy of what is not, is as it was.
    for (name, expected) in untouched {
        assert_eq!(bits(&weights.get(&name).unwrap()), expected, "{name}");
    }
}

/// The fast engine computes in bf16: the ten losses are those of f32 within the roundings of a model 32 wide.
#[test]
fn ten_steps_of_the_fast_engine_stay_beside_them() {
    let report = json("tiny/fixtures.json");
    let (shape, weights) = model("tiny");
    for method in METHODS {
        let plan = recorded(&shape, method);
        let tuning = if method == "ft" {
            Tuning::init(&shape, &weights, plan, 0).unwrap()
        } else {
            let begin = section(&format!("tiny/{method}.safetensors"), &format!("{method}.param."));
            Tuning::new(&shape, plan, begin).unwrap()
        };
        let recipe = recipe(report["methods"][method]["peak_learning_rate"].as_f64().unwrap(), 1000);
        let dir = tempfile::tempdir().unwrap();
        let job = Job {
            arm: method,
            shape: &shape,
            weights: weights.clone(),
            tuning,
            examples: &examples(&recipe),
            recipe: &recipe,
            seed: SEED,
            engine: Engine::Fast,
            dir: dir.path(),
        };
        train(job, &mut |_| ControlFlow::Continue(())).unwrap();
        let expected = report["methods"][method]["losses"].as_array().unwrap();
        for (step, expected) in steps(dir.path()).unwrap().iter().zip(expected) {
            let (found, expected) = (step.loss, expected.as_f64().unwrap());
            assert!((found - expected).abs() < 0.02 * expected, "{method}, step {}: {found} for {expected}", step.step);
        }
    }
}
