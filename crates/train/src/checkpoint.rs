//! What training keeps on disk.
//!
//! ```text
//! DIR/steps.jsonl            the log, a line a step
//! DIR/checkpoint/            where to go on: trained.safetensors, moments.safetensors, state.json
//! DIR/result/                what came of it: params.safetensors, recorded.json
//! ```
//!
//! Both folders are there whole or not at all ([`tunebench_files::write_folder`]).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use tunebench_files::{JsonLines, current_folder, read_json, read_lines, remove_folder, write_folder, write_json};
use tunebench_model::backend::Trainable;
use tunebench_model::formats::safetensors::{self, TensorFile};
use tunebench_model::{AdamWState, AdamWStates, Tuning, tuning};
use tunebench_spec::plan::RecordedPlan;
use tunebench_spec::{Decoder, StepLog};

use crate::Error;

/// Where a training run stands.
pub(crate) struct Checkpoint {
    /// Steps done.
    pub steps: u64,
    pub values: BTreeMap<String, Tensor>,
    pub states: AdamWStates,
}

#[derive(Serialize, Deserialize)]
struct State {
    steps: u64,
}

const CURRENT: &str = "checkpoint";
const RESULT: &str = "result";
const LOG: &str = "steps.jsonl";

/// Replaces the checkpoint by where `model` stands. No tensor but the one being written is there twice.
pub(crate) fn save(dir: &Path, steps: u64, model: &dyn Trainable) -> Result<(), Error> {
    write_folder(&dir.join(CURRENT), |new| {
        safetensors::write_each(&new.join("trained.safetensors"), model.params(), |i| model.value(i))?;
        let (mut shapes, mut values) = (Vec::new(), Vec::new());
        for (name, AdamWState { first, second }) in model.adamw_states() {
            for (which, moment) in [("first", first), ("second", second)] {
                shapes.push((format!("{which}.{name}"), vec![moment.len()]));
                values.push(moment);
            }
        }
        safetensors::write_each(&new.join("moments.safetensors"), shapes, |i| Ok(Cow::Borrowed(values[i])))?;
        Ok(write_json(&new.join("state.json"), &State { steps })?)
    })
}

/// The checkpoint, if there is one.
pub(crate) fn load(dir: &Path) -> Result<Option<Checkpoint>, Error> {
    let Some(folder) = current_folder(&dir.join(CURRENT)) else { return Ok(None) };
    let State { steps } = read_json(&folder.join("state.json"))?;
    let values = read_tensors(&folder.join("trained.safetensors"))?;
    let mut states = AdamWStates::new();
    for (name, tensor) in read_tensors(&folder.join("moments.safetensors"))? {
        let numbers = tensor.flatten_all()?.to_vec1::<f32>()?;
        match name.split_once('.') {
            Some(("first", name)) => states.entry(name.to_owned()).or_default().first = numbers,
            Some(("second", name)) => states.entry(name.to_owned()).or_default().second = numbers,
            _ => return Err(Error::damaged(&folder, format!("unknown moment `{name}`"))),
        }
    }
    for (name, AdamWState { first, second }) in &states {
        let expected = values.get(name).map_or(0, Tensor::elem_count);
        if first.len() != expected || second.len() != expected {
            return Err(Error::damaged(&folder, format!("the moments of `{name}` do not have its size")));
        }
    }
    Ok(Some(Checkpoint { steps, values, states }))
}

/// Writes what came of training; the checkpoint is no longer needed.
pub(crate) fn save_result(dir: &Path, recorded: &RecordedPlan, model: &dyn Trainable) -> Result<(), Error> {
    write_folder(&dir.join(RESULT), |new| -> Result<(), Error> {
        safetensors::write_each(&new.join("params.safetensors"), model.params(), |i| model.value(i))?;
        Ok(write_json(&new.join("recorded.json"), recorded)?)
    })?;
    clear(dir)
}

/// Removes the checkpoint of a finished training. A kill may have come between its result and this.
pub(crate) fn clear(dir: &Path) -> Result<(), Error> {
    Ok(remove_folder(&dir.join(CURRENT))?)
}

/// Whether training has come to its end.
pub(crate) fn is_finished(dir: &Path) -> bool {
    dir.join(RESULT).is_dir()
}

/// The outcome of a finished training in `dir`: its plan, its recorded graphs and its trained values.
///
/// # Errors
/// When a file is missing or damaged, or does not fit the model.
pub fn load_result(dir: &Path, shape: &Decoder) -> Result<Tuning, Error> {
    let folder = dir.join(RESULT);
    let recorded = read_json(&folder.join("recorded.json"))?;
    let values = read_tensors(&folder.join("params.safetensors"))?;
    Ok(Tuning::new(shape, recorded, values)?)
}

/// The log of a training in `dir`.
///
/// # Errors
/// When a line is damaged. A torn last line, all that a kill can leave, is passed over.
pub fn steps(dir: &Path) -> Result<Vec<StepLog>, Error> {
    Ok(read_lines(&dir.join(LOG))?)
}

/// The log, opened to be continued after `done` steps; later lines belong to steps that are made again.
pub(crate) fn open_log(dir: &Path, done: u64) -> Result<JsonLines<StepLog>, Error> {
    let (log, _) = JsonLines::open_while(&dir.join(LOG), |step: &StepLog| step.step <= done)?;
    Ok(log)
}

/// Names and shapes of the checkpoint's values against what the plan trains.
pub(crate) fn fit(shape: &Decoder, recorded: &RecordedPlan, checkpoint: &Checkpoint, dir: &Path) -> Result<(), Error> {
    let expected = tuning::shapes(shape, recorded);
    let found: BTreeMap<String, Vec<usize>> =
        checkpoint.values.iter().map(|(name, t)| (name.clone(), t.dims().to_vec())).collect();
    if expected == found {
        return Ok(());
    }
    Err(Error::damaged(&dir.join(CURRENT), "its tensors are not those that the plan trains"))
}

fn read_tensors(path: &Path) -> Result<BTreeMap<String, Tensor>, Error> {
    let mut file = TensorFile::open(path)?;
    let names: Vec<String> = file.shapes().into_keys().collect();
    names.into_iter().map(|name| Ok((name.clone(), file.read(&name)?))).collect()
}
