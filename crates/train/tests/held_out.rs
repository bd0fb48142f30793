//! Held-out losses of a training: when they are measured, what they decide, and that no stop or kill changes any of it.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;

use tunebench_dataset::Tokenized;
use tunebench_model::Tuning;
use tunebench_model::backend::{Backend, FAST, Parts, REFERENCE};
use tunebench_spec::plan::RecordedPlan;
use tunebench_spec::random::Stream;
use tunebench_spec::records::{GENERAL, HELD_OUT};
use tunebench_spec::{Decoder, LossLog, Recipe, Schedule, StepLog, VirtualKind};
use tunebench_testkit::compare::bits;
use tunebench_testkit::golden::model;
use tunebench_testkit::methods::{ALL, adapted, behind, frozen, full, lora};
use tunebench_train::{
    Error, HeldOut, Job, OnProgress, Outcome, Progress, kept_step, load_result, losses, measure, steps, train,
};

/// Twelve steps; measured after 2, 4, …, 12; checkpoints after 5 and 10.
fn recipe() -> Recipe {
    Recipe {
        learning_rate: 4e-2,
        epochs: 3.0,
        batch_size: 3,
        schedule: Schedule::Constant,
        micro_batch_tokens: 24,
        checkpoint_steps: 5,
        eval_steps: 2,
        ..Recipe::base()
    }
}

/// As the rows held out share a part of what the others are made of, they are learned better first and then worse.
fn best() -> Recipe {
    Recipe { load_best_model_at_end: true, ..recipe() }
}

fn early() -> Recipe {
    Recipe { early_stopping_patience: 2, ..best() }
}

/// Examples whose every token is drawn from a few: what is learned of them is which those are.
fn examples(count: usize, seed: u64, from: std::ops::Range<u64>) -> Vec<Tokenized> {
    let mut stream = Stream::new(seed, &[2]);
    let example = |_| {
        let length = 4 + stream.below(8) as usize;
        let tokens = (0..length).map(|_| (from.start + stream.below(from.end - from.start)) as u32).collect();
        Tokenized { tokens, is_label: (0..length).map(|i| i >= 2).collect() }
    };
    (0..count).map(example).collect()
}

/// What is trained, by which backend, and how.
#[derive(Clone)]
struct Case {
    name: &'static str,
    backend: &'static dyn Backend,
    plan: fn(&Decoder) -> RecordedPlan,
    recipe: Recipe,
}

fn lora_everywhere(shape: &Decoder) -> RecordedPlan {
    adapted(shape, &ALL, lora, 0.1)
}

impl Case {
    fn new(name: &'static str, recipe: Recipe) -> Self {
        Self { name, backend: FAST, plan: lora_everywhere, recipe }
    }

    fn start(&self) -> Parts<'static> {
        let (shape, weights) = model("tiny");
        let tuning = Tuning::init(&shape, &weights, (self.plan)(&shape), 5).unwrap();
        Parts { shape: Box::leak(Box::new(shape)), weights, tuning }
    }

    fn run(&self, dir: &Path, until: Option<u64>, on_progress: &mut OnProgress<'_>) -> Result<Outcome, Error> {
        let (held_out, general) = (examples(5, 8, 3..60), examples(4, 9, 3..96));
        self.run_with(dir, &sets(&held_out, &general), until, on_progress)
    }

    fn run_with(
        &self,
        dir: &Path,
        held_out: &[HeldOut<'_>],
        until: Option<u64>,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<Outcome, Error> {
        let Parts { shape, weights, tuning } = self.start();
        let (arm, candidate, seed) = ("arm", "r=8", 9);
        let (examples, recipe, backend) = (&examples(11, 1, 3..40), &self.recipe, self.backend);
        let job = Job { arm, candidate, shape, weights, tuning, examples, held_out, recipe, seed, backend, dir, until };
        train(job, on_progress)
    }

    fn whole(&self) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(self.run(dir.path(), None, &mut on).unwrap(), Outcome::Finished, "{}", self.name);
        dir
    }
}

