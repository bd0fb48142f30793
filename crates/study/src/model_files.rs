//! The files that a base model is made of: its own and, where the study names one, a PEFT adapter folded into it.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::json;
use tunebench_model::{Source, Weights};
use tunebench_spec::hash;

use crate::error::{Locate, StudyError};

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
    ///
    /// # Errors
    /// When it is no model that can be read.
    pub fn open(&self) -> Result<Source, StudyError> {
        Ok(tunebench_model::open(&self.source)?)
    }

    /// All weights, the adapter folded in.
    ///
    /// # Errors
    /// When a file cannot be read, or the adapter does not fit the model.
    pub fn weights(&self) -> Result<Weights, StudyError> {
        let source = self.open()?;
        let weights = source.weights()?;
        let Some(adapter) = &self.adapter else { return Ok(weights) };
        let place = || format!("adapter {}", adapter.display());
        let tuning = tunebench_train::peft::load(adapter, &source.shape).at(place())?;
        tuning.merge(&source.shape, weights).at(place())
    }

    /// SHA-256 over the contents that decide the weights; gigabytes are hashed once a process.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn identity(&self) -> Result<String, StudyError> {
        static KNOWN: Mutex<BTreeMap<ModelFiles, String>> = Mutex::new(BTreeMap::new());
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(identity) = known.get(self) {
            return Ok(identity.clone());
        }
        let of_adapter =
            |folder: &PathBuf| ["adapter_config.json", "adapter_model.safetensors"].map(|f| folder.join(f));
        let adapter: Vec<PathBuf> = self.adapter.iter().flat_map(of_adapter).collect();
        let hashes = |paths: Vec<PathBuf>| paths.iter().map(|p| hash_file(p)).collect::<Result<Vec<_>, StudyError>>();
        let mut contents = json!({ "files": hashes(self.open()?.weight_files())? });
        if !adapter.is_empty() {
            contents["adapter"] = json!(hashes(adapter)?);
        }
        let identity = hash::of_json(&contents)?;
        known.insert(self.clone(), identity.clone());
        Ok(identity)
    }
}

fn hash_file(path: &Path) -> Result<String, StudyError> {
    File::open(path).and_then(hash::of_reader).at(path.display())
}
