//! How long training, losses and answers take on this machine, from a short calibration: models of the same dimensions with one
//! and a few layers, held in as many bits as the whole, are trained for a step, measured and asked for a few tokens, and the rest is
//! a line in the number of layers.
//!
//! What was measured is kept in a file, named by all that it depends on, so that a plan measures a machine once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tunebench_kernels::SimdLevel;
use tunebench_kernels::optim::adamw::AdamWParams;
use tunebench_kernels::quant::QuantType;
use tunebench_model::backend::{Backend, OptimizerStep, Parts, PromptRow, Sequence, StepKey, StepSize};
use tunebench_model::{AdamWStates, MemoryNeed, QuantisedWeight, QuantisedWeights, Tuning, Weights, quantise};
use tunebench_spec::decoder::{Part, Weight};
use tunebench_spec::names::Role;
use tunebench_spec::plan::RecordedPlan;
use tunebench_spec::{Decoder, Recipe, hash};

use crate::error::StudyError;
use crate::memory;

/// Raised when a change of the code changes how fast something is, or how that is measured.
const CALIBRATION_VERSION: u32 = 4;

/// Layers of the larger of the two models that are measured.
const LAYERS: usize = 3;

/// Most tokens of a measured step: enough for products to be as fast as they get, few enough for a second or two.
const MOST_TOKENS: usize = 1024;
/// Of a model whose layers are large, fewer are enough.
const MOST_TOKENS_OF_LARGE: usize = 256;
const LARGE_HIDDEN_SIZE: usize = 1536;

/// Steps of generation that are measured.
const ANSWER_STEPS: usize = 8;

/// What took less to measure is measured again each time, and the faster kept: the machine may have been busy.
const CHEAP_SECONDS: f64 = 3.0;

/// How fast a model is trained and its losses are measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingSpeed {
    pub seconds_per_token: f64,
    /// What a step takes whatever its tokens: the optimizer, above all.
    pub seconds_per_step: f64,
    /// Of a text to measure the loss on: the way forward alone.
    pub seconds_per_measured_token: f64,
}

impl TrainingSpeed {
    /// Seconds of a training.
    pub fn seconds(&self, steps: u64, tokens: u64) -> f64 {
        self.seconds_per_step * steps as f64 + self.seconds_per_token * tokens as f64
    }
}

/// How fast a model answers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnsweringSpeed {
    pub seconds_per_prompt_token: f64,
    /// For all streams together.
    pub seconds_per_step: f64,
    pub streams: usize,
}

impl AnsweringSpeed {
    /// Seconds for so many answers of so many tokens each, to prompts of so many.
    pub fn seconds(&self, answers: u64, prompt_tokens: f64, new_tokens: f64) -> f64 {
        let rounds = answers as f64 / self.streams.max(1) as f64;
        answers as f64 * prompt_tokens * self.seconds_per_prompt_token
            + rounds.ceil() * new_tokens * self.seconds_per_step
    }
}

/// What was measured on this machine so far, and where it is kept.
#[derive(Debug, Default)]
pub struct Calibration {
    file: Option<PathBuf>,
    measured: Measured,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Measured {
    #[serde(default)]
    training: BTreeMap<String, TrainingSpeed>,
    #[serde(default)]
    answering: BTreeMap<String, AnsweringSpeed>,
    /// What was measured by this process, and need not be again.
    #[serde(skip)]
    now: BTreeSet<String>,
}

impl Measured {
    /// Whether what is known under a name is to be used as it is, when to measure it takes so many seconds.
    fn is_settled(&self, key: &str, seconds: f64) -> bool {
        seconds > CHEAP_SECONDS || self.now.contains(key)
    }
}

impl Calibration {
    /// What the file holds; nothing where it cannot be read: then it is measured anew.
    pub fn open(file: Option<PathBuf>) -> Self {
        let measured = file.as_deref().and_then(|file| tunebench_files::read_json(file).ok()).unwrap_or_default();
        Self { file, measured }
    }

