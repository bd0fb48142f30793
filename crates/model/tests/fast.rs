//! The fast engine against the reference path: loss and every gradient, for each tuner, storage and CPU level.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

mod common;

#[path = "../../kernels/tests/emulated/mod.rs"]
mod emulated;

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use common::{ALL, Rows, adapted, assert_all_close, behind, dora, frozen, full, lora, model};
use half::bf16;
use tunebench_kernels::SimdLevel;
use tunebench_model::fast::{Batch, Model, Options, Storage, Workspace};
use tunebench_model::{Draw, Llama, Tuning, Weights, fast};
use tunebench_spec::plan::Recorded;
use tunebench_spec::random::Stream;
use tunebench_spec::{ModelShape, VirtualKind};

/// How far a gradient by bf16 may be from that by f32, relative to its norm: the models here are 32 wide, so that few
/// roundings cancel; 0.16 is seen.
const BF16: f64 = 0.2;

/// A method's name and what it records for a model.
type Case = (&'static str, fn(&ModelShape) -> Recorded);

const CASES: [Case; 12] = [
    ("ft", full),
    ("lora_attention", |shape| adapted(shape, &["q_proj", "k_proj", "v_proj", "o_proj"], lora, 0.0)),
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

/// A tuning that has moved: LoRA's B is not zero.
fn moved(shape: &ModelShape, weights: &Weights, recorded: Recorded) -> Tuning {
    let start = Tuning::init(shape, weights, recorded, 3).unwrap();
    let shift = |(name, value): (&String, &Tensor)| {
        let mut stream = Stream::named(5, name);
        let noise: Vec<f32> = (0..value.elem_count()).map(|_| 0.05 * stream.normal() as f32).collect();
        let noise = Tensor::from_vec(noise, value.dims(), &Device::Cpu).unwrap();
        (name.clone(), (value + noise).unwrap())
    };
    let values = start.values().iter().map(shift).collect();
    Tuning::new(shape, start.recorded().clone(), values).unwrap()
}

fn reference(shape: &ModelShape, weights: &Weights, tuning: &Tuning, rows: &Rows) -> (f64, BTreeMap<String, Tensor>) {
    let model = Llama::new(shape, weights, tuning, &Device::Cpu).unwrap();
    let (batch, targets) = rows.batch();
    model.loss_and_gradients(&batch, &targets, &draw(batch.rows())).unwrap()
}

/// Rounded to bf16, in f32 still.
fn in_bf16<'a>(tensors: impl Iterator<Item = (&'a str, &'a Tensor)>) -> BTreeMap<String, Tensor> {
    let round = |t: &Tensor| t.to_dtype(DType::BF16).unwrap().to_dtype(DType::F32).unwrap();
    tensors.map(|(name, tensor)| (name.to_owned(), round(tensor))).collect()
}

/// Euclidean distance over the norm of what is expected.
fn distance(found: &Tensor, expected: &Tensor) -> f64 {
    let (found, expected) = (common::flat(found), common::flat(expected));
    let norm = |x: &mut dyn Iterator<Item = f32>| x.map(|x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
    norm(&mut found.iter().zip(&expected).map(|(f, e)| f - e)) / norm(&mut expected.iter().copied())
}

fn draw(examples: usize) -> Draw {
    Draw { seed: 11, step: 2, rows: (0..examples as u64).collect(), ends: vec![] }
}

fn batch(rows: &Rows) -> Batch {
    let mut batch = Batch::new();
    for (tokens, is_label) in rows.tokens.iter().zip(&rows.is_label) {
        batch.push(tokens, is_label).unwrap();
    }
    batch
}

/// Loss and gradients by the fast engine, after a pass that leaves its buffers full.
fn fast_gradients<E: Storage>(
    shape: &ModelShape,
    weights: &Weights,
    tuning: &Tuning,
    rows: &Rows,
    options: Options,
) -> (f64, BTreeMap<String, Tensor>) {
    let model = Model::<E>::new(shape, weights.clone(), tuning.clone(), options).unwrap();
    let (batch, mut work, mut gradients) = (batch(rows), Workspace::default(), model.gradients());
    model.loss_and_gradients(&batch, &draw(batch.examples()), &mut gradients, &mut work).unwrap();
    gradients.clear();
    let loss = model.loss_and_gradients(&batch, &draw(batch.examples()), &mut gradients, &mut work).unwrap();
    let found = model.trained().enumerate().map(|(slot, (name, dims))| {
        let gradient = gradients.get(slot).unwrap_or_else(|| panic!("no gradient of {name}"));
        (name.to_owned(), Tensor::from_slice(gradient, dims, &Device::Cpu).unwrap())
    });
    (loss, found.collect())
}

/// Small models of both kinds: grouped heads with a tied head, and neither.
const MODELS: [&str; 2] = ["tiny", "tiny-llama3"];

#[test]
fn loss_and_gradients_are_the_reference_paths() {
    emulated::tiles();
    for folder in MODELS {
        let (shape, weights) = model(folder);
        let rows = Rows::tiny();
        for (name, recorded) in CASES {
            let tuning = moved(&shape, &weights, recorded(&shape));
            let (loss, expected) = reference(&shape, &weights, &tuning, &rows);
            // What bf16 computes with, so that only the roundings on the way are compared.
            let rounded = Weights::new(&shape, in_bf16(weights.iter())).unwrap();
            let values = tuning.values().iter().map(|(name, value)| (name.as_str(), value));
            let half = Tuning::new(&shape, tuning.recorded().clone(), in_bf16(values)).unwrap();
            let (half_loss, half_expected) = reference(&shape, &rounded, &half, &rows);
            for level in SimdLevel::available() {
                for (recompute, packed) in [(false, false), (true, false), (false, true)] {
                    let what = format!("{folder}, {name}, {}, recompute {recompute}, packed {packed}", level.name());
                    let options = Options { level, recompute, packed };
                    // Sums in another order: a few units in the last place of the largest.
                    let (found, gradients) = fast_gradients::<f32>(&shape, &weights, &tuning, &rows, options);
                    assert!((found - loss).abs() < 1e-5 * loss, "{what}, f32: loss {found} for {loss}");
                    assert_all_close(&format!("{what}, f32"), &gradients, &expected, |_| 3e-5);
                    // Eight bits of mantissa in every weight and activation; over a tensor the roundings add up like
                    // a random walk, so it is held to its root mean square.
                    let (found, gradients) = fast_gradients::<bf16>(&shape, &rounded, &half, &rows, options);
                    let off = (found - half_loss).abs() / half_loss;
                    assert!(off < 5e-3, "{what}, bf16: loss {found} for {half_loss}");
                    for (name, expected) in &half_expected {
                        let off = distance(&gradients[name], expected);
                        assert!(off < BF16, "{what}, bf16: gradient of {name} is off by {off} of its norm");
                    }
                }
            }
        }
    }
}

#[test]
fn logits_and_loss_without_training_are_the_reference_paths() {
    emulated::tiles();
    let (shape, weights) = model("tiny");
    let rows = Rows::tiny();
    let (padded, targets) = rows.batch();
    let tuning = moved(&shape, &weights, adapted(&shape, &ALL, lora, 0.3));
    let reference = Llama::new(&shape, &weights, &tuning, &Device::Cpu).unwrap();
    let options = Options { level: SimdLevel::best(), recompute: false, packed: false };
    let model = Model::<f32>::new(&shape, weights.clone(), tuning.clone(), options).unwrap();
    let (batch, mut work) = (batch(&rows), Workspace::default());
    let (found, expected) = (model.loss(&batch, &mut work).unwrap(), reference.loss(&padded, &targets).unwrap());
    assert!((found - expected).abs() < 1e-5 * expected, "{found} for {expected}");
    let last = padded.index(1, rows.tokens[1].len() - 1);
    let expected = common::flat(&reference.logits(&padded, &[last]).unwrap());
    let index = rows.tokens[0].len() + rows.tokens[1].len() - 1;
    let found = model.logits(&batch, &[index], &mut work).unwrap();
    let largest = expected.iter().fold(0f32, |m, x| m.max(x.abs()));
    let off = found.iter().zip(&expected).fold(0f32, |m, (f, e)| m.max((f - e).abs()));
    assert!(off < 1e-5 * largest, "{off}");
}

#[test]
fn rows_of_a_cache_continue_as_the_whole_text_does() {
    emulated::tiles();
    let (shape, weights) = model("tiny");
    let options = Options { level: SimdLevel::best(), recompute: false, packed: false };
    let mut model = Model::<f32>::new(&shape, weights.clone(), Tuning::none(), options).unwrap();
    let text: Vec<u32> = (0..60).map(|i| (i * 37 + 11) % 96).collect();
    let whole = |model: &Model<f32>, n: usize| {
        let mut batch = Batch::new();
        batch.push(&text[..n], &vec![false; n]).unwrap();
        model.logits(&batch, &[n - 1], &mut Workspace::default()).unwrap()
    };
    let expected: Vec<Vec<f32>> = (1..=60).map(|n| whole(&model, n)).collect();
    let is_close = |found: &[f32], n: usize| {
        let off = found.iter().zip(&expected[n - 1]).fold(0f32, |m, (f, e)| m.max((f - e).abs()));
        assert!(off < 1e-4, "after {n} tokens: {off}");
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

#[test]
fn what_does_not_fit_is_refused() {
    emulated::tiles();
    let (shape, weights) = model("tiny");
    let options = Options { level: SimdLevel::best(), recompute: false, packed: false };
    let model = Model::<f32>::new(&shape, weights, Tuning::none(), options).unwrap();
    let mut batch = Batch::new();
    assert!(batch.push(&[], &[]).unwrap_err().to_string().contains("at least one token"));
    assert!(batch.push(&[1, 2], &[true]).unwrap_err().to_string().contains("label marks"));
    batch.push(&[1, 100_000], &[true, true]).unwrap();
    let error = model.loss(&batch, &mut fast::Workspace::default()).unwrap_err();
    assert!(error.to_string().contains("token 100000 is not in the vocabulary"), "{error}");
}
