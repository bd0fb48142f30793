//! One half of `tests/golden/exchange_adapters.py`, which compares adapters with PEFT in both directions.
//!
//! ```text
//! exchange write MODEL DIR             an adapter of every kind and some over each other, DIR/NAME/, each with logits.json, and
//!                                      with base/ where it is to be loaded over that
//! exchange read MODEL ADAPTER TOKENS   logits of the rows of tokens in the file TOKENS, with a PEFT folder, on standard output
//! ```

#![allow(clippy::unwrap_used)] // a tool of developers' that ends by panicking

use std::fs;
use std::path::Path;

use candle_core::Device;
use serde_json::{Value, json};
use tunebench_model::formats::safetensors::Float;
use tunebench_model::{Batch, ReferenceModel, Tuning, Weights};
use tunebench_peft::{Form, load, stack, write};
use tunebench_spec::plan::RecordedPlan;
use tunebench_spec::{Decoder, VirtualKind};
use tunebench_testkit::methods::{ALL, adapted, behind, both, dora, frozen, ia3, ia3_input, lora, rslora};
use tunebench_testkit::values;

/// Rows of tokens that every tiny model knows.
const ROWS: [&[u32]; 3] = [&[5, 9, 30, 17, 2, 21], &[7, 7], &[11, 3, 3, 8]];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["write", model, dir] => write_all(Path::new(model), Path::new(dir)),
        ["read", model, adapter, tokens] => read(Path::new(model), Path::new(adapter), Path::new(tokens)),
        _ => panic!("exchange write MODEL DIR | exchange read MODEL ADAPTER TOKENS"),
    }
}

fn open(model: &Path) -> (Decoder, Weights) {
    let source = tunebench_model::open(model).unwrap();
    (source.shape.clone(), source.weights().unwrap())
}

/// Of every token of every row.
fn logits(shape: &Decoder, weights: &Weights, tuning: &Tuning, rows: &[Vec<u32>]) -> Vec<Vec<Vec<f32>>> {
    let model = ReferenceModel::new(shape, weights, tuning, &Device::Cpu).unwrap();
    let of = |row: &Vec<u32>| {
        let batch = Batch::right_padded(std::slice::from_ref(row)).unwrap();
        let at: Vec<u32> = (0..row.len()).map(|i| batch.index(0, i)).collect();
        model.logits(&batch, &at).unwrap().to_vec2().unwrap()
    };
    rows.iter().map(of).collect()
}

/// Each adapter as a tuner would record it: by its name, what lies below it and it itself.
fn plans(shape: &Decoder) -> Vec<(&'static str, Vec<RecordedPlan>)> {
    let prompts = |kind, projected| behind(frozen(shape), shape, kind, projected);
    let (embeddings, prefix) = (VirtualKind::Embeddings, VirtualKind::KeysValues);
    let of = |targets: &[&str], method| adapted(shape, targets, method, 0.1);
    vec![
        ("lora", vec![of(&ALL, lora)]),
        ("rslora", vec![of(&["q_proj", "up_proj"], rslora)]),
        ("dora", vec![of(&ALL, dora)]),
        ("ia3", vec![both(of(&["gate_proj", "o_proj"], ia3), of(&["q_proj", "down_proj"], ia3_input))]),
        ("prompt-tuning", vec![prompts(embeddings, false)]),
        ("p-tuning", vec![prompts(embeddings, true)]),
        ("prefix-tuning", vec![prompts(prefix, false)]),
        ("prefix-tuning-by-an-mlp", vec![prompts(prefix, true)]),
        ("lora-over-lora", vec![of(&["q_proj", "v_proj"], lora), of(&["q_proj", "o_proj"], lora)]),
        ("lora-over-rslora", vec![of(&["q_proj", "v_proj"], rslora), of(&["q_proj", "o_proj"], lora)]),
        ("lora-over-lora-over-lora", vec![of(&["q_proj"], lora), of(&["up_proj"], lora), of(&["q_proj"], lora)]),
        ("dora-over-lora", vec![of(&["q_proj", "up_proj"], lora), of(&["q_proj", "o_proj"], dora)]),
        ("lora-over-dora", vec![of(&["q_proj", "up_proj"], dora), of(&["q_proj", "o_proj"], lora)]),
        ("lora-over-ia3", vec![of(&["gate_proj"], ia3), of(&["gate_proj"], lora)]),
        ("prefix-tuning-over-lora", vec![of(&["q_proj", "up_proj"], lora), prompts(prefix, false)]),
        ("ia3-over-ia3", vec![of(&["down_proj", "k_proj"], ia3_input), of(&["down_proj", "up_proj"], ia3_input)]),
    ]
}

fn write_all(model: &Path, dir: &Path) {
    let (shape, base) = open(model);
    let rows: Vec<Vec<u32>> = ROWS.iter().map(|row| row.to_vec()).collect();
    for (name, plans) in plans(&shape) {
        let (mut weights, mut below, mut forms, mut top) = (base.clone(), Tuning::none(), Vec::new(), Tuning::none());
        for plan in plans {
            weights = below.merge(&shape, weights).unwrap();
            top = values::moved(&shape, &weights, plan);
            forms.push(Form::of(&shape, &top).unwrap());
            below = top.clone();
        }
        let out = dir.join(name);
        let own = forms[forms.len() - 1].clone();
        // What no single adapter is has its base beside it, as an export has.
        let (base_folder, form) = stack(forms).map_or_else(
            |_| {
                tunebench_model::save(&out.join("base"), &shape, &weights, None, Float::F32).unwrap();
                (out.join("base"), own)
            },
            |form| (model.to_owned(), form),
        );
        write::write(&out, &shape, &base_folder.display().to_string(), &form).unwrap();
        let expected = logits(&shape, &weights, &top, &rows);
        fs::write(out.join("logits.json"), json!({ "tokens": rows, "logits": expected }).to_string()).unwrap();
    }
}

fn read(model: &Path, adapter: &Path, tokens: &Path) {
    let (shape, weights) = open(model);
    let rows: Value = serde_json::from_str(&fs::read_to_string(tokens).unwrap()).unwrap();
    let rows: Vec<Vec<u32>> = serde_json::from_value(rows).unwrap();
    let adapter = load(adapter, &shape).unwrap();
    let (applied, rest) = adapter.applied(&shape, weights).unwrap();
    let found: Vec<Vec<Vec<f32>>> = logits(&shape, &applied, &rest, &rows);
    let kind = adapter.inspection.kind.to_string();
    println!("{}", json!({ "kind": kind, "remarks": adapter.inspection.remarks, "logits": found }));
}
