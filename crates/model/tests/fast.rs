//! The fast engine against the reference path: loss and every gradient, for each tuner, storage and CPU level.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use candle_core::Device;
use half::bf16;
use tunebench_model::fast::{self, Batch, Model, Options, Workspace};
use tunebench_model::{DropoutKey, Error, ReferenceModel, Tuning};
use tunebench_spec::plan::RecordedPlan;
use tunebench_spec::{Decoder, VirtualKind};
use tunebench_testkit::compare::{assert_all_close, assert_rounded, flat};
use tunebench_testkit::engines::{batch, fast_gradients, key, levels, reference_gradients};
use tunebench_testkit::golden::{FAMILIES, Greedy, Rows, model, seen_gradients};
use tunebench_testkit::methods::{ALL, ATTENTION, adapted, behind, dora, frozen, full, lora};
use tunebench_testkit::{kink, values};

/// A method's name and what it records for a model.
type Case = (&'static str, fn(&Decoder) -> RecordedPlan);

const CASES: [Case; 12] = [
    ("ft", full),
    ("lora_attention", |shape| adapted(shape, &ATTENTION, lora, 0.0)),
    ("lora_all_linear", |shape| adapted(shape, &ALL, lora, 0.0)),
    ("lora_all_linear with dropout", |shape| adapted(shape, &ALL, lora, 0.3)),
    ("lora at one weight", |shape| adapted(shape, &["up_proj"], lora, 0.0)),
    ("dora", |shape| adapted(shape, &ALL, dora, 0.1)),
    ("embeddings", |shape| behind(frozen(shape), shape, VirtualKind::Embeddings, false)),
    ("embeddings by an mlp", |shape| behind(frozen(shape), shape, VirtualKind::Embeddings, true)),
    ("keys and values", |shape| behind(frozen(shape), shape, VirtualKind::KeysValues, false)),
    ("keys and values by an mlp", |shape| behind(frozen(shape), shape, VirtualKind::KeysValues, true)),
    ("embeddings and ft", |shape| behind(full(shape), shape, VirtualKind::Embeddings, true)),
    ("keys and values and lora with dropout", |shape| {
        behind(adapted(shape, &ALL, lora, 0.3), shape, VirtualKind::KeysValues, false)
    }),
];

/// Models and the rows they are tried on: those of the families, and a LLaMA whose head is tied and whose rotary positions are
/// scaled.
fn models() -> impl Iterator<Item = (&'static str, Rows)> {
    FAMILIES.into_iter().map(|family| (family, Rows::of(family))).chain([("tiny-llama3", Rows::tiny())])
}

#[test]
fn loss_and_gradients_are_the_reference_paths() {
    tunebench_amx_emulator::install();
    for ((folder, rows), (name, recorded)) in models().flat_map(|model| CASES.map(|case| (model.clone(), case))) {
        let (shape, weights) = model(folder);
        let weights = values::halved(&shape, &weights);
        let tuning = values::moved(&shape, &weights, recorded(&shape));
        // Virtual tokens by an MLP have a ReLU, which both engines compute in f32: a hundred times what that is off by.
        assert!(kink::keeps_margin(1e-4, &shape, &weights, &tuning, &rows), "{folder}, {name}");
        let (loss, expected) = reference_gradients(&shape, &weights, &tuning, &rows);
        let expected = seen_gradients(&shape, &expected);
        let (rounded, half) = values::in_bf16(&shape, &weights, &tuning);
        let (half_loss, half_expected) = reference_gradients(&shape, &rounded, &half, &rows);
        let half_expected = seen_gradients(&shape, &half_expected);
        for level in levels() {
            for (recompute, packed) in [(false, false), (true, false), (false, true)] {
                let what = format!("{folder}, {name}, {}, recompute {recompute}, packed {packed}", level.name());
                let options = Options { level, recompute, packed };
                // Sums in another order: a few units in the last place of the largest.
                let (found, gradients) = fast_gradients::<f32>(&shape, &weights, &tuning, &rows, options);
                assert!((found - loss).abs() < 1e-5 * loss, "{what}, f32: loss {found} for {loss}");
                assert_all_close(&format!("{what}, f32"), &seen_gradients(&shape, &gradients), &expected, |_| 3e-5);
                // Eight bits in every activation.
                let (found, gradients) = fast_gradients::<bf16>(&shape, &rounded, &half, &rows, options);
                let off = (found - half_loss).abs() / half_loss;
                assert!(off < 5e-3, "{what}, bf16: loss {found} for {half_loss}");
                let gradients = seen_gradients(&shape, &gradients);
                assert_rounded(&format!("{what}, bf16"), &shape, &gradients, &half_expected);
            }
        }
    }
}

#[test]
fn logits_and_loss_without_training_are_the_reference_paths() {
    tunebench_amx_emulator::install();
    for (folder, rows) in models() {
        let (shape, weights) = model(folder);
        let (padded, targets) = rows.batch();
        let tuning = values::moved(&shape, &weights, adapted(&shape, &ALL, lora, 0.3));
        let reference = ReferenceModel::new(&shape, &weights, &tuning, &Device::Cpu).unwrap();
        let expected_loss = reference.loss(&padded, &targets).unwrap();
        let last = padded.index(1, rows.tokens[1].len() - 1);
        let expected = flat(&reference.logits(&padded, &[last]).unwrap());
        for level in levels() {
            let options = Options { level, recompute: false, packed: false };
            let model = Model::<f32>::new(&shape, weights.clone(), tuning.clone(), options).unwrap();
            let (batch, mut work) = (batch(&rows, 0), Workspace::default());
            let found = model.loss(&batch, &mut work).unwrap();
            assert!((found - expected_loss).abs() < 1e-5 * expected_loss, "{folder}: {found} for {expected_loss}");
            let index = rows.tokens[0].len() + rows.tokens[1].len() - 1;
            let found = model.logits(&batch, &[index], &mut work).unwrap();
            let largest = expected.iter().fold(0f32, |m, x| m.max(x.abs()));
            let off = found.iter().zip(&expected).fold(0f32, |m, (f, e)| m.max((f - e).abs()));
            assert!(off < 1e-5 * largest, "{folder}, {}: {off}", level.name());
        }
    }
}

/// What lets golden continuations be compared in bf16 on any CPU: rounding moves no lead by half of it.
#[test]
fn rounding_turns_no_golden_continuation() {
    tunebench_amx_emulator::install();
    for family in FAMILIES {
        let (shape, weights) = model(family);
        let reference = ReferenceModel::new(&shape, &weights, &Tuning::none(), &Device::Cpu).unwrap();
        for Greedy { prompt, new, .. } in Greedy::of(family) {
            let text = [&prompt[..], &new].concat();
            let rows = Rows { is_label: vec![vec![false; text.len()]], tokens: vec![text] };
            let at: Vec<usize> = (prompt.len() - 1..rows.tokens[0].len() - 1).collect();
            let (padded, _) = rows.batch();
            let indices: Vec<u32> = at.iter().map(|&i| padded.index(0, i)).collect();
            let expected = flat(&reference.logits(&padded, &indices).unwrap());
            for level in levels() {
                let options = Options { level, recompute: false, packed: false };
                let model = Model::<bf16>::new(&shape, weights.clone(), Tuning::none(), options).unwrap();
                let found = model.logits(&batch(&rows, 0), &at, &mut Workspace::default()).unwrap();
                let v = shape.vocab_size;
                for (i, (found, expected)) in found.chunks(v).zip(expected.chunks(v)).enumerate() {
                    let lead = |scores: &[f32], other: usize| scores[new[i] as usize] - scores[other];
                    let others = (0..v).filter(|&other| other != new[i] as usize);
                    let is_safe = |&other: &usize| 2.0 * lead(found, other) > lead(expected, other);
                    let turned: Vec<usize> = others.filter(|other| !is_safe(other)).collect();
                    assert!(turned.is_empty(), "{family}, {}: token {i} nearly turns to {turned:?}", level.name());
                }
            }
        }
    }
}

#[test]
fn rows_of_a_cache_continue_as_the_whole_text_does() {
    tunebench_amx_emulator::install();
    for (folder, level) in models().flat_map(|(folder, _)| levels().into_iter().map(move |level| (folder, level))) {
        let (shape, weights) = model(folder);
        let options = Options { level, recompute: false, packed: false };
        let mut model = Model::<f32>::new(&shape, weights.clone(), Tuning::none(), options).unwrap();
        let text: Vec<u32> = (0..60).map(|i| (i * 37 + 11) % shape.vocab_size as u32).collect();
        let whole = |model: &Model<f32>, n: usize| {
            let batch = Batch::unlabelled([&text[..n]], 0).unwrap();
            model.logits(&batch, &[n - 1], &mut Workspace::default()).unwrap()
        };
        let expected: Vec<Vec<f32>> = (1..=60).map(|n| whole(&model, n)).collect();
        let is_close = |found: &[f32], n: usize| {
            let off = found.iter().zip(&expected[n - 1]).fold(0f32, |m, (f, e)| m.max((f - e).abs()));
            assert!(off < 1e-4, "{folder}, {}: after {n} tokens: {off}", level.name());
        };
        model.pack();
        let v = shape.vocab_size;
        let mut cache = fast::Cache::new(&model);
        // Rows of different lengths that grow across blocks; the middle one leaves, another joins.
        let mut scores = Vec::new();
        model.prefill(&mut cache, &[&text[..3], &text[..31], &text[..32]], &mut scores).unwrap();
        [3, 31, 32].iter().zip(scores.chunks(v)).for_each(|(n, scores)| is_close(scores, *n));
        let mut lengths = vec![3, 31, 32];
        for round in 0..12 {
            if round == 4 {
                cache.swap_remove(1).unwrap();
                lengths.swap_remove(1);
            }
            if round == 6 {
                model.prefill(&mut cache, &[&text[..7]], &mut scores).unwrap();
                is_close(&scores, 7);
                lengths.push(7);
            }
            let next: Vec<u32> = lengths.iter().map(|n| text[*n]).collect();
            lengths.iter_mut().for_each(|n| *n += 1);
            model.step(&mut cache, &next, &mut scores).unwrap();
            lengths.iter().zip(scores.chunks(v)).for_each(|(n, scores)| is_close(scores, *n));
        }
        assert!(cache.swap_remove(9).is_err());
        assert!(model.step(&mut cache, &[1], &mut scores).is_err(), "a token for each row");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    tunebench_amx_emulator::install();
    let (shape, weights) = model("tiny");
    let options = Options { level: levels()[0], recompute: false, packed: false };
    let model = Model::<f32>::new(&shape, weights, Tuning::none(), options).unwrap();
    let batch = |tokens: &[u32], marks: &[bool], virtual_tokens| Batch::new([(tokens, marks)], virtual_tokens);
    assert!(batch(&[], &[], 0).unwrap_err().to_string().contains("at least one token"));
    assert!(batch(&[1, 2], &[true], 0).unwrap_err().to_string().contains("label marks"));
    let foreign = batch(&[1, 100_000], &[true; 2], 0).unwrap();
    let behind = batch(&[1, 2], &[true; 2], 3).unwrap();
    let sound = batch(&[1, 2], &[true; 2], 0).unwrap();
    let (mut gradients, mut work) = (model.gradients(), Workspace::default());
    let mut error = |model: &Model<f32>, batch: &Batch, seq_ends: &[usize]| {
        let key = DropoutKey::for_batch(0, 0, vec![0], seq_ends);
        model.loss_and_gradients(batch, &key, &mut gradients, &mut work).unwrap_err()
    };
    for (batch, seq_ends, expected) in [
        (&foreign, [2], "token 100000 is not in the vocabulary"),
        (&behind, [5], "behind 3 virtual tokens"),
        (&sound, [3], "a dropout key of 1 other examples"),
    ] {
        let error = error(&model, batch, &seq_ends).to_string();
        assert!(error.contains(expected), "{error}");
    }
    let mut packed = model;
    packed.pack();
    assert!(matches!(error(&packed, &sound, &[2]), Error::AnswersOnly));
}

/// A gradient for each trained tensor, in the order of the model's list, whatever has arrived.
#[test]
fn gradients_are_reached_in_one_order_and_can_be_changed() {
    tunebench_amx_emulator::install();
    let (shape, weights) = model("tiny");
    let tuning = values::moved(&shape, &weights, adapted(&shape, &ALL, lora, 0.0));
    let options = Options { level: levels()[0], recompute: false, packed: false };
    let model = Model::<f32>::new(&shape, weights, tuning, options).unwrap();
    let (batch, mut gradients) = (batch(&Rows::tiny(), 0), model.gradients());
    assert!(gradients.get(0).is_none());
    assert!(gradients.iter_mut().all(|(_, gradient)| gradient.iter().all(|g| *g == 0.0)));
    gradients.clear();
    model.loss_and_gradients(&batch, &key(&batch), &mut gradients, &mut Workspace::default()).unwrap();
    let before: Vec<Vec<f32>> = (0..model.trained().count()).map(|i| gradients.get(i).unwrap().to_vec()).collect();
    for ((name, gradient), (expected, dims)) in gradients.iter_mut().zip(model.trained()) {
        assert_eq!((name, gradient.len()), (expected, dims.iter().product()));
        gradient.iter_mut().for_each(|g| *g *= 2.0);
    }
    for (i, before) in before.iter().enumerate() {
        assert!(gradients.get(i).unwrap().iter().zip(before).all(|(after, before)| *after == 2.0 * before));
    }
}
