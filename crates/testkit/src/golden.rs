//! What PyTorch, transformers and PEFT computed, from `tests/golden`; its README says what each file holds.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};
use serde_json::Value;
use tunebench_dataset::Tokenized;
use tunebench_model::{Batch, Targets, Weights, open};
use tunebench_spec::Decoder;
use tunebench_spec::decoder::{Part, QkvLayout};
use tunebench_spec::names::Role;

/// The golden model of each family, all with the same files; `tiny` is a LLaMA.
pub const FAMILIES: [&str; 10] =
    ["tiny", "qwen2", "qwen3", "mistral", "gemma2", "gemma3", "phi3", "opt", "bloom", "gpt_neox"];

/// By how many logits the best token of a golden continuation leads the second, so that no CPU's rounding turns it: the
/// scripts choose prompts by what rounding does to each, and `rounding_turns_no_golden_continuation` asks again.
pub const LEAD: f64 = 0.25;

/// Steps that the golden trainings make, of [`BATCH`] examples each.
pub const STEPS: usize = 10;
pub const BATCH: usize = 3;

/// A file or folder of `tests/golden`.
pub fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name)
}

/// A golden model by its folder or file.
pub fn model(name: &str) -> (Decoder, Weights) {
    let source = open(&path(name)).unwrap();
    (source.shape.clone(), source.weights().unwrap())
}

/// All tensors of a file.
pub fn tensors(file: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(path(file), &Device::Cpu).unwrap()
}

pub fn json(file: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path(file)).unwrap()).unwrap()
}

/// A list of numbers.
pub fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

/// The tensors of a file whose names begin with `prefix`, which is cut off; there are some.
pub fn section(file: &str, prefix: &str) -> BTreeMap<String, Tensor> {
    let found = optional_section(file, prefix);
    assert!(!found.is_empty(), "{file} has nothing that begins with {prefix}");
    found
}

/// As [`section`], perhaps none.
pub fn optional_section(file: &str, prefix: &str) -> BTreeMap<String, Tensor> {
    let all = tensors(file).into_iter();
    all.filter_map(|(name, t)| name.strip_prefix(prefix).map(|n| (n.to_string(), t.clone()))).collect()
}

/// The methods that a golden model was tuned by.
pub fn methods(model: &str) -> Vec<String> {
    json(&format!("{model}/fixtures.json"))["methods"].as_object().unwrap().keys().cloned().collect()
}

/// `value` of the weight `name` with zeros where nothing that a model computes sees it: a key's bias adds the same to all scores
/// of a query, but for the part of it that is rotated. Its gradient is rounding alone, and AdamW makes full steps of that. None
/// where nothing of it is seen.
pub fn seen(shape: &Decoder, name: &str, value: &Tensor) -> Option<Tensor> {
    let Some(weight) = shape.weights().into_iter().find(|weight| weight.name == name) else {
        return Some(value.clone());
    };
    let (rotated, width) = (shape.rotary_dim(), shape.attention.head_dim);
    let is_fused = weight.role == Role::QueryKeyValue && shape.attention.qkv == QkvLayout::ByHead;
    if weight.part != Part::Bias || rotated == width || !(is_fused || weight.role == Role::Key) {
        return Some(value.clone());
    }
    let parts = if is_fused { 3 } else { 1 };
    let mut numbers: Vec<f32> = value.to_vec1().unwrap();
    for (i, number) in numbers.iter_mut().enumerate() {
        if (i / width) % parts == parts / 2 && i % width >= rotated {
            *number = 0.0;
        }
    }
    let is_seen = is_fused || rotated > 0;
    is_seen.then(|| Tensor::from_vec(numbers, value.dims(), &Device::Cpu).unwrap())
}

/// Those of `gradients` that a model computes more than rounding of, by [`seen`].
pub fn seen_gradients(shape: &Decoder, gradients: &BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
    gradients.iter().filter_map(|(name, gradient)| Some((name.clone(), seen(shape, name, gradient)?))).collect()
}

/// Each family with each method.
pub fn cases() -> impl Iterator<Item = (&'static str, String)> {
    FAMILIES.into_iter().flat_map(|family| methods(family).into_iter().map(move |method| (family, method)))
}

