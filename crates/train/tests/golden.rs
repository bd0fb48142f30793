//! Ten steps of training against PyTorch and PEFT: losses, gradient norms, learning rates, final values.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use candle_core::{Device, Tensor};
use serde_json::Value;
use tunebench_dataset::Tokenized;
use tunebench_model::backend::BatchLayout;
use tunebench_model::backend::{Backend, Cuda, FAST, Parts, REFERENCE};
use tunebench_model::reference::Precision;
use tunebench_model::{Tuning, Weights};
use tunebench_spec::{Decoder, Recipe, Schedule, StepLog};
use tunebench_testkit::compare::{assert_all_close, assert_moved_alike, bits};
use tunebench_testkit::golden::{Rows, cases, floats, in_order, json, model, section, seen};
use tunebench_testkit::methods::recorded;
use tunebench_train::batches::Steps;
use tunebench_train::{HeldOut, Job, Outcome, load_result, losses, measure, steps, train};

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

/// Thirty examples that one shuffled epoch puts into the batches of the fixtures.
fn examples(family: &str, recipe: &Recipe) -> Vec<Tokenized> {
    in_order(family, |examples| {
        let mut steps = Steps::new(&examples, recipe, SEED, BatchLayout::Padded);
        let chosen = |step| steps.step(step).into_iter().flat_map(|micro_batch| micro_batch.examples).collect();
        (0..10).map(chosen).collect()
    })
}

/// A golden training: of which model, by which method, from where.
#[derive(Clone)]
struct Case {
    family: &'static str,
    method: String,
    shape: Decoder,
    weights: Weights,
    start: Tuning,
    report: Value,
}

impl Case {
    fn all() -> impl Iterator<Item = Self> {
        cases().map(|(family, method)| Self::new(family, method))
    }

    fn new(family: &'static str, method: String) -> Self {
        let (shape, weights) = model(family);
        let plan = recorded(&shape, &method);
        let start = if method == "ft" {
            Tuning::init(&shape, &weights, plan, 0).unwrap()
        } else {
            let begin = section(&format!("{family}/{method}.safetensors"), &format!("{method}.param."));
            Tuning::new(&shape, plan, begin).unwrap()
        };
        let report = json(&format!("{family}/fixtures.json"))["methods"][&method].clone();
        Self { family, method, shape, weights, start, report }
    }

    /// The ten steps on a backend: their log, what was trained, and the loss of another batch after them.
    fn train(&self, backend: &dyn Backend, micro_batch_tokens: usize) -> (Vec<StepLog>, Tuning, f64) {
        let other = Rows::of(self.family).examples();
        let recipe = recipe(self.report["peak_learning_rate"].as_f64().unwrap(), micro_batch_tokens);
        let dir = tempfile::tempdir().unwrap();
        let job = Job {
            arm: &self.method,
            candidate: "",
            shape: &self.shape,
            weights: self.weights.clone(),
            tuning: self.start.clone(),
            examples: &examples(self.family, &recipe),
            held_out: &[held_out(&other)],
            recipe: &recipe,
            seed: SEED,
            backend,
            dir: dir.path(),
            until: None,
        };
        assert_eq!(train(job, &mut |_| ControlFlow::Continue(())).unwrap(), Outcome::Finished);
        let [line] = &losses(dir.path()).unwrap()[..] else { panic!("one measurement, at the end") };
        assert_eq!((line.step, line.is_final), (10, true));
        (steps(dir.path()).unwrap(), load_result(dir.path(), &self.shape).unwrap(), line.loss)
    }

    /// The loss of that batch before training.
    fn loss_before(&self, backend: &dyn Backend, micro_batch_tokens: usize) -> f64 {
        let other = Rows::of(self.family).examples();
        let (weights, tuning) = (self.weights.clone(), self.start.clone());
        let parts = Parts { shape: &self.shape, weights, tuning };
        let found = measure(parts, backend, &[held_out(&other)], micro_batch_tokens).unwrap()[0];
        assert_eq!(found.tokens as usize, other.iter().map(Tokenized::n_labels).sum::<usize>());
        found.nats / found.tokens as f64
    }

