//! The gradient receipt: that everything moves that is to, what does not is named, and a run that goes on draws up the same.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use tunebench_dataset::Tokenized;
use tunebench_model::Tuning;
use tunebench_model::backend::{Backend, FAST, REFERENCE};
use tunebench_spec::plan::{RecordedPlan, SiteGraphs};
use tunebench_spec::random::Stream;
use tunebench_spec::{GradientReceipt, Init, Op, ParamSpec, Recipe, VirtualKind};
use tunebench_testkit::examples::drawn;
use tunebench_testkit::golden::model;
use tunebench_testkit::methods::{adapted, behind, dora, frozen, full, ia3, lora};
use tunebench_testkit::record::{Record, param};
use tunebench_train::{Error, Job, Outcome, Progress, receipt, train};

/// Four steps, the first at a learning rate of zero, a checkpoint after each.
fn recipe() -> Recipe {
    Recipe { learning_rate: 1e-2, epochs: 1.0, batch_size: 3, warmup_steps: 1, checkpoint_steps: 1, ..Recipe::base() }
}

fn examples() -> Vec<Tokenized> {
    drawn(Stream::new(1, &[2]), 12, 4, 8)
}

/// Trains until `stop` steps are made, all without it; what was told.
fn run(
    dir: &Path,
    backend: &dyn Backend,
    plan: &RecordedPlan,
    recipe: &Recipe,
    stop: Option<u64>,
) -> Result<(Outcome, Vec<GradientReceipt>), Error> {
    let (shape, weights) = model("tiny");
    let tuning = Tuning::init(&shape, &weights, plan.clone(), 5).unwrap();
    let examples = examples();
    let mut told = Vec::new();
    let job = Job {
        arm: "arm",
        candidate: "",
        shape: &shape,
        weights,
        tuning,
        examples: &examples,
        held_out: &[],
        recipe,
        seed: 5,
        backend,
        dir,
        until: None,
    };
    let outcome = train(job, &mut |progress| match progress {
        Progress::Step(step) if Some(step.step) == stop => ControlFlow::Break(()),
        Progress::Receipt(receipt) => {
            told.push(receipt.clone());
            ControlFlow::Continue(())
        }
        Progress::Step(_) | Progress::Loss(_) => ControlFlow::Continue(()),
    })?;
    Ok((outcome, told))
}

fn trained(backend: &dyn Backend, plan: &RecordedPlan, recipe: &Recipe) -> GradientReceipt {
    let dir = tempfile::tempdir().unwrap();
    let (outcome, told) = run(dir.path(), backend, plan, recipe, None).unwrap();
    assert_eq!((outcome, told.len()), (Outcome::Finished, 1));
    let found = receipt(dir.path()).unwrap().unwrap();
    // At the end the loss is known, and what moved since.
    let now = GradientReceipt { loss_after: None, ..found.clone() };
    assert_eq!((told[0].step, told[0].moved, &told[0].arm), (found.step, now.moved, &"arm".to_owned()));
    found
}

#[test]
fn everything_moves_in_every_method_on_both_engines() {
    let (shape, _) = model("tiny");
    let all = shape.weights().len() as u64;
    let prefix = behind(frozen(&shape), &shape, VirtualKind::KeysValues, false);
    for backend in [REFERENCE, FAST] {
        for (what, plan, tensors, first, frozen) in [
            ("full", full(&shape), all, all, 0),
            // A has no gradient while B is zero.
            ("LoRA", adapted(&shape, &["q_proj", "down_proj"], lora, 0.1), 8, 4, all),
            ("DoRA", adapted(&shape, &["q_proj"], dora, 0.0), 6, 4, all),
            ("IA3", adapted(&shape, &["k_proj", "down_proj"], ia3, 0.0), 4, 4, all),
            ("prefix", prefix.clone(), 1, 1, all),
        ] {
            let found = trained(backend, &plan, &recipe());
            let what = format!("{what}, {backend:?}: {found:?}");
            assert!(found.passed && found.still.is_empty() && found.frozen_unchanged, "{what}");
            assert_eq!(
                (found.tensors, found.gradients, found.moved, found.step),
                (tensors, tensors, tensors, 3),
                "{what}"
            );
            assert_eq!((found.gradients_first, found.frozen), (first, frozen), "{what}");
            assert_ne!(found.loss_before.unwrap(), found.loss_after.unwrap(), "{what}");
        }
    }
}