    /// How fast such a training is, with examples of `length` tokens. None where a part of the model would tell nothing of
    /// the whole, or even that part does not fit this machine.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn training(
        &mut self,
        (shape, quantised): (&Decoder, &QuantisedWeights),
        recorded: &RecordedPlan,
        recipe: &Recipe,
        length: usize,
        backend: &'static dyn Backend,
    ) -> Result<Option<TrainingSpeed>, StudyError> {
        // What stands in front of every layer is as large as the whole model.
        if recorded.virtual_tokens.is_some() {
            return Ok(None);
        }
        let most = if shape.hidden_size > LARGE_HIDDEN_SIZE { MOST_TOKENS_OF_LARGE } else { MOST_TOKENS };
        let step = if recipe.batch_tokens > 0 { recipe.batch_tokens } else { recipe.batch_size.saturating_mul(length) };
        let tokens = step.min(recipe.micro_batch_tokens).clamp(1, most);
        let length = rounded(length).min(tokens).max(2);
        let count = (tokens / length).max(1);
        // Losses are measured over as many tokens at once as fit, however few a step takes.
        let measured = (recipe.micro_batch_tokens.clamp(1, most) / length).max(1);
        let kinds = kinds(shape, quantised);
        let key = self.key(&json!({
            "shape": shape, "kinds": shown(&kinds), "recorded": recorded, "length": length, "count": count, "measured": measured,
            "recompute": recipe.gradient_checkpointing, "engine": backend.name(),
        }))?;
        let before = self.measured.training.get(&key).copied();
        // Two models, three steps each and as many losses, of which the larger is a part of the whole.
        let cost = |speed: &TrainingSpeed| {
            speed.seconds(6, 6 * (count * length) as u64)
                + speed.seconds_per_measured_token * (6 * measured * length) as f64
        };
        if let Some(speed) = before.filter(|speed| self.measured.is_settled(&key, cost(speed))) {
            return Ok(Some(speed));
        }
        let measure = |layers: usize| -> Result<Option<[f64; 3]>, StudyError> {
            let (part, plan) = with_layers(shape, recorded, layers);
            let held = in_kinds(&part, &kinds);
            let size = StepSize { tokens: count * length, longest: length, measured: measured * length };
            let need = backend.training_memory(&part, &plan, &held, size, recipe.gradient_checkpointing);
            if need.is_some_and(|need| !has_ample_room(need, backend)) {
                return Ok(None);
            }
            let weights = quantise::drawn(&part, &held, 0)?;
            train_step((&part, weights), plan, [count, measured], length, recipe, backend).map(Some)
        };
        let Some([seconds_per_token, seconds_per_step, seconds_per_measured_token]) =
            over_layers(shape.num_hidden_layers, measure)?
        else {
            return Ok(None);
        };
        let fastest =
            |now: f64, of: fn(&TrainingSpeed) -> f64| before.as_ref().map_or(now, |before| now.min(of(before)));
        let speed = TrainingSpeed {
            seconds_per_token: fastest(seconds_per_token, |speed| speed.seconds_per_token),
            seconds_per_step: fastest(seconds_per_step, |speed| speed.seconds_per_step),
            seconds_per_measured_token: fastest(seconds_per_measured_token, |speed| speed.seconds_per_measured_token),
        };
        self.measured.now.insert(key.clone());
        self.measured.training.insert(key, speed);
        self.keep();
        Ok(Some(speed))
    }