fn on(_: Progress<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn sets<'a>(held_out: &'a Vec<Tokenized>, general: &'a Vec<Tokenized>) -> [HeldOut<'a>; 2] {
    [
        HeldOut { set: HELD_OUT, set_hash: "one", examples: held_out, bytes: 70 },
        HeldOut { set: GENERAL, set_hash: "other", examples: general, bytes: 50 },
    ]
}

/// All that a run leaves, but for the seconds.
fn left(dir: &Path) -> (Vec<StepLog>, BTreeMap<PathBuf, Vec<u8>>) {
    let log = steps(dir).unwrap().into_iter().map(|s| StepLog { seconds: 0.0, ..s }).collect();
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true => folders.push(path),
                false => drop(found.insert(path.strip_prefix(dir).unwrap().to_owned(), fs::read(&path).unwrap())),
            }
        }
    }
    found.remove(Path::new("steps.jsonl")).unwrap();
    (log, found)
}

fn of(set: &str, lines: &[LossLog]) -> Vec<LossLog> {
    lines.iter().filter(|line| line.set == set).cloned().collect()
}

#[test]
fn losses_are_measured_every_so_many_steps_and_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let case = Case::new("lora", Recipe { eval_steps: 5, ..recipe() });
    let mut heard = vec![];
    let mut on_progress = |progress: Progress<'_>| {
        heard.push(match progress {
            Progress::Step(line) => (line.step, "step".to_owned()),
            Progress::Receipt(receipt) => (receipt.step, "step".to_owned()),
            Progress::Loss(line) => (line.step, line.set.clone()),
        });
        ControlFlow::Continue(())
    };
    case.run(dir.path(), None, &mut on_progress).unwrap();
    let lines = losses(dir.path()).unwrap();
    let expected: Vec<_> = [5, 10, 12].into_iter().flat_map(|s| [(s, HELD_OUT), (s, GENERAL)]).collect();
    assert_eq!(lines.iter().map(|line| (line.step, &*line.set)).collect::<Vec<_>>(), expected);
    heard.retain(|(_, what)| what != "step");
    assert_eq!(heard.iter().map(|(step, set)| (*step, &**set)).collect::<Vec<_>>(), expected);
    for line in &lines {
        let is_held_out = line.set == HELD_OUT;
        let (bytes, hash) = if is_held_out { (70, "one") } else { (50, "other") };
        let same = (&*line.arm, &*line.candidate, line.seed, line.bytes, &*line.set_hash);
        assert_eq!(same, ("arm", "r=8", 9, bytes, hash));
        let by_hand = line.loss * line.tokens as f64 / 2f64.ln() / bytes as f64;
        assert!((line.bits_per_byte / by_hand - 1.0).abs() < 1e-12);
        assert_eq!(line.is_final, line.step == 12);
    }
    // Nothing measured, nothing changed.
    let silent = tempfile::tempdir().unwrap();
    case.run_with(silent.path(), &[], None, &mut on).unwrap();
    assert_eq!(left(silent.path()).0, left(dir.path()).0);
    assert_eq!(kept_step(silent.path()).unwrap(), 12);
    assert!(losses(silent.path()).unwrap().is_empty());
}

/// The result opened again has the loss that the log says, and the base one of its own.
#[test]
fn models_that_are_not_in_training_are_measured_alike() {
    let (held_out, general) = (examples(5, 8, 3..60), examples(4, 9, 3..96));
    let sets = sets(&held_out, &general);
    let prefix = |shape: &Decoder| behind(frozen(shape), shape, VirtualKind::KeysValues, false);
    for (name, plan) in [("lora", lora_everywhere as fn(&Decoder) -> RecordedPlan), ("ft", full), ("prefix", prefix)] {
        for backend in [FAST, REFERENCE] {
            let case = Case { name, backend, plan, recipe: recipe() };
            let dir = case.whole();
            let (shape, weights) = model("tiny");
            let measured = |tuning: Tuning, micro_batch_tokens: usize| {
                let parts = Parts { shape: &shape, weights: weights.clone(), tuning };
                measure(parts, backend, &sets, micro_batch_tokens).unwrap()
            };
            let result = load_result(dir.path(), &shape).unwrap();
            let lines = losses(dir.path()).unwrap();
            for (set, found) in sets.iter().zip(measured(result.clone(), 24)) {
                let line = lines.iter().find(|line| line.set == set.set && line.is_final).unwrap();
                let (arm, candidate) = (line.arm.clone(), line.candidate.clone());
                let again = LossLog { arm, candidate, seed: 9, is_final: true, ..set.line(12, found) };
                assert_eq!(*line, again, "{name}, {}", backend.name());
            }
            let (whole, single) = (measured(result, 10_000), measured(Tuning::none(), 1));
            let base = measured(Tuning::none(), 24);
            for ((whole, base), single) in whole.iter().zip(&base).zip(&single) {
                let apart = (whole.nats / base.nats - 1.0).abs();
                assert!(apart > 1e-3, "{name}, {}: it has hardly learned", backend.name());
                match backend.name() == FAST.name() {
                    true => assert_eq!(base.nats.to_bits(), single.nats.to_bits(), "an example at a time"),
                    false => assert!((base.nats / single.nats - 1.0).abs() < 1e-6),
                }
            }
        }
    }
}