/// LoRA with a parameter more, which begins where ReLU has no slope.
fn with_idle_parameter(weight: [usize; 2], _: f64) -> (Vec<ParamSpec>, SiteGraphs) {
    let (mut params, mut graphs) = lora(weight, 0.0);
    params.push(param("idle", &[weight[0]], Init::Ones));
    let mut record = Record::new(weight, &params);
    for node in &graphs.forward.nodes {
        record.op(node.op.clone(), &node.inputs);
    }
    let idle = record.param("idle");
    let below = record.op(Op::Offset { by: -2.0 }, &[idle]);
    let nothing = record.op(Op::Relu, &[below]);
    let sum = record.op(Op::Add, &[graphs.forward.output, nothing]);
    graphs.forward = record.finish(sum);
    (params, graphs)
}

#[test]
fn what_gets_no_gradient_is_named() {
    let (shape, _) = model("tiny");
    let plan = adapted(&shape, &["q_proj", "v_proj", "o_proj"], with_idle_parameter, 0.0);
    for backend in [REFERENCE, FAST] {
        // Decay moves what has no gradient; that is no learning.
        for (weight_decay, moved) in [(0.0, 12), (0.1, 18)] {
            let found = trained(backend, &plan, &Recipe { weight_decay, ..recipe() });
            assert!(!found.passed, "{found:?}");
            assert_eq!((found.tensors, found.gradients, found.moved), (18, 12, moved), "{backend:?}: {found:?}");
            let expected = "model.layers.0.self_attn.o_proj.idle, model.layers.0.self_attn.q_proj.idle, ";
            assert!(found.still.starts_with(expected) && found.still.ends_with(" and 1 more"), "{}", found.still);
        }
    }
}

#[test]
fn a_rate_of_nothing_moves_nothing() {
    let (shape, _) = model("tiny");
    let plan = adapted(&shape, &["q_proj"], ia3, 0.0);
    let recipe = Recipe { learning_rate: 1e-12, weight_decay: 0.0, ..recipe() };
    let found = trained(FAST, &plan, &recipe);
    assert_eq!((found.gradients, found.moved, found.passed), (2, 0, false), "{found:?}");
    assert_eq!(found.loss_before, found.loss_after);
    assert!(found.still.contains("q_proj.ia3_l"));
}

#[test]
fn a_shorter_training_has_one_too() {
    let (shape, _) = model("tiny");
    let plan = adapted(&shape, &["q_proj"], ia3, 0.0);
    let found = trained(FAST, &plan, &Recipe { max_steps: 2, ..recipe() });
    assert!(found.passed && found.step == 2, "{found:?}");
}

#[test]
fn a_run_that_goes_on_draws_up_the_same() {
    let (shape, _) = model("tiny");
    let plan = adapted(&shape, &["q_proj", "up_proj"], lora, 0.1);
    for backend in [REFERENCE, FAST] {
        let expected = trained(backend, &plan, &recipe());
        for stop in 1..=3 {
            let dir = tempfile::tempdir().unwrap();
            let (outcome, told) = run(dir.path(), backend, &plan, &recipe(), Some(stop)).unwrap();
            assert_eq!((outcome, told.len()), (Outcome::Stopped, usize::from(stop == 3)));
            let (outcome, again) = run(dir.path(), backend, &plan, &recipe(), None).unwrap();
            assert_eq!((outcome, again.len()), (Outcome::Finished, usize::from(stop < 3)));
            assert_eq!(receipt(dir.path()).unwrap().unwrap(), expected, "{backend:?}, stopped at {stop}");
        }
    }
}

#[test]
fn a_run_from_before_receipts_goes_on_without_one() {
    let (shape, _) = model("tiny");
    let plan = adapted(&shape, &["q_proj"], lora, 0.0);
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), FAST, &plan, &recipe(), Some(2)).unwrap();
    let states = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path().join("state.json"));
    let state = states.filter(|path| path.is_file()).last().unwrap();
    fs::write(state, r#"{"steps":2}"#).unwrap();
    let (outcome, told) = run(dir.path(), FAST, &plan, &recipe(), None).unwrap();
    assert_eq!((outcome, told.len()), (Outcome::Finished, 0));
    assert_eq!(receipt(dir.path()).unwrap(), None);
}
