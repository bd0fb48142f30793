//! What a backend says of a loss that nothing is learned from: the same on both engines and in any micro-batches, and
//! nothing is changed by it. And what weight decay pulls at.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::collections::BTreeMap;

use tunebench_kernels::optim::adamw::AdamWParams;
use tunebench_model::backend::{
    ALL as BACKENDS, Backend, FAST, OptimizerStep, Parts, REFERENCE, Sequence, StepKey, Trainable,
};
use tunebench_model::{AdamWStates, Error, Tuning, Weights, tuning};
use tunebench_spec::decoder::{NormKind, Positions};
use tunebench_spec::plan::RecordedPlan;
use tunebench_spec::{Decoder, VirtualKind, WeightPlan};
use tunebench_testkit::golden::{FAMILIES, Rows, model};
use tunebench_testkit::methods::{ALL, adapted, behind, dora, frozen, full, lora};
use tunebench_testkit::values;

/// What is recorded for a model.
type Plan = fn(&Decoder) -> RecordedPlan;
/// A name, a plan, and whether something is dropped in training.
type Case = (&'static str, Plan, bool);

const CASES: [Case; 8] = [
    ("nothing trained", |_| RecordedPlan::default(), false),
    ("ft", full, false),
    ("lora", |shape| adapted(shape, &ALL, lora, 0.0), false),
    ("lora with dropout", |shape| adapted(shape, &ALL, lora, 0.3), true),
    ("dora with dropout", |shape| adapted(shape, &ALL, dora, 0.3), true),
    ("embeddings", |shape| behind(frozen(shape), shape, VirtualKind::Embeddings, true), false),
    ("keys and values", |shape| behind(frozen(shape), shape, VirtualKind::KeysValues, false), false),
    ("embeddings and ft", |shape| behind(full(shape), shape, VirtualKind::Embeddings, false), false),
];

const KEY: StepKey = StepKey { seed: 3, step: 5 };

/// A model with weights and values that bf16 holds exactly.
fn built(backend: &dyn Backend, shape: &Decoder, weights: &Weights, recorded: RecordedPlan) -> Box<dyn Trainable> {
    let tuning =
        if recorded.plan.weights.is_empty() { Tuning::none() } else { values::moved(shape, weights, recorded) };
    let (weights, tuning) = values::in_bf16(shape, weights, &tuning);
    backend.trainable(Parts { shape, weights, tuning }, AdamWStates::new(), false).unwrap()
}

fn cut<'a>(rows: &'a Rows, pieces: &[&[usize]]) -> Vec<Vec<Sequence<'a>>> {
    let sequence =
        |&row: &usize| Sequence { tokens: &rows.tokens[row], is_label: &rows.is_label[row], step_index: row as u64 };
    pieces.iter().map(|piece| piece.iter().map(sequence).collect()).collect()
}

fn gradients(model: &mut dyn Trainable) -> BTreeMap<String, Vec<u32>> {
    let mut found = BTreeMap::new();
    let bits = |gradient: &mut [f32]| gradient.iter().map(|g| g.to_bits()).collect();
    model.visit_gradients(&mut |name, gradient| drop(found.insert(name.to_owned(), bits(gradient)))).unwrap();
    found
}

fn params(model: &dyn Trainable) -> BTreeMap<String, Vec<f32>> {
    let named = model.params().into_iter().enumerate();
    named.map(|(i, (name, _))| (name, model.value(i).unwrap().into_owned())).collect()
}

#[test]
fn a_loss_is_the_same_on_both_engines_and_in_any_micro_batches() {
    tunebench_amx_emulator::install();
    for (folder, (name, recorded, drops)) in FAMILIES.into_iter().flat_map(|folder| CASES.map(|case| (folder, case))) {
        let (shape, weights) = model(folder);
        let weights = values::halved(&shape, &weights);
        let rows = Rows::of(folder);
        let labels: usize = rows.is_label.iter().flatten().filter(|label| **label).count();
        let tokens: usize = rows.tokens.iter().map(Vec::len).sum();
        let mut whole = BTreeMap::new();
        for backend in BACKENDS {
            let what = format!("{folder}, {name}, {}", backend.name());
            let mut model = built(backend, &shape, &weights, recorded(&shape));
            let totals = model.loss(&cut(&rows, &[&[0, 1, 2]])).unwrap();
            assert_eq!((totals.labels, totals.tokens), (labels, tokens as u64), "{what}");
            whole.insert(backend.name(), totals.loss);
            for pieces in [&[&[0_usize][..], &[1, 2]][..], &[&[0, 1], &[2]], &[&[0], &[1], &[2]]] {
                let found = model.loss(&cut(&rows, pieces)).unwrap().loss;
                match backend.name() == FAST.name() {
                    true => assert_eq!(found.to_bits(), totals.loss.to_bits(), "{what}, {pieces:?}"),
                    false => assert!((found / totals.loss - 1.0).abs() < 1e-6, "{what}, {pieces:?}"),
                }
            }
            let trained = model.accumulate(&cut(&rows, &[&[0, 1, 2]]), KEY).unwrap();
            let apart = (trained.loss / totals.loss - 1.0).abs();
            assert!(if drops { apart > 1e-4 } else { apart < 1e-6 }, "{what}: {apart} from what training says");
        }
        // Eight bits in every activation, as in fast.rs.
        let (fast, reference) = (whole[FAST.name()], whole[REFERENCE.name()]);
        assert!((fast / reference - 1.0).abs() < 5e-3, "{folder}, {name}: {fast} for {reference}");
    }
}

