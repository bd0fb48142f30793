//! What training keeps on disk.
//!
//! ```text
//! DIR/steps.jsonl            the log, a line a step
//! DIR/checkpoint/            where to go on: trained.safetensors, moments.safetensors, state.json
//! DIR/result/                what came of it: params.safetensors, recorded.json
//! ```
//!
//! A folder is written under another name, synced, and renamed: it is there whole or not at all.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use tunebench_model::formats::safetensors::{self, TensorFile};
use tunebench_model::{AdamWState, AdamWStates, Tuning, tuning};
use tunebench_spec::plan::RecordedPlan;
use tunebench_spec::{Decoder, StepLog};

use crate::Error;
use crate::engine::Engine;

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
const PREVIOUS: &str = "checkpoint.previous";
const RESULT: &str = "result";

/// Replaces the checkpoint by where `engine` stands. No tensor but the one being written is there twice.
pub(crate) fn save(dir: &Path, steps: u64, engine: &dyn Engine) -> Result<(), Error> {
    write_folder(dir, CURRENT, |new| {
        safetensors::write_each(&new.join("trained.safetensors"), engine.shapes(), |i| engine.value(i))?;
        let (mut shapes, mut values) = (Vec::new(), Vec::new());
        for (name, AdamWState { first, second }) in engine.adamw_states() {
            for (which, moment) in [("first", first), ("second", second)] {
                shapes.push((format!("{which}.{name}"), vec![moment.len()]));
                values.push(moment);
            }
        }
        safetensors::write_each(&new.join("moments.safetensors"), shapes, |i| Ok(Cow::Borrowed(values[i])))?;
        write_json(&new.join("state.json"), &State { steps })
    })
}

/// The checkpoint, if there is one.
pub(crate) fn load(dir: &Path) -> Result<Option<Checkpoint>, Error> {
    let folder = match [CURRENT, PREVIOUS].map(|name| dir.join(name)).into_iter().find(|f| f.is_dir()) {
        Some(folder) => folder,
        None => return Ok(None),
    };
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
pub(crate) fn save_result(dir: &Path, recorded: &RecordedPlan, engine: &dyn Engine) -> Result<(), Error> {
    write_folder(dir, RESULT, |new| {
        safetensors::write_each(&new.join("params.safetensors"), engine.shapes(), |i| engine.value(i))?;
        write_json(&new.join("recorded.json"), recorded)
    })?;
    clear(dir)
}

/// Removes the checkpoints of a finished training. A kill may have come between its result and this.
pub(crate) fn clear(dir: &Path) -> Result<(), Error> {
    remove(&dir.join(CURRENT))?;
    remove(&dir.join(PREVIOUS))
}

/// Whether training has come to its end.
pub(crate) fn is_finished(dir: &Path) -> bool {
    dir.join(RESULT).is_dir()
}

/// The outcome of a finished training in `dir`: its plan, its recorded maths and its trained values.
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
    let path = dir.join("steps.jsonl");
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io(&path)(e)),
    };
    let whole = text.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
    let lines = text[..whole].split(|b| *b == b'\n').filter(|line| !line.is_empty());
    let parse = |(i, line): (usize, &[u8])| {
        serde_json::from_slice(line).map_err(|e| Error::damaged(&path, format!("line {}: {e}", i + 1)))
    };
    lines.enumerate().map(parse).collect()
}

/// The log, opened to be continued after `steps` steps; later lines belong to steps that are made again.
pub(crate) fn open_log(dir: &Path, done: u64) -> Result<File, Error> {
    let path = dir.join("steps.jsonl");
    let mut kept = Vec::new();
    for step in steps(dir)?.iter().filter(|s| s.step <= done) {
        serde_json::to_writer(&mut kept, step).map_err(|e| Error::damaged(&path, e))?;
        kept.push(b'\n');
    }
    tunebench_model::files::write_atomically(&path, |out| out.write_all(&kept))?;
    OpenOptions::new().append(true).open(&path).map_err(Error::io(&path))
}

/// Appends a step to the log.
pub(crate) fn append(log: &mut File, dir: &Path, step: &StepLog) -> Result<(), Error> {
    let path = dir.join("steps.jsonl");
    let mut line = serde_json::to_vec(step).map_err(|e| Error::damaged(&path, e))?;
    line.push(b'\n');
    log.write_all(&line).map_err(Error::io(&path))
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

fn write_folder(dir: &Path, name: &str, fill: impl FnOnce(&Path) -> Result<(), Error>) -> Result<(), Error> {
    let (new, current, previous) =
        (dir.join(format!("{name}.new")), dir.join(name), dir.join(format!("{name}.previous")));
    remove(&new)?;
    fs::create_dir_all(&new).map_err(Error::io(&new))?;
    fill(&new)?;
    sync(&new)?;
    // Between the two renames only the previous folder is there; `load` then takes that one.
    if current.is_dir() {
        remove(&previous)?;
        fs::rename(&current, &previous).map_err(Error::io(&current))?;
    }
    fs::rename(&new, &current).map_err(Error::io(&new))?;
    sync(dir)?;
    remove(&previous)
}

/// Makes the entries of a folder last.
fn sync(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|f| f.sync_all()).map_err(Error::io(dir))
}

fn remove(dir: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(dir)(e)),
        _ => Ok(()),
    }
}

fn read_tensors(path: &Path) -> Result<BTreeMap<String, Tensor>, Error> {
    let mut file = TensorFile::open(path)?;
    let names: Vec<String> = file.shapes().into_keys().collect();
    names.into_iter().map(|name| Ok((name.clone(), file.read(&name)?))).collect()
}

fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), Error> {
    let text = serde_json::to_vec_pretty(value).map_err(|e| Error::damaged(path, e))?;
    Ok(tunebench_model::files::write_atomically(path, |out| out.write_all(&text))?)
}

fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, Error> {
    let text = fs::read(path).map_err(Error::io(path))?;
    serde_json::from_slice(&text).map_err(|e| Error::damaged(path, e))
}
