//! Any number of ranks comes to the same bytes: of the result, of checkpoints, of the log but for its seconds; also where
//! others go on from a checkpoint.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use serde_json::Value;
use tunebench_dataset::{Examples, Tokenized};
use tunebench_exchange::{Exchange, Threads, threads};
use tunebench_model::backend::{Backend, FAST, REFERENCE};
use tunebench_model::{Tuning, Weights};
use tunebench_spec::decoder::Dims;
use tunebench_spec::plan::RecordedPlan;
use tunebench_spec::random::Stream;
use tunebench_spec::{Decoder, Recipe, VirtualKind};
use tunebench_testkit::examples::drawn;
use tunebench_testkit::methods::{ALL, ATTENTION, adapted, behind, full, wide_dora, wide_lora};
use tunebench_train::{Error, HeldOut, Job, Outcome, Progress, train, train_in_ranks};

/// Steps of a whole training; where it is stopped in between.
const STEPS: u64 = 6;
const STOP: u64 = 4;

/// Of some 300,000 parameters, so that four ranks have something to divide.
fn shape() -> Decoder {
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
struct Case {
    name: &'static str,
    backend: &'static dyn Backend,
    plan: fn(&Decoder) -> RecordedPlan,
    recipe: Recipe,
}

/// Two epochs of three steps, of some seven pieces each; a checkpoint after every second.
fn recipe(lanes: usize) -> Recipe {
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

fn cases() -> Vec<Case> {
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

fn examples() -> Vec<Tokenized> {
    drawn(Stream::new(1, &[2]), 22, 4, 12)
}

/// What a rank is given, and what it does after a step.
struct Given<'a> {
    case: &'a Case,
    weights: &'a Weights,
    examples: &'a dyn Examples,
    stop: Option<u64>,
}

/// One rank's training. It hears of each step once; the last rank stops all.
fn rank(dir: &Path, given: &Given<'_>, exchange: &mut dyn Exchange) -> Result<Outcome, Error> {
    let Given { case, weights, examples, stop } = *given;
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
    let is_last = exchange.rank() + 1 == exchange.size();
    train_in_ranks(job, exchange, &mut |progress| match progress {
        Progress::Step(step) if is_last && Some(step.step) == stop => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    })
}

/// What each of so many ranks comes to.
fn each<T: Send>(size: usize, f: impl Fn(&mut Threads) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let begin = |mut rank: Threads| {
            let f = &f;
            scope.spawn(move || {
                let found = f(&mut rank);
                Box::new(rank).finish().ok();
                found
            })
        };
        let running: Vec<_> = threads(size).into_iter().map(begin).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// Trains by so many ranks, to the end or until a step.
fn together(dir: &Path, case: &Case, weights: &Weights, size: usize, stop: Option<u64>) {
    let given = Given { case, weights, examples: &examples(), stop };
    for outcome in each(size, |exchange| rank(dir, &given, exchange)) {
        let expected = if stop.is_some() { Outcome::Stopped } else { Outcome::Finished };
        assert_eq!(outcome.unwrap(), expected, "{}, {size} ranks", case.name);
    }
}

/// All files below a folder, times left out.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
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

fn assert_same(what: &str, found: &Path, expected: &Path) {
    let (found, expected) = (files(found), files(expected));
    assert!(found.keys().eq(expected.keys()), "{what}: {:?} for {:?}", found.keys(), expected.keys());
    for (name, bytes) in &expected {
        assert!(found[name] == *bytes, "{what}: {name} has other bytes");
    }
}

/// By how many ranks a training goes until its first stop, until its second, and to its end.
const CHAINS: [[usize; 3]; 3] = [[2, 3, 4], [3, 4, 1], [4, 1, 2]];

#[test]
fn any_number_of_ranks_comes_to_the_same_bytes_and_goes_on_from_any_others_checkpoint() {
    let weights = Weights::init(&shape(), 7).unwrap();
    for (number, case) in cases().into_iter().enumerate() {
        let what = format!("{}, {}", case.name, case.backend.name());
        let (whole, stopped) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        together(whole.path(), &case, &weights, 1, None);
        together(stopped.path(), &case, &weights, 1, Some(STOP - 1));
        assert!(files(whole.path()).keys().any(|name| name.starts_with("result/")), "{what}");
        assert!(files(stopped.path()).keys().any(|name| name.starts_with("checkpoint/")), "{what}");
        // All of them for the first, which moves the most, and one of them for each other.
        for chain in CHAINS.iter().enumerate().filter(|(i, _)| number == 0 || number % 3 == *i).map(|(_, chain)| chain)
        {
            let dir = tempfile::tempdir().unwrap();
            together(dir.path(), &case, &weights, chain[0], Some(STOP - 1));
            assert_same(&format!("{what}, {} ranks stopped", chain[0]), dir.path(), stopped.path());
            together(dir.path(), &case, &weights, chain[1], Some(STOP));
            together(dir.path(), &case, &weights, chain[2], None);
            assert_same(&format!("{what}, by {chain:?} ranks"), dir.path(), whole.path());
        }
    }
}

#[test]
fn lanes_change_rounding_alone() {
    let weights = Weights::init(&shape(), 7).unwrap();
    let losses = |lanes: usize| {
        let dir = tempfile::tempdir().unwrap();
        let case = Case { name: "ft", backend: REFERENCE, plan: full, recipe: recipe(lanes) };
        together(dir.path(), &case, &weights, 1, None);
        tunebench_train::steps(dir.path()).unwrap().iter().map(|step| step.loss).collect::<Vec<_>>()
    };
    let one = losses(1);
    assert_eq!(one.len() as u64, STEPS);
    // With a piece a lane it would be one lane's order again.
    for lanes in [2, 3] {
        let found = losses(lanes);
        assert!(found != one, "{lanes} lanes add up in another order");
        for (found, expected) in found.iter().zip(&one) {
            assert!((found / expected - 1.0).abs() < 1e-4, "{lanes} lanes: {found} for {expected}");
        }
    }
}

#[test]
fn one_lane_and_one_rank_are_what_train_does() {
    let weights = Weights::init(&shape(), 7).unwrap();
    for case in cases() {
        let [alone, ranks] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let shape = shape();
        let tuning = Tuning::init(&shape, &weights, (case.plan)(&shape), 5).unwrap();
        let other = drawn(Stream::new(4, &[2]), 9, 4, 12);
        let held_out = [HeldOut { set: "held_out", set_hash: "of the other rows", examples: &other, bytes: 100 }];
        let job = Job {
            arm: "arm",
            candidate: "",
            shape: &shape,
            weights: weights.clone(),
            tuning,
            examples: &examples(),
            held_out: &held_out,
            recipe: &case.recipe,
            seed: 9,
            backend: case.backend,
            dir: alone.path(),
            until: None,
        };
        assert_eq!(train(job, &mut |_| ControlFlow::Continue(())).unwrap(), Outcome::Finished);
        together(ranks.path(), &case, &weights, 1, None);
        assert_same(case.name, ranks.path(), alone.path());
    }
}

/// A learning rate at which numbers run away: all ranks say the same of it, and can go on with something else.
#[test]
fn divergence_comes_on_all_ranks_alike() {
    let weights = Weights::init(&shape(), 7).unwrap();
    for backend in [FAST, REFERENCE] {
        for lanes in [1, 4] {
            let recipe = Recipe { learning_rate: 1e30, warmup_steps: 0, ..recipe(lanes) };
            let case = Case { name: "ft", backend, plan: full, recipe };
            let said = |size| {
                let dir = tempfile::tempdir().unwrap();
                let given = Given { case: &case, weights: &weights, examples: &examples(), stop: None };
                each(size, |exchange| {
                    let error = rank(dir.path(), &given, exchange).unwrap_err();
                    assert!(error.is_divergence(), "{error}");
                    exchange.barrier().unwrap();
                    error.to_string()
                })
            };
            let alone = said(1);
            assert_eq!(said(3), vec![alone[0].clone(); 3], "{}, {lanes} lanes", backend.name());
        }
    }
}

/// Rows of which one cannot be read.
#[derive(Debug)]
struct Damaged(Vec<Tokenized>);

impl Examples for Damaged {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn length(&self, index: usize) -> usize {
        self.0.length(index)
    }

    fn has_labels(&self) -> bool {
        true
    }

    fn read(&self, index: usize) -> Result<Tokenized, tunebench_dataset::Error> {
        // What is not there cannot be read.
        self.0.read(if index == 5 { self.0.len() } else { index })
    }
}

#[test]
fn what_fails_on_one_rank_ends_all_with_its_sentence() {
    let weights = Weights::init(&shape(), 7).unwrap();
    let case = Case { name: "ft", backend: FAST, plan: full, recipe: recipe(4) };
    let dir = tempfile::tempdir().unwrap();
    let given = Given { case: &case, weights: &weights, examples: &Damaged(examples()), stop: None };
    let said = each(3, |exchange| rank(dir.path(), &given, exchange).unwrap_err().to_string());
    let from: Vec<_> = said.iter().filter(|said| said.contains("has ended: arm `arm`: ")).collect();
    assert_eq!(from.len(), 2, "{said:?}");
    let own = said.iter().find(|said| !said.contains("has ended")).unwrap();
    assert!(from.iter().all(|said| said.ends_with(own)), "{said:?}");
}

#[test]
fn ranks_with_different_work_are_refused() {
    let weights = Weights::init(&shape(), 7).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let cases = [4, 2].map(|lanes| Case { name: "ft", backend: FAST, plan: full, recipe: recipe(lanes) });
    let said = each(3, |exchange| {
        let case = &cases[usize::from(exchange.rank() == 2)];
        let given = Given { case, weights: &weights, examples: &examples(), stop: None };
        rank(dir.path(), &given, exchange).unwrap_err().to_string()
    });
    assert!(said.iter().all(|said| said.starts_with("rank 2 has another lanes than rank 0: 2, there 4")), "{said:?}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is begun");
}