/// Cases of which each decides by the held-out loss in another way.
fn cases() -> [Case; 4] {
    [
        Case::new("measured", recipe()),
        Case::new("best", best()),
        Case::new("early", early()),
        Case { plan: full, backend: REFERENCE, ..Case::new("early, ft, reference", early()) },
    ]
}

/// Runs until a number of steps and losses are heard of, then breaks off as a kill would: nothing is tidied up.
fn killed_after(case: &Case, dir: &Path, until: Option<u64>, last: usize) -> bool {
    let mut heard = 0;
    let died = catch_unwind(AssertUnwindSafe(|| {
        let mut on_progress = |_: Progress<'_>| {
            heard += 1;
            assert_ne!(heard, last, "killed");
            ControlFlow::Continue(())
        };
        case.run(dir, until, &mut on_progress)
    }));
    died.is_err()
}

#[test]
fn the_best_state_is_the_result_and_patience_ends_a_training() {
    for backend in [FAST, REFERENCE] {
        let [best, early] = [best(), early()].map(|recipe| Case { backend, ..Case::new("best", recipe) });
        let whole = best.whole();
        let lines = losses(whole.path()).unwrap();
        let held_out = of(HELD_OUT, &lines);
        let least = held_out.iter().min_by(|a, b| a.loss.total_cmp(&b.loss)).unwrap();
        assert!(least.step < 12, "the rows are to be learned worse at the end: {held_out:?}");
        let kept = kept_step(whole.path()).unwrap();
        assert_eq!(kept, least.step);
        assert!(lines.iter().all(|line| line.is_final == (line.step == kept)));
        assert!(!whole.path().join("best").exists() && !whole.path().join("checkpoint").exists());

        // The rate is constant, so a training that ends there has the same steps.
        let short = Case { recipe: Recipe { max_steps: kept as usize, ..recipe() }, ..best.clone() }.whole();
        let result = |dir: &Path| left(dir).1.into_iter().filter(|(p, _)| p.starts_with("result")).collect::<Vec<_>>();
        assert_eq!(result(whole.path()), result(short.path()));

        let early = early.whole();
        let ended = steps(early.path()).unwrap().len() as u64;
        let end = held_out.windows(2).scan((f64::INFINITY, 0), |(least, waited), pair| {
            *waited = if pair[0].loss < *least { 0 } else { *waited + 1 };
            *least = least.min(pair[0].loss);
            Some((pair[0].step, *waited))
        });
        let expected = end.into_iter().find(|(_, waited)| *waited == 2).unwrap().0;
        assert!(expected < 12);
        assert_eq!((ended, kept_step(early.path()).unwrap()), (expected, kept));
        assert_eq!(result(early.path()), result(whole.path()));
    }
}