    /// How fast a model of this shape answers prompts of `length` tokens, so many at a time.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn answering(
        &mut self,
        (shape, quantised): (&Decoder, &QuantisedWeights),
        length: usize,
        streams: usize,
        backend: &'static dyn Backend,
    ) -> Result<Option<AnsweringSpeed>, StudyError> {
        let length = rounded(length).clamp(2, shape.context().saturating_sub(ANSWER_STEPS).max(2));
        let kinds = kinds(shape, quantised);
        let key = self.key(&json!({
            "shape": shape, "kinds": shown(&kinds), "length": length, "streams": streams, "engine": backend.name(),
        }))?;
        let before = self.measured.answering.get(&key).copied();
        let cost = |speed: &AnsweringSpeed| 2.0 * speed.seconds(streams as u64, length as f64, ANSWER_STEPS as f64);
        if let Some(speed) = before.filter(|speed| self.measured.is_settled(&key, cost(speed))) {
            return Ok(Some(speed));
        }
        let measure = |layers: usize| {
            let (part, _) = with_layers(shape, &RecordedPlan::default(), layers);
            let held = in_kinds(&part, &kinds);
            let need = backend.answering_memory(&part, &held, streams, length + ANSWER_STEPS);
            if !has_ample_room(need, backend) {
                return Ok(None);
            }
            let weights = quantise::drawn(&part, &held, 0)?;
            answer_steps((&part, weights), length, streams, backend).map(Some)
        };
        let Some([seconds_per_prompt_token, seconds_per_step]) = over_layers(shape.num_hidden_layers, measure)? else {
            return Ok(None);
        };
        let fastest =
            |now: f64, of: fn(&AnsweringSpeed) -> f64| before.as_ref().map_or(now, |before| now.min(of(before)));
        let speed = AnsweringSpeed {
            seconds_per_prompt_token: fastest(seconds_per_prompt_token, |speed| speed.seconds_per_prompt_token),
            seconds_per_step: fastest(seconds_per_step, |speed| speed.seconds_per_step),
            streams,
        };
        self.measured.now.insert(key.clone());
        self.measured.answering.insert(key, speed);
        self.keep();
        Ok(Some(speed))
    }

    /// Names a measurement by what it is of, and by the machine.
    fn key(&self, of: &serde_json::Value) -> Result<String, StudyError> {
        let level = SimdLevel::chosen().map(SimdLevel::name).unwrap_or_default();
        let threads = rayon::current_num_threads();
        let machine = json!([CALIBRATION_VERSION, processor(), level, threads]);
        Ok(hash::of_json(&json!([machine, of]))?)
    }

    /// Writes what is known into the file, beside what other processes have written since it was read. Where that cannot be
    /// done it is measured again next time, which is no reason to end a training.
    fn keep(&self) {
        let Some(file) = &self.file else { return };
        let mut all: Measured = tunebench_files::read_json(file).unwrap_or_default();
        all.training.extend(self.measured.training.clone());
        all.answering.extend(self.measured.answering.clone());
        let folder = file.parent().map_or(Ok(()), tunebench_files::create_folder);
        let _ = folder.and_then(|()| tunebench_files::write_json(file, &all));
    }
}

/// Whether there is room for twice as much: a measurement needs its model as it is drawn, too.
fn has_ample_room(need: MemoryNeed, backend: &dyn Backend) -> bool {
    memory::exceeded(MemoryNeed::own(2 * need.whole()), backend).is_none()
}

/// As the system calls the processor.
fn processor() -> String {
    let text = std::fs::read_to_string(Path::new("/proc/cpuinfo")).unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name));
    model.unwrap_or(std::env::consts::ARCH).trim().to_owned()
}

/// Lengths that differ little are measured once.
fn rounded(length: usize) -> usize {
    length.max(1).next_multiple_of(16)
}

/// The values for `layers` layers, from a line through those of one and a few.
fn over_layers<const N: usize>(
    layers: usize,
    mut measure: impl FnMut(usize) -> Result<Option<[f64; N]>, StudyError>,
) -> Result<Option<[f64; N]>, StudyError> {
    if layers <= LAYERS {
        return measure(layers);
    }
    let (Some(one), Some(few)) = (measure(1)?, measure(LAYERS)?) else { return Ok(None) };
    let line = |i: usize| {
        let slope = ((few[i] - one[i]) / (LAYERS - 1) as f64).max(0.0);
        few[i] + slope * (layers - LAYERS) as f64
    };
    Ok(Some(std::array::from_fn(line)))
}

/// The first layers of a model, and what a plan says of them.
fn with_layers(shape: &Decoder, recorded: &RecordedPlan, layers: usize) -> (Decoder, RecordedPlan) {
    let part = Decoder { num_hidden_layers: layers, ..shape.clone() };
    let names: BTreeSet<String> = part.weights().into_iter().map(|weight| weight.name).collect();
    let mut recorded = recorded.clone();
    recorded.plan.weights.retain(|name, _| names.contains(name));
    recorded.sites.retain(|name, _| names.contains(name));
    (part, recorded)
}

/// The format that most of the weights of a role are held in; of roles whose weights are plain numbers none. Files of some kinds have
/// more bits in some layers than in others.
type Kinds = BTreeMap<Role, QuantType>;

fn kinds(shape: &Decoder, quantised: &QuantisedWeights) -> Kinds {
    let mut counts: BTreeMap<Role, Vec<(Option<QuantType>, usize)>> = BTreeMap::new();
    for weight in shape.weights().into_iter().filter(|weight| weight.part == Part::Weight) {
        let kind = quantised.get(&weight.name).map(|weight| weight.kind);
        let of_role = counts.entry(weight.role).or_default();
        match of_role.iter_mut().find(|(other, _)| *other == kind) {
            Some((_, count)) => *count += 1,
            None => of_role.push((kind, 1)),
        }
    }
    let most = |of_role: Vec<(Option<QuantType>, usize)>| of_role.into_iter().max_by_key(|(_, count)| *count)?.0;
    counts.into_iter().filter_map(|(role, of_role)| Some((role, most(of_role)?))).collect()
}

