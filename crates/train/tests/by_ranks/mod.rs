//! Trainings that ranks make, threads (`ranks.rs`) and processes (`mpi.rs`) alike, and the folders that they leave.

#![allow(dead_code)] // each test uses some of it

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use serde_json::Value;
use tunebench_dataset::{Examples, Tokenized};
use tunebench_exchange::Exchange;
use tunebench_model::backend::{Backend, FAST, REFERENCE};
use tunebench_model::{Tuning, Weights};
use tunebench_spec::decoder::Dims;
use tunebench_spec::plan::RecordedPlan;
use tunebench_spec::random::Stream;
use tunebench_spec::{Decoder, Recipe, VirtualKind};
use tunebench_testkit::examples::drawn;
use tunebench_testkit::methods::{ALL, ATTENTION, adapted, behind, full, wide_dora, wide_lora};
use tunebench_train::{Error, HeldOut, Job, Outcome, Progress, train_in_ranks};

/// Steps of a whole training; where it is stopped in between.
pub const STEPS: u64 = 6;
pub const STOP: u64 = 4;

/// Of some 300,000 parameters, so that four ranks have something to divide.
pub fn shape() -> Decoder {
    let mut shape = Decoder::llama(Dims {
        vocab_size: 96,
        hidden_size: 128,
        intermediate_size: 256,
        num_hidden_layers: 2,
        heads: 4,
        kv_heads: 2,
        head_dim: 32,
    });
    shape.max_position_embeddings = 64;
    shape
}

/// What is trained, and how.
pub struct Case {
    pub name: &'static str,
    pub backend: &'static dyn Backend,
    pub plan: fn(&Decoder) -> RecordedPlan,
    pub recipe: Recipe,
}

/// Two epochs of three steps, of some seven pieces each; a checkpoint after every second.
pub fn recipe(lanes: usize) -> Recipe {
    Recipe {
        learning_rate: 1e-2,
        epochs: 2.0,
        batch_size: 8,
        warmup_steps: 2,
        weight_decay: 0.01,
        micro_batch_tokens: 16,
        checkpoint_steps: 2,
        lanes,
        ..Recipe::base()
    }
}

pub fn cases() -> Vec<Case> {
    let case = |name, plan, recipe| {
        [FAST, REFERENCE].map(|backend| Case { name, backend, plan, recipe: Recipe::clone(&recipe) })
    };
    let packed = Recipe { packing: true, batch_size: 3, max_length: 24, ..recipe(4) };
    let by_tokens = Recipe { batch_tokens: 64, max_length: 24, ..recipe(4) };
    let best = Recipe { eval_steps: 2, load_best_model_at_end: true, ..recipe(4) };
    let checkpointed = Recipe { gradient_checkpointing: true, ..recipe(4) };
    [
        case("ft", full, recipe(4)),
        case("ft, one lane", full, recipe(1)),
        case("ft, gradient checkpointing", full, checkpointed),
        case("ft, more lanes than pieces", full, recipe(11)),
        case("lora-attention", |shape| adapted(shape, &ATTENTION, wide_lora, 0.0), recipe(3)),
        case("lora-all-linear with dropout", |shape| adapted(shape, &ALL, wide_lora, 0.2), recipe(4)),
        case("lora-all-linear, one lane", |shape| adapted(shape, &ALL, wide_lora, 0.2), recipe(1)),
        case("dora, packed", |shape| adapted(shape, &ALL, wide_dora, 0.1), packed),
        case("dora, the best state", |shape| adapted(shape, &ALL, wide_dora, 0.1), best),
        case(
            "ft behind virtual tokens, by tokens",
            |shape| behind(full(shape), shape, VirtualKind::Embeddings, true),
            by_tokens,
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

pub fn examples() -> Vec<Tokenized> {
    drawn(Stream::new(1, &[2]), 22, 4, 12)
}

/// What a rank is given, and what it does after a step.
pub struct Given<'a> {
    pub case: &'a Case,
    pub weights: &'a Weights,
    pub examples: &'a dyn Examples,
    pub stop: Option<u64>,
}

/// One rank's training. The last rank stops all.
pub fn rank(dir: &Path, given: &Given<'_>, exchange: &mut dyn Exchange) -> Result<Outcome, Error> {
    let stop = given.stop.filter(|_| exchange.rank() + 1 == exchange.size());
    rank_and(dir, given, exchange, &mut |step| match Some(step) == stop {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    })
}

/// One rank's training, which does something after each step.
pub fn rank_and(
    dir: &Path,
    given: &Given<'_>,
    exchange: &mut dyn Exchange,
    after: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<Outcome, Error> {
    let Given { case, weights, examples, .. } = *given;
    let shape = shape();
    let tuning = Tuning::init(&shape, weights, (case.plan)(&shape), 5).unwrap();
    let other = drawn(Stream::new(4, &[2]), 9, 4, 12);
    let held_out = [HeldOut { set: "held_out", set_hash: "of the other rows", examples: &other, bytes: 100 }];
    let job = Job {
        arm: "arm",
        candidate: "",
        shape: &shape,
        weights: weights.clone(),
        tuning,
        examples,
        held_out: &held_out,
        recipe: &case.recipe,
        seed: 9,
        backend: case.backend,
        dir,
        until: None,
    };
    train_in_ranks(job, exchange, &mut |progress| match progress {
        Progress::Step(step) => after(step.step),
        _ => ControlFlow::Continue(()),
    })
}

/// All files below a folder, times left out.
pub fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(files(&path).into_iter().map(|(below, bytes)| (format!("{name}/{below}"), bytes)));
        } else if name == "steps.jsonl" {
            let text = fs::read_to_string(&path).unwrap();
            let lines = text.lines().map(|line| {
                let mut line: Value = serde_json::from_str(line).unwrap();
                line["seconds"] = 0.into();
                line.to_string()
            });
            found.insert(name, lines.collect::<Vec<_>>().join("\n").into_bytes());
        } else {
            found.insert(name, fs::read(path).unwrap());
        }
    }
    found
}

pub fn assert_same(what: &str, found: &Path, expected: &Path) {
    let (found, expected) = (files(found), files(expected));
    assert!(found.keys().eq(expected.keys()), "{what}: {:?} for {:?}", found.keys(), expected.keys());
    for (name, bytes) in &expected {
        assert!(found[name] == *bytes, "{what}: {name} has other bytes");
    }
}
