//! What cannot be trained, and what goes wrong on the way, is an error that names its place; batches are formed
//! without effect on the result.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use tunebench_dataset::Tokenized;
use tunebench_model::Tuning;
use tunebench_model::backend::BatchLayout;
use tunebench_model::backend::REFERENCE;
use tunebench_spec::plan::RecordedPlan;
use tunebench_spec::random::Stream;
use tunebench_spec::{Decoder, Init, Recipe, WeightPlan};
use tunebench_testkit::compare::{bits, flat};
use tunebench_testkit::examples::drawn;
use tunebench_testkit::golden::model;
use tunebench_testkit::methods::{ALL, adapted, full, lora};
use tunebench_testkit::record::param;
use tunebench_train::batches::{MicroBatch, Steps};
use tunebench_train::{Error, Job, load_result, steps, train};

fn recipe() -> Recipe {
    Recipe { learning_rate: 1e-2, epochs: 2.0, batch_size: 4, micro_batch_tokens: 30, ..Recipe::base() }
}

fn examples(count: usize) -> Vec<Tokenized> {
    drawn(Stream::new(4, &[]), count, 3, 12)
}

/// Trains in a folder that is gone afterwards: the result and the losses.
fn run(
    plan: impl Fn(&Decoder) -> RecordedPlan,
    examples: &[Tokenized],
    recipe: &Recipe,
) -> Result<(Tuning, Vec<f64>), Error> {
    let (shape, weights) = model("tiny");
    let tuning = Tuning::init(&shape, &weights, plan(&shape), 5)?;
    let dir = tempfile::tempdir().unwrap();
    let job = Job {
        arm: "arm",
        candidate: "",
        shape: &shape,
        weights,
        tuning,
        examples: &examples,
        held_out: &[],
        recipe,
        seed: 9,
        backend: REFERENCE,
        dir: dir.path(),
        until: None,
    };
    train(job, &mut |_| ControlFlow::Continue(()))?;
    Ok((load_result(dir.path(), &shape)?, steps(dir.path())?.iter().map(|s| s.loss).collect()))
}

fn all_linear(shape: &Decoder) -> RecordedPlan {
    adapted(shape, &ALL, lora, 0.0)
}

#[test]
fn nothing_to_learn_is_refused() {
    let frozen = run(|_| RecordedPlan::default(), &examples(4), &recipe()).unwrap_err();
    assert!(matches!(frozen, Error::NothingTrained), "{frozen}");
    let mut unlabelled = examples(4);
    unlabelled.iter_mut().for_each(|e| e.is_label.fill(false));
    let error = run(all_linear, &unlabelled, &recipe()).unwrap_err();
    assert!(matches!(error, Error::NoLabels), "{error}");
    assert!(matches!(run(all_linear, &[], &recipe()).unwrap_err(), Error::NoLabels));
}

#[test]
fn an_example_without_labels_changes_no_number() {
    // Whole batches without a label, too: batches of one.
    let mut with = examples(6);
    with.iter_mut().step_by(2).for_each(|e| e.is_label.fill(false));
    let recipe = Recipe { batch_size: 1, ..recipe() };
    let (result, losses) = run(all_linear, &with, &recipe).unwrap();
    assert_eq!(losses.len(), 12);
    assert_eq!(losses.iter().filter(|loss| **loss == 0.0).count(), 6);
    assert!(result.values().values().all(|t| flat(t).iter().all(|v| v.is_finite())));
}

#[test]
fn training_that_diverges_says_at_which_step() {
    let recipe = Recipe { learning_rate: 1e30, max_grad_norm: 0.0, ..recipe() };
    for plan in [full, all_linear] {
        let error = run(plan, &examples(8), &recipe).unwrap_err();
        assert!(matches!(error, Error::Diverged { step: 2, .. } | Error::BadGradient { step: 2, .. }), "{error}");
    }
}

#[test]
fn a_parameter_that_its_maths_does_not_use_is_named() {
    let plan = |shape: &Decoder| {
        let mut recorded = adapted(shape, &["v_proj"], lora, 0.0);
        for plan in recorded.plan.weights.values_mut() {
            if let WeightPlan::Adapted { params } = plan {
                params.push(param("forgotten", &[2], Init::Zeros));
            }
        }
        recorded
    };
    let error = run(plan, &examples(4), &recipe()).unwrap_err().to_string();
    assert!(error.contains("layers.0.self_attn.v_proj.forgotten"), "{error}");
}

