//! Where the files of an adapter are: in the folder that was named, or in the only one of its kind a level below.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Error;

pub const CONFIG: &str = "adapter_config.json";
pub const TENSORS: &str = "adapter_model.safetensors";
/// PEFT's older file of tensors, a Python pickle.
const PICKLED: &str = "adapter_model.bin";
/// Any of these is a model's own weights.
const WHOLE: [&str; 4] =
    ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"];

/// The folder that holds configuration and tensors: `dir`, or the only adapter among its sub-folders, where trainers keep
/// checkpoints and PEFT adapters by name.
///
/// # Errors
/// [`Error::Folder`] says what `dir` is instead, and what to do: several adapters, a whole model, pickled tensors, no file.
pub fn find(dir: &Path) -> Result<PathBuf, Error> {
    if !dir.is_dir() {
        let is = if dir.exists() { "is a file" } else { "there is no such folder" };
        return Err(Error::folder(dir, format!("{is}; an adapter is a folder with {CONFIG} and {TENSORS}")));
    }
    let found = if dir.join(CONFIG).is_file() { dir.to_owned() } else { below(dir)? };
    if found.join(TENSORS).is_file() {
        return Ok(found);
    }
    let fault = if found.join(PICKLED).is_file() {
        format!(
            "its tensors are in {PICKLED}, a Python pickle, which is never opened here; in Python: \
             PeftModel.from_pretrained(base, FOLDER).save_pretrained(OTHER) writes {TENSORS}"
        )
    } else {
        format!("{CONFIG} is there and {TENSORS} is not; copy it here too")
    };
    Err(Error::folder(&found, fault))
}

/// The only sub-folder that holds an adapter.
fn below(dir: &Path) -> Result<PathBuf, Error> {
    let entries = fs::read_dir(dir).map_err(Error::io(dir))?;
    let mut found: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    found.retain(|path| path.join(CONFIG).is_file());
    // Checkpoints by their steps, other names as they are.
    found.sort_by_key(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (name.rsplit('-').next().and_then(|step| step.parse::<u64>().ok()), name)
    });
    match found.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Error::folder(dir, nothing(dir))),
        [.., last] => {
            let names: Vec<String> =
                found.iter().filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect();
            let last = last.display();
            Err(Error::folder(dir, format!("holds several adapters: {}; name one, e.g. {last}", names.join(", "))))
        }
    }
}

/// What a folder without an adapter is.
fn nothing(dir: &Path) -> String {
    if WHOLE.iter().any(|name| dir.join(name).is_file()) {
        return format!("is a whole model and no adapter (it has no {CONFIG}); give it as the model's `source`");
    }
    if dir.join(TENSORS).is_file() || dir.join(PICKLED).is_file() {
        return format!(
            "{CONFIG} is missing beside its tensors; without it nobody knows what they mean: copy it here too"
        );
    }
    format!("is no adapter: there is no {CONFIG}, neither here nor in a folder below")
}

/// Where `dir` is an adapter and no model: what to say to somebody who gave it as one.
///
/// # Errors
/// Nothing is an error here: `None` where it is not an adapter, or a model as well.
pub fn mistaken_for_a_model(dir: &Path) -> Option<String> {
    if dir.join("config.json").is_file() || !dir.join(CONFIG).is_file() {
        return None;
    }
    let text = fs::read_to_string(dir.join(CONFIG)).ok()?;
    let config: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let base = config["base_model_name_or_path"].as_str().unwrap_or("its base model");
    Some(format!("is an adapter and no model; give {base} as the model's `source` and this folder as its `adapter`"))
}