#[test]
fn killed_runs_measure_and_decide_as_one_that_was_not() {
    for case in cases() {
        let whole = case.whole();
        let expected = left(whole.path());
        let mut last = 1;
        loop {
            let dir = tempfile::tempdir().unwrap();
            let is_killed = killed_after(&case, dir.path(), None, last);
            if is_killed {
                // And once more on the way.
                killed_after(&case, dir.path(), None, 4);
            }
            assert_eq!(case.run(dir.path(), None, &mut on).unwrap(), Outcome::Finished);
            assert_eq!(left(dir.path()), expected, "{}: killed after {last} lines", case.name);
            if !is_killed {
                break;
            }
            last += 1;
        }
        assert!(last > 12, "{}", case.name);
    }
}

#[test]
fn a_caller_may_stop_at_a_step_or_at_a_loss() {
    for case in cases() {
        let expected = left(case.whole().path());
        for last in 1..18 {
            let dir = tempfile::tempdir().unwrap();
            let mut heard = 0;
            let mut stop = |_: Progress<'_>| {
                heard += 1;
                if heard == last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            case.run(dir.path(), None, &mut stop).unwrap();
            case.run(dir.path(), None, &mut on).unwrap();
            assert_eq!(left(dir.path()), expected, "{}: stopped after {last} lines", case.name);
        }
    }
}

#[test]
fn a_training_in_rungs_is_one_training() {
    for case in cases() {
        let whole = case.whole();
        let (expected_steps, mut expected) = left(whole.path());
        expected.remove(Path::new("losses.jsonl"));
        let dir = tempfile::tempdir().unwrap();
        let ended = expected_steps.len() as u64;
        // 3 and 7 are not among the measured steps; 4 is.
        for until in [3, 4, 7].into_iter().filter(|until| *until < ended) {
            assert!(killed_after(&case, dir.path(), Some(until), 1), "{}: until {until}", case.name);
            assert_eq!(case.run(dir.path(), Some(until), &mut on).unwrap(), Outcome::Stopped);
            let measured = losses(dir.path()).unwrap();
            assert_eq!(measured.iter().filter(|line| line.step == until).count(), 2, "{}", case.name);
            assert!(measured.iter().all(|line| !line.is_final && line.step <= until));
            assert_eq!(steps(dir.path()).unwrap().len() as u64, until);
            // Again, and for an earlier rung: there is nothing to do.
            let mut never = |progress: Progress<'_>| panic!("{progress:?}");
            for done in [until, 3] {
                assert_eq!(case.run(dir.path(), Some(done), &mut never).unwrap(), Outcome::Stopped);
            }
        }
        assert_eq!(case.run(dir.path(), Some(99), &mut on).unwrap(), Outcome::Finished, "beyond its end");
        let (found_steps, mut found) = left(dir.path());
        found.remove(Path::new("losses.jsonl"));
        assert_eq!((found_steps, found), (expected_steps, expected), "{}", case.name);
        let mut measured = losses(dir.path()).unwrap();
        measured.retain(|line| ![3, 7].contains(&line.step));
        assert_eq!(measured, losses(whole.path()).unwrap(), "{}", case.name);
    }
}

#[test]
fn a_rung_that_was_passed_without_a_measurement_is_refused() {
    let case = Case::new("lora", recipe());
    let dir = tempfile::tempdir().unwrap();
    case.run(dir.path(), Some(6), &mut on).unwrap();
    let error = case.run(dir.path(), Some(5), &mut on).unwrap_err().to_string();
    assert!(error.contains("6 steps are done") && error.contains("after step 5"), "{error}");
}