#[test]
fn measuring_changes_neither_gradients_nor_weights_nor_the_optimizer() {
    tunebench_amx_emulator::install();
    let (shape, weights) = model("tiny");
    let rows = Rows::tiny();
    let micro_batches = cut(&rows, &[&[0, 1], &[2]]);
    let adamw = AdamWParams { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 };
    for (backend, (name, recorded, _)) in BACKENDS.into_iter().flat_map(|backend| CASES.map(|case| (backend, case))) {
        let end = |measures: bool| {
            let mut model = built(backend, &shape, &weights, recorded(&shape));
            for number in 1..3 {
                model.zero_grad();
                model.accumulate(&micro_batches[..1], KEY).unwrap();
                if measures {
                    let before = (params(model.as_ref()), gradients(model.as_mut()));
                    model.loss(&micro_batches).unwrap();
                    assert_eq!((params(model.as_ref()), gradients(model.as_mut())), before, "{name}");
                }
                model.accumulate(&micro_batches[1..], KEY).unwrap();
                gradients(model.as_mut());
                let step = OptimizerStep { adamw, number, learning_rate: 1e-2, gradient_scale: 0.1 };
                model.update(&step).unwrap();
            }
            let states: AdamWStates = model.adamw_states().into_iter().map(|(n, s)| (n.into(), s.clone())).collect();
            (params(model.as_ref()), states)
        };
        assert_eq!(end(true), end(false), "{name}, {}", backend.name());
    }
}

#[test]
fn tokens_that_the_model_does_not_know_are_refused() {
    let (shape, weights) = model("tiny");
    let sequence = Sequence { tokens: &[1, 100_000], is_label: &[false, true], step_index: 0 };
    for backend in BACKENDS {
        let mut model = built(backend, &shape, &weights, RecordedPlan::default());
        let error = model.loss(&[vec![sequence]]).unwrap_err();
        assert!(matches!(&error, Error::Batch(_)), "{error}");
        assert_eq!(model.loss(&[]).unwrap().labels, 0);
    }
}

/// With no gradient at all, AdamW's step is the decay alone: `w (1 - lr · lr_scale · decay)`.
#[test]
fn weight_decay_leaves_norms_and_biases_and_pulls_at_all_else() {
    let half = |shape: &Decoder| {
        let mut recorded = full(shape);
        for plan in recorded.plan.weights.values_mut() {
            *plan = WeightPlan::Trainable { lr_scale: 0.5 };
        }
        recorded
    };
    let plans: [(Plan, f32); 5] = [
        (full, 0.95),
        (half, 0.975),
        (|shape| adapted(shape, &ALL, lora, 0.0), 0.95),
        (|shape| behind(full(shape), shape, VirtualKind::Embeddings, true), 0.95),
        (|shape| behind(frozen(shape), shape, VirtualKind::KeysValues, false), 0.95),
    ];
    for folder in FAMILIES {
        let (shape, weights) = model(folder);
        for (recorded, factor) in &plans {
            for backend in BACKENDS {
                let what = format!("{folder}, {}", backend.name());
                for (weight_decay, factor) in [(0.1, *factor), (0.0, 1.0)] {
                    let mut model = built(backend, &shape, &weights, recorded(&shape));
                    let before = params(model.as_ref());
                    model.visit_gradients(&mut |_, gradient| gradient.fill(0.0)).unwrap();
                    let adamw = AdamWParams { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay };
                    model.update(&OptimizerStep { adamw, number: 1, learning_rate: 0.5, gradient_scale: 1.0 }).unwrap();
                    let (mut decayed, mut kept) = (0, 0);
                    for (name, after) in params(model.as_ref()) {
                        let is_kept = is_norm_or_bias(&name);
                        let by = if is_kept { 1.0 } else { factor };
                        *(if is_kept { &mut kept } else { &mut decayed }) += 1;
                        let expected: Vec<f32> = before[&name].iter().map(|w| w * by).collect();
                        assert_eq!(after, expected, "{what}: {name}");
                    }
                    assert!(decayed > 0, "{what}");
                    let recorded = recorded(&shape);
                    let trains = |plan: &WeightPlan| matches!(plan, WeightPlan::Trainable { .. });
                    assert_eq!(
                        kept > 0,
                        recorded.plan.weights.values().any(trains),
                        "{what}: norms with all else only"
                    );
                }
            }
        }
    }
}

fn is_norm_or_bias(name: &str) -> bool {
    ["norm", "ln_f"].iter().any(|part| name.contains(part)) || name.ends_with(".bias")
}

/// Of a decoder with all that has one: layer norms, normed queries and keys, biases of every linear, learned positions.
#[test]
fn every_norm_and_every_bias_of_a_description_is_left_by_weight_decay() {
    let mut shape = model("qwen3").0;
    shape.norm.kind = NormKind::Layer;
    shape.positions = Positions::Learned { offset: 2 };
    (shape.attention.qkv_bias, shape.attention.output_bias, shape.mlp.bias) = (true, true, true);
    let options = tuning::options(&shape, &full(&shape));
    let kept: Vec<&String> = options.iter().filter(|(_, options)| !options.is_decayed).map(|(name, _)| name).collect();
    let expected: Vec<&String> = options.keys().filter(|name| is_norm_or_bias(name)).collect();
    assert_eq!(kept, expected);
    // Of each of two layers: weights and biases of two norms, q_norm and k_norm, biases of seven linears; and the last norm.
    assert_eq!(kept.len(), 2 * (2 * 2 + 2 + 7) + 2, "{kept:?}");
    assert_eq!(options.len(), shape.weights().len());
}
