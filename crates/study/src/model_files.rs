//! The files that a base model is made of: its own and, where the study names one, a PEFT adapter folded into it.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tunebench_model::{Source, Weights};
use tunebench_spec::hash;

/// Where a model's weights are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ModelFiles {
    /// A Hugging Face folder or a GGUF file.
    pub source: PathBuf,
    /// A PEFT folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<PathBuf>,
}

impl ModelFiles {
    /// The model without its adapter, opened; no weight is read.
    pub fn open(&self) -> Result<Source> {
        Ok(tunebench_model::open(&self.source)?)
    }

    /// All weights, f32, the adapter folded in.
    pub fn weights(&self) -> Result<Weights> {
        let source = self.open()?;
        let weights = source.weights()?;
        let Some(adapter) = &self.adapter else { return Ok(weights) };
        let context = || format!("adapter {}", adapter.display());
        let tuning = tunebench_train::peft::load(adapter, &source.shape).with_context(context)?;
        tuning.merge(&source.shape, weights).with_context(context)
    }

    /// SHA-256 over the contents that decide the weights; gigabytes are hashed once a process.
    pub fn identity(&self) -> Result<String> {
        static KNOWN: Mutex<BTreeMap<ModelFiles, String>> = Mutex::new(BTreeMap::new());
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(identity) = known.get(self) {
            return Ok(identity.clone());
        }
        let of_adapter =
            |folder: &PathBuf| ["adapter_config.json", "adapter_model.safetensors"].map(|f| folder.join(f));
        let adapter: Vec<PathBuf> = self.adapter.iter().flat_map(of_adapter).collect();
        let hashes = |paths: Vec<PathBuf>| paths.iter().map(|path| hash_file(path)).collect::<Result<Vec<_>>>();
        let mut contents = json!({ "files": hashes(self.open()?.weight_files())? });
        if !adapter.is_empty() {
            contents["adapter"] = json!(hashes(adapter)?);
        }
        let identity = hash::of_json(&contents)?;
        known.insert(self.clone(), identity.clone());
        Ok(identity)
    }
}

fn hash_file(path: &Path) -> Result<String> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    hash::of_reader(file).with_context(|| path.display().to_string())
}
