//! What training keeps on disk.
//!
//! ```text
//! DIR/steps.jsonl            the log, a line a step
//! DIR/losses.jsonl           held-out losses, where there are any (loss_log.rs)
//! DIR/receipt.json           whether everything moves that is to, from the third step on (receipt.rs)
//! DIR/checkpoint/            where to go on: trained.safetensors, moments.safetensors, state.json
//! DIR/best/                  the best state so far, where it is to be the result: params.safetensors, state.json
//! DIR/result/                what came of it: params.safetensors, recorded.json
//! ```
//!
//! The folders are there whole or not at all ([`tunebench_files::write_folder`]). The first rank alone reads and writes; a
//! checkpoint has the same bytes whatever the number of ranks, and any number of them goes on from it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use tunebench_files::{
    JsonLines, current_folder, read_json, read_lines, remove_folder, write_file, write_folder, write_json,
};
use tunebench_model::formats::safetensors::{self, TensorFile};
use tunebench_model::{AdamWState, AdamWStates, Tuning, tuning};
use tunebench_spec::plan::RecordedPlan;
use tunebench_spec::{Decoder, StepLog};

use crate::Error;
use crate::divided::Divided;
use crate::loss_log::losses;
use crate::receipt::Draft;

/// Where a training run stands.
pub(crate) struct Checkpoint {
    /// Steps done.
    pub steps: u64,
    pub values: BTreeMap<String, Tensor>,
    pub states: AdamWStates,
    pub receipt: Option<Draft>,
}

#[derive(Serialize, Deserialize)]
struct State {
    steps: u64,
    /// None of a run that began before receipts were kept, and of a best state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    receipt: Option<Draft>,
}

const CURRENT: &str = "checkpoint";
const BEST: &str = "best";
const RESULT: &str = "result";
const LOG: &str = "steps.jsonl";

const STATE: &str = "state.json";
const PARAMS: &str = "params.safetensors";
const RECORDED: &str = "recorded.json";

/// Replaces the checkpoint by where `state` stands. No tensor but the one being written is there twice.
pub(crate) fn save(dir: &Path, steps: u64, state: &mut Divided<'_, '_>, receipt: Option<&Draft>) -> Result<(), Error> {
    if !state.is_first() {
        state.send_values()?;
        return state.send_moments();
    }
    write_folder(&dir.join(CURRENT), |new| {
        write_values(&new.join("trained.safetensors"), state)?;
        let (shapes, moments) = state.moments();
        let of = |i: usize| {
            let (index, which) = moments[i];
            state.moment(index, which)
        };
        safetensors::write_each(&new.join("moments.safetensors"), shapes, of)?;
        Ok(write_json(&new.join(STATE), &State { steps, receipt: receipt.cloned() })?)
    })
}

fn write_values(path: &Path, state: &mut Divided<'_, '_>) -> Result<(), Error> {
    safetensors::write_each(path, state.params(), |index| state.value(index))
}

/// Steps at the checkpoint; 0 without one.
pub fn steps_done(dir: &Path) -> Result<u64, Error> {
    Ok(steps_of(dir, CURRENT)?.unwrap_or(0))
}

/// Steps of the state that is kept as the best so far.
pub(crate) fn best_step(dir: &Path) -> Result<Option<u64>, Error> {
    steps_of(dir, BEST)
}

fn steps_of(dir: &Path, name: &str) -> Result<Option<u64>, Error> {
    let Some(folder) = current_folder(&dir.join(name)) else { return Ok(None) };
    let State { steps, .. } = read_json(&folder.join(STATE))?;
    Ok(Some(steps))
}

/// The checkpoint, if there is one.
pub(crate) fn load(dir: &Path) -> Result<Option<Checkpoint>, Error> {
    let Some(folder) = current_folder(&dir.join(CURRENT)) else { return Ok(None) };
    let State { steps, receipt } = read_json(&folder.join(STATE))?;
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
    Ok(Some(Checkpoint { steps, values, states, receipt }))
}

/// Writes what came of training; the checkpoint is no longer needed.
pub(crate) fn save_result(dir: &Path, recorded: &RecordedPlan, state: &mut Divided<'_, '_>) -> Result<(), Error> {
    if !state.is_first() {
        return state.send_values();
    }
    write_folder(&dir.join(RESULT), |new| -> Result<(), Error> {
        write_values(&new.join(PARAMS), state)?;
        Ok(write_json(&new.join(RECORDED), recorded)?)
    })?;
    clear(dir)
}

/// Replaces the best state by where `state` stands after `steps` steps.
pub(crate) fn save_best(dir: &Path, steps: u64, state: &mut Divided<'_, '_>) -> Result<(), Error> {
    if !state.is_first() {
        return state.send_values();
    }
    write_folder(&dir.join(BEST), |new| {
        write_values(&new.join(PARAMS), state)?;
        Ok(write_json(&new.join(STATE), &State { steps, receipt: None })?)
    })
}

/// As [`save_result`], of the best state.
pub(crate) fn save_best_as_result(dir: &Path, recorded: &RecordedPlan) -> Result<(), Error> {
    let best = current_folder(&dir.join(BEST)).unwrap_or_else(|| dir.join(BEST)).join(PARAMS);
    write_folder(&dir.join(RESULT), |new| -> Result<(), Error> {
        let mut best = File::open(&best).map_err(Error::io(&best))?;
        write_file(&new.join(PARAMS), |out| io::copy(&mut best, out).map(drop))?;
        Ok(write_json(&new.join(RECORDED), recorded)?)
    })?;
    clear(dir)
}

/// The state of the step with the least held-out loss is not there.
pub(crate) fn no_best(dir: &Path, step: u64) -> Error {
    Error::damaged(&dir.join(BEST), format!("it is not the state after step {step}, whose held-out loss is the least"))
}

/// Removes checkpoint and best state of a finished training. A kill may have come between its result and this.
pub(crate) fn clear(dir: &Path) -> Result<(), Error> {
    remove_folder(&dir.join(CURRENT))?;
    Ok(remove_folder(&dir.join(BEST))?)
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
    let recorded = read_json(&folder.join(RECORDED))?;
    let values = read_tensors(&folder.join(PARAMS))?;
    Ok(Tuning::new(shape, recorded, values)?)
}

/// The plan of a finished training in `dir`, with its graphs; no value is read.
///
/// # Errors
/// When the file is missing or damaged.
pub fn load_plan(dir: &Path) -> Result<RecordedPlan, Error> {
    Ok(read_json(&dir.join(RESULT).join(RECORDED))?)
}

/// The log of a training in `dir`.
///
/// # Errors
/// When a line is damaged. A torn last line, all that a kill can leave, is passed over.
pub fn steps(dir: &Path) -> Result<Vec<StepLog>, Error> {
    Ok(read_lines(&dir.join(LOG))?)
}

/// The step of a finished training in `dir` whose state is the result: the last, or the one with the least held-out loss
/// where the recipe asks for that.
///
/// # Errors
/// When a line of a log is damaged.
pub fn kept_step(dir: &Path) -> Result<u64, Error> {
    match losses(dir)?.iter().find(|line| line.is_final) {
        Some(line) => Ok(line.step),
        None => Ok(steps(dir)?.last().map_or(0, |line| line.step)),
    }
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
