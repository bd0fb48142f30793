//! What a card is foretold to take, beside what the same passes allocate on the CPU in f32: candle makes the same tensors there.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::alloc::System;
use std::process::Command;

use candle_core::Device;
use cap::Cap;
use tunebench_model::QuantisedWeights;
use tunebench_model::backend::{Backend, Cuda, Parts, Sequence, StepKey, StepSize};
use tunebench_model::reference::Precision;
use tunebench_model::{AdamWStates, Tuning, Weights};
use tunebench_spec::plan::RecordedPlan;
use tunebench_spec::{Decoder, decoder};
use tunebench_testkit::golden::model;
use tunebench_testkit::methods::{ALL, adapted, dora, full, lora};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// A step: what it trains, rows, their length, whether layers are computed again.
type Case = (&'static str, fn(&Decoder) -> RecordedPlan, usize, usize, bool);

const CASES: [Case; 8] = [
    ("lora, recomputed", |shape| adapted(shape, &ALL, lora, 0.0), 8, 128, true),
    ("lora with dropout, recomputed", |shape| adapted(shape, &ALL, lora, 0.1), 8, 128, true),
    ("dora, recomputed", |shape| adapted(shape, &ALL, dora, 0.0), 8, 128, true),
    ("ft, recomputed", full, 8, 128, true),
    ("lora at one weight", |shape| adapted(shape, &["up_proj"], lora, 0.0), 8, 128, false),
    ("lora, long, recomputed", |shape| adapted(shape, &ALL, lora, 0.0), 2, 512, true),
    ("ft", full, 8, 128, false),
    ("lora, long", |shape| adapted(shape, &ALL, lora, 0.0), 4, 512, false),
];

const MIB: f64 = 1048576.0;

fn shape() -> Decoder {
    let (mut shape, _) = model("tiny");
    (shape.hidden_size, shape.num_hidden_layers, shape.vocab_size) = (192, 6, 2048);
    shape.mlp.intermediate_size = 512;
    shape.attention = decoder::Attention::plain(6, 2, 32);
    shape.max_position_embeddings = 1024;
    shape
}

/// The variable by which a process is told which case is its own: an allocator knows the highest peak of all alone.
const CASE: &str = "TUNEBENCH_TEST_CASE";
const TEST: &str = "no_less_is_foretold_than_is_allocated_and_not_much_more";

/// Bytes that a case takes at its peak.
fn taken((_, recorded, rows, longest, recompute): Case, backend: &dyn Backend, shape: &Decoder) -> usize {
    let weights = Weights::init(shape, 1).unwrap();
    let tuning = Tuning::init(shape, &weights, recorded(shape), 1).unwrap();
    let mut model = backend.trainable(Parts { shape, weights, tuning }, AdamWStates::new(), recompute).unwrap();
    let tokens: Vec<u32> = (0..longest as u32).map(|i| i * 37 % 2048).collect();
    let is_label = vec![true; longest];
    let sequence = |step_index| Sequence { tokens: &tokens, is_label: &is_label, step_index };
    let micro_batch: Vec<Sequence<'_>> = (0..rows as u64).map(sequence).collect();
    // The second adds to the gradients of the first.
    for _ in 0..2 {
        model.accumulate(std::slice::from_ref(&micro_batch), StepKey { seed: 1, step: 1 }).unwrap();
    }
    ALLOCATOR.max_allocated()
}

#[test]
fn no_less_is_foretold_than_is_allocated_and_not_much_more() {
    let (shape, backend) = (shape(), Cuda::on(Device::Cpu, Precision::F32));
    if let Ok(number) = std::env::var(CASE) {
        println!("\ntaken {}", taken(CASES[number.parse::<usize>().unwrap()], &backend, &shape));
        return;
    }
    let mut wrong = Vec::new();
    for (number, (name, recorded, rows, longest, recompute)) in CASES.into_iter().enumerate() {
        let size = StepSize { tokens: rows * longest, longest, measured: 0 };
        let foretold = backend
            .training_memory(&shape, &recorded(&shape), &QuantisedWeights::new(), size, recompute)
            .unwrap()
            .whole()
            - Cuda::CONTEXT;
        let mut own = Command::new(std::env::current_exe().unwrap());
        let output = own.args([TEST, "--exact", "--nocapture"]).env(CASE, number.to_string()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("taken "));
        let taken: f64 = line.unwrap_or_else(|| panic!("{name}: {text}")).parse().unwrap();
        let said = format!("{name}: {:.1} MiB foretold, {:.1} taken", foretold as f64 / MIB, taken / MIB);
        println!("{said}");
        if !(1.0..1.4).contains(&(foretold as f64 / taken)) {
            wrong.push(said);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
