//! A run that was killed and goes on yields the bytes of one that was not.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use tunebench_dataset::Tokenized;
use tunebench_model::Tuning;
use tunebench_model::backend::{Backend, FAST, REFERENCE};
use tunebench_spec::plan::RecordedPlan;
use tunebench_spec::random::Stream;
use tunebench_spec::{Decoder, Recipe, StepLog};
use tunebench_testkit::compare::bits;
use tunebench_testkit::examples::drawn;
use tunebench_testkit::golden::model;
use tunebench_testkit::methods::{ALL, adapted, dora, full, lora};
use tunebench_train::{Error, Job, Outcome, Progress, kept_step, load_result, losses, steps, train};

/// What is trained, and by which backend.
type Plan<'a> = (&'static dyn Backend, &'a dyn Fn(&Decoder) -> RecordedPlan);

/// Three epochs of four steps; checkpoints after 3, 6, 9.
fn recipe() -> Recipe {
    Recipe {
        learning_rate: 1e-2,
        epochs: 3.0,
        batch_size: 3,
        warmup_steps: 2,
        weight_decay: 0.01,
        micro_batch_tokens: 24,
        checkpoint_steps: 3,
        ..Recipe::base()
    }
}

fn examples() -> Vec<Tokenized> {
    drawn(Stream::new(1, &[2]), 11, 4, 8)
}

fn run(
    dir: &Path,
    (backend, plan): Plan<'_>,
    on_step: &mut dyn FnMut(&StepLog) -> ControlFlow<()>,
) -> Result<Outcome, Error> {
    let (shape, weights) = model("tiny");
    let tuning = Tuning::init(&shape, &weights, plan(&shape), 5).unwrap();
    let (examples, recipe) = (examples(), recipe());
    let (shape, examples, recipe) = (&shape, &examples, &recipe);
    let job = Job {
        arm: "arm",
        candidate: "rate=1",
        shape,
        weights,
        tuning,
        examples,
        held_out: &[],
        recipe,
        seed: 9,
        backend,
        dir,
        until: None,
    };
    train(job, &mut |progress| match progress {
        Progress::Step(step) => on_step(step),
        Progress::Receipt(_) => ControlFlow::Continue(()),
        Progress::Loss(loss) => panic!("nothing is held out: {loss:?}"),
    })
}

/// Runs until step `last` is in the log, then breaks off as a kill would: nothing is tidied up.
fn killed_after(dir: &Path, plan: Plan<'_>, last: u64) {
    let died = catch_unwind(AssertUnwindSafe(|| {
        let mut on_step = |step: &StepLog| {
            assert_ne!(step.step, last, "killed");
            ControlFlow::Continue(())
        };
        run(dir, plan, &mut on_step)
    }));
    assert!(died.is_err());
}

fn to_the_end(dir: &Path, plan: Plan<'_>) -> Vec<u64> {
    let mut made = vec![];
    let mut on_step = |step: &StepLog| {
        made.push(step.step);
        ControlFlow::Continue(())
    };
    assert_eq!(run(dir, plan, &mut on_step).unwrap(), Outcome::Finished);
    made
}

/// All that a run leaves, but for the seconds.
fn left(dir: &Path) -> (Vec<StepLog>, BTreeMap<String, Vec<u32>>) {
    let log = steps(dir).unwrap().into_iter().map(|s| StepLog { seconds: 0.0, ..s }).collect();
    let result = load_result(dir, &model("tiny").0).unwrap();
    (log, result.values().iter().map(|(name, t)| (name.clone(), bits(t))).collect())
}