#[test]
fn a_learning_rate_of_its_own_holds_a_parameter_still() {
    let plan = |shape: &Decoder| {
        let mut recorded = all_linear(shape);
        for plan in recorded.plan.weights.values_mut() {
            if let WeightPlan::Adapted { params } = plan {
                params[0].lr_scale = 0.0;
            }
        }
        recorded
    };
    let (shape, weights) = model("tiny");
    let begin = Tuning::init(&shape, &weights, plan(&shape), 5).unwrap();
    let (result, _) = run(plan, &examples(8), &recipe()).unwrap();
    for (name, value) in result.values() {
        let is_same = bits(value) == bits(&begin.values()[name]);
        assert_eq!(is_same, name.ends_with("lora_A"), "{name}");
    }
}

#[test]
fn the_size_of_micro_batches_has_no_effect_on_the_result() {
    let plan = |shape: &Decoder| adapted(shape, &ALL, lora, 0.2);
    let losses = |micro_batch_tokens| run(plan, &examples(10), &Recipe { micro_batch_tokens, ..recipe() }).unwrap().1;
    let whole = losses(10_000);
    for (found, expected) in losses(1).iter().zip(&whole) {
        assert!((found / expected - 1.0).abs() < 1e-5, "{found} for {expected}");
    }
}

#[test]
fn an_epoch_takes_every_example_once_in_micro_batches_that_fit() {
    let (examples, recipe) = (examples(11), recipe());
    let mut plan = Steps::new(&examples, &recipe, 1, BatchLayout::Padded);
    assert_eq!(plan.total, 6);
    let mut orders = vec![];
    for epoch in 0..2 {
        let (mut seen, mut order) = (BTreeSet::new(), vec![]);
        for step in 0..3 {
            let micro_batches = plan.step(epoch * 3 + step);
            assert_eq!(
                micro_batches,
                Steps::new(&examples, &recipe, 1, BatchLayout::Padded).step(epoch * 3 + step),
                "asked for alone"
            );
            let indices: BTreeSet<u64> = micro_batches.iter().flat_map(|p| p.step_indices.clone()).collect();
            assert_eq!(indices.len(), if step == 2 { 3 } else { 4 });
            for micro_batch in &micro_batches {
                let longest = micro_batch.examples.iter().map(|&i| examples[i].tokens.len()).max().unwrap();
                assert!(micro_batch.examples.len() == 1 || micro_batch.examples.len() * longest <= 30);
                seen.extend(micro_batch.examples.iter().copied());
                order.extend(micro_batch.examples.iter().copied());
            }
        }
        assert_eq!(seen.len(), 11);
        orders.push(order);
    }
    assert_ne!(orders[0], orders[1], "another order in another epoch");
}

#[test]
fn micro_batches_make_room_for_virtual_tokens_and_steps_stay() {
    let (examples, recipe) = (examples(11), recipe());
    for (layout, count) in [(BatchLayout::Padded, 5), (BatchLayout::Packed, 5), (BatchLayout::Packed, 40)] {
        let [mut plain, mut prefixed] = [0, count].map(|n| Steps::new(&examples, &recipe, 1, layout).with_prefix(n));
        for step in 0..plain.total {
            let (micro_batches, longer) = (plain.step(step), prefixed.step(step));
            let all = |micro_batches: &[MicroBatch]| -> BTreeSet<(usize, u64)> {
                let rows =
                    micro_batches.iter().flat_map(|p| p.examples.iter().copied().zip(p.step_indices.iter().copied()));
                rows.collect()
            };
            assert_eq!(all(&micro_batches), all(&longer), "{layout:?}, prefix {count}: what a step consists of");
            for micro_batch in &longer {
                let lengths = micro_batch.examples.iter().map(|&i| count + examples[i].tokens.len());
                let tokens = match layout {
                    BatchLayout::Padded => micro_batch.examples.len() * lengths.max().unwrap(),
                    BatchLayout::Packed => lengths.sum(),
                };
                assert!(micro_batch.examples.len() == 1 || tokens <= 30, "{layout:?}, prefix {count}: {tokens} tokens");
            }
        }
    }
}
