//! Any number of ranks comes to the same bytes: of the result, of checkpoints, of the log but for its seconds; also where
//! others go on from a checkpoint.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use tunebench_dataset::{Examples, Tokenized};
use tunebench_exchange::{Exchange as _, Threads, threads};
use tunebench_model::backend::{FAST, REFERENCE};
use tunebench_model::{Tuning, Weights};
use tunebench_spec::Recipe;
use tunebench_spec::random::Stream;
use tunebench_testkit::examples::drawn;
use tunebench_testkit::methods::full;
use tunebench_train::{HeldOut, Job, Outcome, train};

use by_ranks::{Case, Given, STEPS, STOP, assert_same, cases, examples, files, rank, recipe, shape};

mod by_ranks;

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

/// Same shapes, same settings: what differs is what the ranks begin with.
#[test]
fn ranks_that_begin_with_other_weights_are_refused() {
    let weights = [7, 8].map(|seed| Weights::init(&shape(), seed).unwrap());
    for case in cases().into_iter().filter(|case| ["ft", "lora-all-linear with dropout"].contains(&case.name)) {
        let dir = tempfile::tempdir().unwrap();
        let said = each(3, |exchange| {
            let weights = &weights[usize::from(exchange.rank() == 1)];
            let given = Given { case: &case, weights, examples: &examples(), stop: None };
            rank(dir.path(), &given, exchange).unwrap_err().to_string()
        });
        let is_told = |said: &String| {
            let rest = said.strip_prefix("rank 1 has another ");
            rest.is_some_and(|rest| rest.starts_with("beginning of ") || rest.starts_with("loss of the first example"))
        };
        assert!(said.iter().all(is_told), "{}: {said:?}", case.name);
    }
}

/// The first rank alone reads it, so it alone finds that out; it tells the others, and what comes next is done by all.
#[test]
fn a_checkpoint_with_a_number_that_is_none_is_told_to_all() {
    let weights = Weights::init(&shape(), 7).unwrap();
    let case = Case { name: "ft", backend: FAST, plan: full, recipe: recipe(4) };
    let dir = tempfile::tempdir().unwrap();
    together(dir.path(), &case, &weights, 1, Some(STOP - 1));
    let file = dir.path().join("checkpoint/trained.safetensors");
    let mut bytes = fs::read(&file).unwrap();
    let last = bytes.len() - size_of::<f32>();
    bytes[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&file, bytes).unwrap();
    let given = Given { case: &case, weights: &weights, examples: &examples(), stop: None };
    let said = each(3, |exchange| {
        let error = rank(dir.path(), &given, exchange).unwrap_err();
        assert!(error.is_of_all_ranks() && (exchange.rank() > 0 || error.is_divergence()), "{error}");
        exchange.barrier().unwrap();
        error.to_string()
    });
    assert!(said.iter().all(|said| said.contains("trained.safetensors")), "{said:?}");
}