/// Examples of a batch, cut to their lengths.
#[derive(Clone, Debug)]
pub struct Rows {
    pub tokens: Vec<Vec<u32>>,
    pub is_label: Vec<Vec<bool>>,
}

impl Rows {
    /// From `ids`, `labels` and `mask`, all `[b, t]`, right-padded.
    pub fn new(ids: &Tensor, labels: &Tensor, mask: &Tensor) -> Self {
        let read = |t: &Tensor| t.to_dtype(DType::I64).unwrap().to_vec2::<i64>().unwrap();
        let (ids, labels, mask) = (read(ids), read(labels), read(mask));
        let lengths: Vec<usize> = mask.iter().map(|row| row.iter().sum::<i64>() as usize).collect();
        let tokens = ids.iter().zip(&lengths).map(|(row, n)| row[..*n].iter().map(|id| *id as u32).collect());
        let is_label =
            labels.iter().zip(&lengths).map(|(row, n)| row[..*n].iter().map(|label| *label != -100).collect());
        Self { tokens: tokens.collect(), is_label: is_label.collect() }
    }

    /// The batch that logits, losses and gradients of a golden model are given for.
    pub fn of(model: &str) -> Self {
        let all = tensors(&format!("{model}/fixtures.safetensors"));
        Self::new(&all["input_ids"], &all["labels"], &all["attention_mask"])
    }

    /// The batch of `tiny`.
    pub fn tiny() -> Self {
        Self::of("tiny")
    }

    /// The four batches that a golden model is trained on.
    pub fn training(model: &str) -> [Self; 4] {
        let all = tensors(&format!("{model}/fixtures.safetensors"));
        let part = |name: &str, i: usize| all[name].get(i).unwrap();
        [0, 1, 2, 3]
            .map(|i| Self::new(&part("train_ids", i), &part("train_labels", i), &part("train_attention_mask", i)))
    }

    /// As the reference path takes them.
    pub fn batch(&self) -> (Batch, Targets) {
        let batch = Batch::right_padded(&self.tokens).unwrap();
        let targets = Targets::new(&batch, &self.is_label).unwrap();
        (batch, targets)
    }

    /// As training takes them.
    pub fn examples(&self) -> Vec<Tokenized> {
        let rows = self.tokens.iter().cloned().zip(self.is_label.iter().cloned());
        rows.map(|(tokens, is_label)| Tokenized { tokens, is_label }).collect()
    }
}

/// Examples that one shuffled epoch puts into the golden batches: step `i` learns from batch `i % 4`. `order` says which
/// examples of so many each step takes.
pub fn in_order(model: &str, order: impl FnOnce(&[Tokenized]) -> Vec<Vec<usize>>) -> Vec<Tokenized> {
    let batches = Rows::training(model).map(|rows| rows.examples());
    let mut examples = vec![Tokenized { tokens: vec![1], is_label: vec![false] }; STEPS * BATCH];
    let steps = order(&examples);
    assert_eq!(steps.len(), STEPS);
    for (step, chosen) in steps.into_iter().enumerate() {
        assert_eq!(chosen.len(), BATCH);
        for (example, row) in chosen.into_iter().zip(&batches[step % 4]) {
            examples[example] = row.clone();
        }
    }
    assert!(examples.iter().all(|e| e.n_labels() > 0));
    examples
}

/// A prompt, the greedy continuation that transformers gives it, and by how much the best logit leads the second there.
pub struct Greedy {
    pub prompt: Vec<u32>,
    pub new: Vec<u32>,
    pub smallest_lead: f64,
}

impl Greedy {
    pub fn read(value: &Value) -> Self {
        let tokens = |key: &str| floats(&value[key]).into_iter().map(|token| token as u32).collect();
        Self { prompt: tokens("prompt"), new: tokens("new"), smallest_lead: value["smallest_lead"].as_f64().unwrap() }
    }

    /// Those of a golden model; fails where one could turn in bf16.
    pub fn of(model: &str) -> Vec<Self> {
        let report = json(&format!("{model}/fixtures.json"));
        let all: Vec<Self> = report["generate"].as_array().unwrap().iter().map(Self::read).collect();
        assert_eq!(all.len(), 3);
        for greedy in &all {
            assert!(greedy.smallest_lead >= LEAD, "{model}: {:?} leads by too little: make it anew", greedy.prompt);
        }
        all
    }
}
