//! Tunes the golden model of each family for a few steps by LoRA on every linear layer, folds the adapter in and writes what
//! comes of it as a model folder, with the logits that we give: for `tests/golden/open_families.py`, which opens each with
//! transformers.
//!
//! `cargo run -p tunebench-train --example tuned_families -- FOLDER`

#![allow(clippy::unwrap_used)] // a tool for tests: it ends with a message

use std::ops::ControlFlow;
use std::path::PathBuf;

use candle_core::Device;
use serde_json::json;
use tunebench_model::backend::REFERENCE;
use tunebench_model::formats::safetensors::Float;
use tunebench_model::{Batch, ReferenceModel, Tuning, open, save};
use tunebench_spec::{Recipe, Schedule};
use tunebench_testkit::golden::{FAMILIES, Rows, model};
use tunebench_testkit::methods::recorded;
use tunebench_train::{Job, Outcome, load_result, train};

fn main() {
    let out = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "tuned-families".into()));
    for family in FAMILIES {
        let (shape, weights) = model(family);
        let tuning = Tuning::init(&shape, &weights, recorded(&shape, "lora_all_linear"), 0).unwrap();
        let examples: Vec<_> = Rows::training(family).iter().flat_map(Rows::examples).collect();
        let recipe =
            Recipe { learning_rate: 1e-2, epochs: 1.0, batch_size: 3, schedule: Schedule::Constant, ..Recipe::base() };
        let dir = tempfile::tempdir().unwrap();
        let job = Job {
            arm: family,
            candidate: "",
            shape: &shape,
            weights: weights.clone(),
            tuning,
            examples: &examples,
            held_out: &[],
            recipe: &recipe,
            seed: 1,
            backend: REFERENCE,
            dir: dir.path(),
            until: None,
        };
        assert_eq!(train(job, &mut |_| ControlFlow::Continue(())).unwrap(), Outcome::Finished);
        let merged = load_result(dir.path(), &shape).unwrap().merge(&shape, weights).unwrap();
        let folder = out.join(family);
        save(&folder, &shape, &merged, None, Float::F32).unwrap();

        let found = open(&folder).unwrap();
        let tuned =
            ReferenceModel::new(&found.shape, &found.weights().unwrap(), &Tuning::none(), &Device::Cpu).unwrap();
        let rows = Rows::of(family).tokens;
        let logits: Vec<Vec<Vec<f32>>> = rows
            .iter()
            .map(|row| {
                let batch = Batch::right_padded(std::slice::from_ref(row)).unwrap();
                let all: Vec<u32> = (0..row.len()).map(|i| batch.index(0, i)).collect();
                tuned.logits(&batch, &all).unwrap().to_vec2().unwrap()
            })
            .collect();
        std::fs::write(folder.join("ours.json"), json!({ "tokens": rows, "logits": logits }).to_string()).unwrap();
        println!("{family}: {}", folder.display());
    }
}
