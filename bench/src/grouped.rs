//! Answers by several adapters over one model in one batch, beside the same adapters one after another: what a study does with
//! arms that are LoRA over one base.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use candle_core::{Device, Tensor};
use tunebench_generate::{Prompt, Settings, answer_each};
use tunebench_model::Tuning;
use tunebench_model::backend::{Backend, Generator, Parts};
use tunebench_spec::random::Stream;

use crate::figures::median;
use crate::model::{Model, Tuner};

/// How far adapters are moved from where they begin, so that each answers otherwise.
const MOVED: f64 = 0.01;

/// Seconds of the median run, all at once and one after another.
pub struct Seconds {
    pub together: f64,
    /// The sum over the adapters, each by a model of its own that was opened before.
    pub one_by_one: f64,
}

/// So many adapters of this kind, each with numbers of its own.
pub fn adapters(model: &Model, tuner: Tuner, count: usize) -> Result<Vec<Tuning>> {
    let start = tuner.start(model)?;
    let moved = |adapter: usize| -> Result<Tuning> {
        let mut values = BTreeMap::new();
        for (name, value) in start.values() {
            let mut stream = Stream::named(adapter as u64, name);
            let noise: Vec<f32> = (0..value.elem_count()).map(|_| (MOVED * stream.normal()) as f32).collect();
            values.insert(name.clone(), (value + Tensor::from_vec(noise, value.dims(), &Device::Cpu)?)?);
        }
        Ok(Tuning::new(&model.shape, start.recorded().clone(), values)?)
    };
    (0..count).map(moved).collect()
}

/// Has each adapter answer all prompts, `repeats` times after one that does not count; the answers of both ways are the same.
pub fn measure(
    backend: &dyn Backend,
    model: &Model,
    adapters: &[Tuning],
    prompts: &[Prompt],
    settings: &Settings,
    repeats: usize,
) -> Result<Seconds> {
    let Model { shape, weights } = model;
    let settings = Arc::new(settings.clone());
    let of = |adapter: usize| prompts.iter().map(move |prompt| Prompt { adapter, ..prompt.clone() });
    let all: Vec<Prompt> = (0..adapters.len()).flat_map(of).collect();
    let (together, found) = {
        let grouped = backend.grouped_generator(shape, weights.clone(), adapters.to_vec())?;
        timed(grouped.as_ref(), &all, &settings, repeats)?
    };
    let (mut one_by_one, mut expected) = (0.0, Vec::new());
    for tuning in adapters {
        let alone = backend.generator(Parts { shape, weights: weights.clone(), tuning: tuning.clone() })?;
        let (seconds, answers) = timed(alone.as_ref(), prompts, &settings, repeats)?;
        one_by_one += seconds;
        expected.extend(answers);
    }
    ensure!(found == expected, "answers made together are others than those made one by one");
    Ok(Seconds { together, one_by_one })
}

/// Seconds of the median run over these prompts, all at once, and their answers.
fn timed(
    model: &dyn Generator,
    prompts: &[Prompt],
    settings: &Arc<Settings>,
    repeats: usize,
) -> Result<(f64, Vec<Vec<u32>>)> {
    let asked: Vec<(&Prompt, Arc<Settings>)> = prompts.iter().map(|prompt| (prompt, settings.clone())).collect();
    let (mut seconds, mut answers) = (Vec::with_capacity(repeats), vec![Vec::new(); prompts.len()]);
    for run in 0..=repeats {
        let begin = Instant::now();
        answer_each(model, &asked, prompts.len(), &mut |i, answer| -> Result<()> {
            answers[i] = answer.tokens;
            Ok(())
        })?;
        if run > 0 {
            seconds.push(begin.elapsed().as_secs_f64());
        }
    }
    ensure!(answers.iter().all(|answer| answer.len() == settings.max_new_tokens), "an answer that is too short");
    Ok((median(seconds), answers))
}
