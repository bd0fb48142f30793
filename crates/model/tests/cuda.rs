//! The engine of graphics cards, over the CPU: all of it but candle's kernels, which no machine without a card can run. In f32
//! it is the reference to the bit, in bf16 but for rounding; layers that are computed again change no byte.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use tunebench_model::backend::{Backend, Cuda, Parts, PromptRow, REFERENCE, Sequence, StepKey, named};
use tunebench_model::reference::Precision;
use tunebench_model::{AdamWStates, Tuning, Weights};
use tunebench_spec::plan::RecordedPlan;
use tunebench_spec::{Decoder, VirtualKind};
use tunebench_testkit::compare::assert_rounded;
use tunebench_testkit::golden::{FAMILIES, Greedy, Rows, model, seen_gradients};
use tunebench_testkit::methods::{ALL, adapted, behind, dora, frozen, full, lora};
use tunebench_testkit::values;

/// A method's name and what it records for a model.
type Case = (&'static str, fn(&Decoder) -> RecordedPlan);

const CASES: [Case; 6] = [
    ("ft", full),
    ("lora with dropout", |shape| adapted(shape, &ALL, lora, 0.3)),
    ("lora at one weight", |shape| adapted(shape, &["up_proj"], lora, 0.0)),
    ("dora with dropout", |shape| adapted(shape, &ALL, dora, 0.1)),
    ("embeddings by an mlp and ft", |shape| behind(full(shape), shape, VirtualKind::Embeddings, true)),
    ("keys and values", |shape| behind(frozen(shape), shape, VirtualKind::KeysValues, false)),
];

/// Models of every family, and one whose head is tied.
fn models() -> impl Iterator<Item = (&'static str, Rows)> {
    FAMILIES.into_iter().map(|family| (family, Rows::of(family))).chain([("tiny-llama3", Rows::tiny())])
}

/// Loss and gradients of the rows, in two micro-batches.
fn gradients(
    backend: &dyn Backend,
    (shape, weights, tuning): (&Decoder, &Weights, &Tuning),
    rows: &Rows,
    recompute: bool,
) -> (f64, BTreeMap<String, Tensor>) {
    let parts = Parts { shape, weights: weights.clone(), tuning: tuning.clone() };
    let mut model = backend.trainable(parts, AdamWStates::new(), recompute).unwrap();
    let sequence =
        |row: usize| Sequence { tokens: &rows.tokens[row], is_label: &rows.is_label[row], step_index: row as u64 };
    let micro_batches = [vec![sequence(0), sequence(1)], (2..rows.tokens.len()).map(sequence).collect()];
    let totals = model.accumulate(&micro_batches, StepKey { seed: 11, step: 2 }).unwrap();
    let dims: BTreeMap<String, Vec<usize>> = model.params().into_iter().collect();
    let mut found = BTreeMap::new();
    let mut keep = |name: &str, gradient: &mut [f32]| {
        let gradient = Tensor::from_slice(gradient, dims[name].as_slice(), &Device::Cpu).unwrap();
        found.insert(name.to_owned(), gradient);
    };
    model.visit_gradients(&mut keep).unwrap();
    (totals.loss, found)
}

fn bits((loss, gradients): &(f64, BTreeMap<String, Tensor>)) -> (u64, BTreeMap<String, Vec<u32>>) {
    let of = |(name, g): (&String, &Tensor)| (name.clone(), tunebench_testkit::compare::bits(g));
    (loss.to_bits(), gradients.iter().map(of).collect())
}

#[test]
fn in_f32_it_is_the_reference_and_in_bf16_but_for_rounding() {
    let full = Cuda::on(Device::Cpu, Precision::F32);
    let half = Cuda::on(Device::Cpu, Precision::BF16);
    for ((folder, rows), (name, recorded)) in models().flat_map(|model| CASES.map(|case| (model.clone(), case))) {
        let what = format!("{folder}, {name}");
        let (shape, weights) = model(folder);
        let weights = values::halved(&shape, &weights);
        let tuning = values::moved(&shape, &weights, recorded(&shape));
        let (weights, tuning) = values::in_bf16(&shape, &weights, &tuning);
        let of = (&shape, &weights, &tuning);
        let expected = gradients(REFERENCE, of, &rows, false);
        for recompute in [false, true] {
            let found = gradients(&full, of, &rows, recompute);
            assert_eq!(bits(&found), bits(&expected), "{what}, f32, recompute {recompute}");
        }
        let found = gradients(&half, of, &rows, false);
        assert_eq!(bits(&gradients(&half, of, &rows, true)), bits(&found), "{what}, bf16: computed again");
        // As the fast engine's, which rounds as often: tests/fast.rs.
        let off = (found.0 / expected.0 - 1.0).abs();
        assert!(off < 5e-3, "{what}, bf16: loss {} for {}", found.0, expected.0);
        let [found, expected] = [&found.1, &expected.1].map(|gradients| seen_gradients(&shape, gradients));
        assert_rounded(&format!("{what}, bf16"), &shape, &found, &expected);
    }
}

/// Not the golden weights' halves: these themselves, whose continuations lead by more than bf16 rounds.
#[test]
fn greedy_answers_are_those_of_transformers() {
    for (family, precision) in FAMILIES.into_iter().flat_map(|f| [Precision::F32, Precision::BF16].map(|p| (f, p))) {
        let (shape, weights) = model(family);
        let parts = Parts { shape: &shape, weights, tuning: Tuning::none() };
        let model = Cuda::on(Device::Cpu, precision).generator(parts).unwrap();
        let cases = Greedy::of(family);
        let prompts: Vec<PromptRow<'_>> = cases.iter().map(|case| case.prompt.as_slice().into()).collect();
        let (mut rows, mut logits) = (model.rows(), Vec::new());
        let best = |logits: &[f32]| -> Vec<u32> {
            let of = |row: &[f32]| (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap() as u32;
            logits.chunks(shape.vocab_size).map(of).collect()
        };
        rows.prefill(&prompts, &mut logits).unwrap();
        for step in 0..12 {
            let next = best(&logits);
            let expected: Vec<u32> = cases.iter().map(|case| case.new[step]).collect();
            assert_eq!(next, expected, "{family}, {precision:?}, token {step}");
            rows.step(&next, &mut logits).unwrap();
        }
    }
}

#[test]
fn a_program_without_cuda_says_which_has_it() {
    for name in ["cuda", "cuda:1", "cuda-f32", "cuda-f32:0"] {
        let error = named(name).err().unwrap();
        assert!(error.contains("tunebench-cuda") && error.contains("cargo xtask cuda"), "{error}");
    }
    let error = named("cudas").err().unwrap();
    assert!(error.contains("no engine `cudas`") && error.contains("fast, reference"), "{error}");
}

#[test]
fn a_card_that_is_not_there_is_an_error() {
    let (shape, weights) = model("tiny");
    let card = Cuda::new(3, Precision::BF16);
    assert_eq!((card.name(), card.argument()), ("cuda", "cuda:3".into()));
    assert!(card.memory_limit().is_none() && card.memory_free().is_none());
    let error = card.generator(Parts { shape: &shape, weights, tuning: Tuning::none() }).err().unwrap().to_string();
    assert!(error.starts_with("graphics card 3 cannot be used: ") && error.contains("nvidia-smi -L"), "{error}");
}