#[test]
fn killed_runs_yield_the_bytes_of_one_that_was_not() {
    let plans: [(&str, Plan<'_>); 6] = [
        ("lora", (FAST, &|shape| adapted(shape, &ALL, lora, 0.1))),
        ("dora", (FAST, &|shape| adapted(shape, &ALL, dora, 0.2))),
        ("ft", (FAST, &full)),
        ("lora, reference", (REFERENCE, &|shape| adapted(shape, &ALL, lora, 0.1))),
        ("dora, reference", (REFERENCE, &|shape| adapted(shape, &ALL, dora, 0.2))),
        ("ft, reference", (REFERENCE, &full)),
    ];
    for (name, plan) in plans {
        let whole = tempfile::tempdir().unwrap();
        assert_eq!(to_the_end(whole.path(), plan), (1..=12).collect::<Vec<_>>());
        let expected = left(whole.path());
        assert_eq!(expected.0.len(), 12);
        assert!(expected.0.iter().all(|line| (&*line.candidate, line.seed) == ("rate=1", 9)));
        assert_eq!(losses(whole.path()).unwrap(), [], "{name}: nothing is held out");
        assert_eq!(kept_step(whole.path()).unwrap(), 12, "{name}");

        let dir = tempfile::tempdir().unwrap();
        // Before the first checkpoint; between two; just after one; and in the last epoch.
        for last in [2, 5, 7, 11] {
            killed_after(dir.path(), plan, last);
        }
        assert_eq!(to_the_end(dir.path(), plan), [10, 11, 12], "{name}: goes on after the last checkpoint");
        assert_eq!(left(dir.path()), expected, "{name}");
        assert_eq!(to_the_end(dir.path(), plan), [] as [u64; 0], "{name}: a finished run is not repeated");
    }
}

#[test]
fn dropout_and_order_depend_on_the_seed() {
    let losses = |dropout: f64| {
        let dir = tempfile::tempdir().unwrap();
        to_the_end(dir.path(), (FAST, &|shape| adapted(shape, &ALL, lora, dropout)));
        left(dir.path()).0.iter().map(|s| s.loss).collect::<Vec<_>>()
    };
    assert_eq!(losses(0.1), losses(0.1));
    assert_ne!(losses(0.1), losses(0.0));
}

#[test]
fn what_a_kill_can_leave_in_the_folder_does_no_harm() {
    let plan: Plan<'_> = (FAST, &|shape| adapted(shape, &ALL, lora, 0.1));
    let whole = tempfile::tempdir().unwrap();
    to_the_end(whole.path(), plan);
    type Spoil = fn(&Path);
    let leftovers: [(&str, Spoil, u64); 4] = [
        (
            "a half-written checkpoint",
            |dir| {
                fs::create_dir(dir.join("checkpoint.new")).unwrap();
                fs::write(dir.join("checkpoint.new/trained.safetensors"), [1, 2, 3]).unwrap();
            },
            7,
        ),
        ("between two renames", |dir| fs::rename(dir.join("checkpoint"), dir.join("checkpoint.previous")).unwrap(), 7),
        (
            "a torn line",
            |dir| {
                let log = fs::read(dir.join("steps.jsonl")).unwrap();
                fs::write(dir.join("steps.jsonl"), &log[..log.len() - 9]).unwrap();
            },
            7,
        ),
        (
            "a result half-written",
            |dir| {
                fs::create_dir(dir.join("result.new")).unwrap();
                fs::write(dir.join("result.new/recorded.json"), "{").unwrap();
            },
            7,
        ),
    ];
    for (what, spoil, first) in leftovers {
        let dir = tempfile::tempdir().unwrap();
        killed_after(dir.path(), plan, 8);
        spoil(dir.path());
        assert_eq!(to_the_end(dir.path(), plan).first(), Some(&first), "{what}");
        assert_eq!(left(dir.path()), left(whole.path()), "{what}");
    }
    // A kill between the result and the end of its checkpoint.
    let dir = tempfile::tempdir().unwrap();
    killed_after(dir.path(), plan, 8);
    fs::rename(dir.path().join("checkpoint"), dir.path().join("aside")).unwrap();
    to_the_end(dir.path(), plan);
    fs::rename(dir.path().join("aside"), dir.path().join("checkpoint")).unwrap();
    assert_eq!(to_the_end(dir.path(), plan), [0; 0], "it is finished");
    assert!(!dir.path().join("checkpoint").exists(), "a finished training keeps no checkpoint");
    assert_eq!(left(dir.path()), left(whole.path()));
}

#[test]
fn a_caller_may_stop_and_go_on() {
    let plan: Plan<'_> = (FAST, &|shape| adapted(shape, &ALL, lora, 0.1));
    let whole = tempfile::tempdir().unwrap();
    to_the_end(whole.path(), plan);
    let dir = tempfile::tempdir().unwrap();
    let mut stop = |step: &StepLog| if step.step == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    assert_eq!(run(dir.path(), plan, &mut stop).unwrap(), Outcome::Stopped);
    assert_eq!(to_the_end(dir.path(), plan).first(), Some(&5), "no step is made twice");
    assert_eq!(left(dir.path()), left(whole.path()));
}

#[test]
fn a_damaged_checkpoint_is_an_error_that_names_the_file() {
    let plan: Plan<'_> = (FAST, &|shape| adapted(shape, &ALL, lora, 0.1));
    for (file, content) in [
        ("state.json", b"{\"steps\":".to_vec()),
        ("trained.safetensors", vec![0; 20]),
        ("moments.safetensors", vec![255; 20]),
    ] {
        let dir = tempfile::tempdir().unwrap();
        killed_after(dir.path(), plan, 4);
        fs::write(dir.path().join("checkpoint").join(file), content).unwrap();
        let error = run(dir.path(), plan, &mut |_| ControlFlow::Continue(())).unwrap_err().to_string();
        assert!(error.contains(file), "{error}");
    }
    // Of another plan: named by what is wrong, not trained on.
    let dir = tempfile::tempdir().unwrap();
    killed_after(dir.path(), plan, 4);
    let other: Plan<'_> = (FAST, &|shape| adapted(shape, &["q_proj"], lora, 0.1));
    let error = run(dir.path(), other, &mut |_| ControlFlow::Continue(())).unwrap_err().to_string();
    assert!(error.contains("plan"), "{error}");
}