#[test]
fn what_cannot_be_measured_or_decided_is_refused_before_a_step() {
    let (one, other, unlabelled) = (
        examples(5, 8, 3..60),
        examples(4, 9, 3..96),
        vec![Tokenized { tokens: vec![3, 4], is_label: vec![false; 2] }],
    );
    let [held_out, general] = sets(&one, &other);
    let nothing = HeldOut { examples: &unlabelled, ..held_out };
    for (recipe, sets, expected) in [
        (best(), vec![general], "the set `held_out`, which this training does not have"),
        (Recipe { load_best_model_at_end: false, ..early() }, vec![], "nothing is held out"),
        (recipe(), vec![nothing], "`held_out` cannot be measured: it has no label"),
        (recipe(), vec![HeldOut { bytes: 0, ..held_out }], "no byte"),
        (recipe(), vec![held_out, general, held_out], "another one has this name"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut never = |progress: Progress<'_>| panic!("{progress:?}");
        let error = Case::new("refused", recipe).run_with(dir.path(), &sets, None, &mut never).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let (shape, weights) = model("tiny");
    let parts = Parts { shape: &shape, weights, tuning: Tuning::none() };
    assert!(matches!(measure(parts, FAST, &[nothing], 24).unwrap_err(), Error::HeldOut { .. }));
}

#[test]
fn a_best_state_that_is_gone_is_an_error_that_names_it() {
    let case = Case::new("best", best());
    let dir = tempfile::tempdir().unwrap();
    case.run(dir.path(), Some(11), &mut on).unwrap();
    let kept = dir.path().join("best");
    assert!(kept.join("params.safetensors").exists());
    fs::remove_dir_all(kept).unwrap();
    let error = case.run(dir.path(), None, &mut on).unwrap_err().to_string();
    assert!(error.contains("best") && error.contains("held-out loss is the least"), "{error}");
}

#[test]
fn losses_of_other_examples_are_not_gone_on_with() {
    let case = Case::new("lora", recipe());
    let dir = tempfile::tempdir().unwrap();
    case.run(dir.path(), Some(3), &mut on).unwrap();
    let other = examples(5, 8, 3..61);
    let [set, _] = sets(&other, &other);
    let held_out = [HeldOut { set_hash: "another", ..set }];
    let error = case.run_with(dir.path(), &held_out, None, &mut on).unwrap_err().to_string();
    assert!(error.contains("losses.jsonl") && error.contains("`held_out` are those of other examples"), "{error}");
}

/// Tells this test binary, run again as a child, where to train.
const FOLDER: &str = "TUNEBENCH_TRAIN_TEST_FOLDER";
const KILL: &str = "TUNEBENCH_KILL_AT_WRITE";

/// In two rungs, with a best state before the end.
fn in_the_child() -> Case {
    Case::new("child", Recipe { checkpoint_steps: 0, ..early() })
}

fn train_in_the_child(dir: &Path) {
    in_the_child().run(dir, Some(3), &mut on).unwrap();
    in_the_child().run(dir, None, &mut on).unwrap();
}

fn child(dir: &Path, kill: Option<&str>) -> bool {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "the_child_trains"]).env(FOLDER, dir).envs(kill.map(|kill| (KILL, kill)));
    command.output().unwrap().status.success()
}

/// No test by itself, but what the next one runs as a child.
#[test]
fn the_child_trains() {
    let Some(dir) = std::env::var_os(FOLDER) else { return };
    train_in_the_child(Path::new(&dir));
}

#[test]
fn a_kill_at_any_write_changes_nothing() {
    let whole = tempfile::tempdir().unwrap();
    train_in_the_child(whole.path());
    let expected = left(whole.path());
    assert!(kept_step(whole.path()).unwrap() < expected.0.len() as u64, "a state before the last is kept");
    for number in 1.. {
        let dir = tempfile::tempdir().unwrap();
        let kill = format!("{number}:{}", ["before", "torn", "after"][number % 3]);
        let is_over = child(dir.path(), Some(&kill));
        train_in_the_child(dir.path());
        assert_eq!(left(dir.path()), expected, "{kill}");
        if is_over {
            assert!(number > 40, "only {number} writes");
            break;
        }
    }
}

#[test]
fn a_best_state_opened_again_has_the_loss_that_chose_it() {
    let case = Case::new("best", best());
    let dir = case.whole();
    let (shape, weights) = model("tiny");
    let tuning = load_result(dir.path(), &shape).unwrap();
    let begin = case.start().tuning;
    assert!(tuning.values().iter().any(|(name, value)| bits(value) != bits(&begin.values()[name])));
    let held_out = examples(5, 8, 3..60);
    let [set, _] = sets(&held_out, &held_out);
    let found = measure(Parts { shape: &shape, weights, tuning }, FAST, &[set], 24).unwrap()[0];
    let line = losses(dir.path()).unwrap().into_iter().find(|line| line.is_final && line.set == HELD_OUT).unwrap();
    assert_eq!(set.line(0, found).loss, line.loss);
}