/// As a measurement is named by them.
fn shown(kinds: &Kinds) -> Vec<(String, &'static str)> {
    kinds.iter().map(|(role, kind)| (format!("{role:?}"), kind.name())).collect()
}

/// What of a part of the model is held in these formats.
fn in_kinds(part: &Decoder, kinds: &Kinds) -> QuantisedWeights {
    let held = |weight: Weight| {
        let &kind = kinds.get(&weight.role).filter(|_| weight.part == Part::Weight)?;
        let &[rows, cols] = weight.shape.as_slice() else { return None };
        let bytes = kind.bytes(rows, cols)? as u64;
        Some((weight.name, QuantisedWeight { kind, bytes, is_mapped: false }))
    };
    part.weights().into_iter().filter_map(held).collect()
}

/// Seconds a token and a step of training with `count` examples, and a token of `measured` ones whose loss is measured; the better of
/// two after one that warms up.
fn train_step(
    (shape, weights): (&Decoder, Weights),
    recorded: RecordedPlan,
    [count, measured]: [usize; 2],
    length: usize,
    recipe: &Recipe,
    backend: &'static dyn Backend,
) -> Result<[f64; 3], StudyError> {
    let tuning = Tuning::init(shape, &weights, recorded, 0)?;
    let mut model =
        backend.trainable(Parts { shape, weights, tuning }, AdamWStates::new(), recipe.gradient_checkpointing)?;
    let tokens: Vec<u32> = (0..length).map(|i| (i * 7919 % shape.vocab_size) as u32).collect();
    let is_label: Vec<bool> = (0..length).map(|i| i > 0).collect();
    let sequence = |step_index: u64| Sequence { tokens: &tokens, is_label: &is_label, step_index };
    let batch = |count: usize| [(0..count as u64).map(sequence).collect::<Vec<_>>()];
    let (learnt, read) = (batch(count), batch(measured));
    let Recipe { beta1, beta2, epsilon, weight_decay, .. } = *recipe;
    let adamw = AdamWParams { beta1, beta2, epsilon, weight_decay };
    let mut best = [f64::INFINITY; 3];
    for step in 0..3 {
        let begin = Instant::now();
        model.zero_grad();
        model.accumulate(&learnt, StepKey { seed: 0, step })?;
        let computed = begin.elapsed().as_secs_f64();
        // No step of this is kept, so none may spoil the numbers of the next.
        model.grad_norm()?;
        model.update(&OptimizerStep { adamw, number: step + 1, learning_rate: 0.0, gradient_scale: 1.0 })?;
        let updated = begin.elapsed().as_secs_f64() - computed;
        let begin = Instant::now();
        model.loss(&read)?;
        let loss = begin.elapsed().as_secs_f64();
        if step > 0 {
            best = [best[0].min(computed), best[1].min(updated), best[2].min(loss)];
        }
    }
    Ok([best[0] / (count * length) as f64, best[1], best[2] / (measured * length) as f64])
}

/// Seconds a prompt token and a step of all streams.
fn answer_steps(
    (shape, weights): (&Decoder, Weights),
    length: usize,
    streams: usize,
    backend: &'static dyn Backend,
) -> Result<[f64; 2], StudyError> {
    let model = backend.generator(Parts { shape, weights, tuning: Tuning::none() })?;
    let prompt: Vec<u32> = (0..length).map(|i| (i * 7919 % shape.vocab_size) as u32).collect();
    let prompts: Vec<PromptRow<'_>> = vec![prompt.as_slice().into(); streams];
    let mut logits = Vec::new();
    let mut rows = model.rows();
    let begin = Instant::now();
    rows.prefill(&prompts, &mut logits)?;
    let prefill = begin.elapsed().as_secs_f64();
    let tokens = vec![1 % shape.vocab_size as u32; streams];
    rows.step(&tokens, &mut logits)?;
    let begin = Instant::now();
    for _ in 1..ANSWER_STEPS {
        rows.step(&tokens, &mut logits)?;
    }
    let step = begin.elapsed().as_secs_f64() / (ANSWER_STEPS - 1) as f64;
    Ok([prefill / (length * streams) as f64, step])
}