    /// `values` without what no number of the model depends on.
    fn seen(&self, values: &BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
        values.iter().filter_map(|(name, value)| Some((name.clone(), seen(&self.shape, name, value)?))).collect()
    }

    /// Values after the ten steps by PyTorch.
    fn end(&self) -> BTreeMap<String, Tensor> {
        let file = if self.method == "ft" { "ft-final" } else { &self.method };
        section(&format!("{}/{file}.safetensors", self.family), &format!("{}.final.", self.method))
    }
}

fn held_out(examples: &Vec<Tokenized>) -> HeldOut<'_> {
    HeldOut { set: "held_out", set_hash: "of the golden batch", examples, bytes: 100 }
}

#[test]
fn ten_steps_are_those_of_pytorch_and_peft() {
    for case in Case::all() {
        let what = format!("{}, {}", case.family, case.method);
        let untouched: Vec<_> = case.weights.iter().map(|(name, t)| (name.to_string(), bits(&t))).collect();
        // All rows at once, and each in a micro-batch of its own.
        for micro_batch_tokens in [1000, 1] {
            let (log, result, after) = case.train(REFERENCE, micro_batch_tokens);
            assert_eq!(log.len(), 10);
            for (key, found) in [("loss", case.loss_before(REFERENCE, micro_batch_tokens)), ("loss_after", after)] {
                let expected = case.report[key].as_f64().unwrap();
                assert!((found / expected - 1.0).abs() <= LOSS, "{what}, {key}: {found} for {expected}");
            }
            for (key, tolerance, found) in [
                ("losses", LOSS, log.iter().map(|s| s.loss).collect::<Vec<_>>()),
                ("grad_norms", GRADIENT_NORM, log.iter().map(|s| s.grad_norm).collect()),
                ("learning_rates", LEARNING_RATE, log.iter().map(|s| s.learning_rate).collect()),
            ] {
                for (step, (found, expected)) in found.iter().zip(floats(&case.report[key])).enumerate() {
                    let apart = (found - expected).abs() / expected.abs().max(1e-9);
                    assert!(apart <= tolerance, "{what}, {key} of step {step}: {found} for {expected}");
                }
            }
            assert_eq!(log[9].epoch, 1.0);
            if case.family == "tiny" {
                assert_eq!(log[0].tokens, 23, "10 + 8 + 5, padding excluded");
            }
            assert_all_close(&what, &case.seen(result.values()), &case.seen(&case.end()), value);
            // Everything that is trained has moved.
            for (name, begin) in case.start.values() {
                assert_ne!(bits(begin), bits(&result.values()[name]), "{what}: {name} has not moved");
            }
        }
        // What is frozen, and the caller's own copy of what is not, is as it was.
        for (name, expected) in untouched {
            assert_eq!(bits(&case.weights.get(&name).unwrap()), expected, "{what}: {name}");
        }
    }
}

/// The engines of bf16. A logit is off by some 2 % of the logits' spread, and a loss of some 20 labels by a
/// fifth of that; with what the steps before have rounded, by less than 1 %. Twice as much is allowed.
#[test]
fn ten_steps_in_bf16_stay_beside_them() {
    let card = Cuda::on(Device::Cpu, Precision::BF16);
    for (case, backend) in
        Case::all().flat_map(|case| [FAST, &card as &dyn Backend].map(|backend| (case.clone(), backend)))
    {
        let what = format!("{}, {}, {}", case.family, case.method, backend.name());
        let (log, result, after) = case.train(backend, 1000);
        for (key, found) in [("loss", case.loss_before(backend, 1000)), ("loss_after", after)] {
            let expected = case.report[key].as_f64().unwrap();
            assert!((found / expected - 1.0).abs() < 0.02, "{what}, {key}: {found} for {expected}");
        }
        for (step, expected) in log.iter().zip(floats(&case.report["losses"])) {
            let found = step.loss;
            assert!((found - expected).abs() < 0.02 * expected, "{what}, step {}: {found} for {expected}", step.step);
        }
        let [start, found, end] = [case.start.values(), result.values(), &case.end()].map(|values| case.seen(values));
        assert_moved_alike(&what, &start, &found, &end);
    }
}
