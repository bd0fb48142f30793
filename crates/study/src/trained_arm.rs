//! A trained arm in a run folder, opened without its study, its plugins or its data.
//!
//! `arm.json` is written last, so its presence says that the training beside it is finished.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use tunebench_model::files::write_atomically;
use tunebench_model::{Tokenizer, Tuning, Weights};
use tunebench_spec::{ArmRecord, ModelShape};

use super::files::ModelFiles;
use super::folder::training;

/// What `arm.json` says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ArmFile {
    pub record: ArmRecord,
    pub shape: ModelShape,
    /// How a conversation becomes text for this arm's evaluation.
    pub template: String,
    pub base: Base,
}

/// What an arm's training started from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Base {
    /// Weights in files, whose content the identity names.
    Files { files: ModelFiles, identity: String },
    /// Fresh weights.
    Init { seed: u64 },
    /// Another arm of the same run folder.
    Arm { identity: String },
}

/// A trained arm with its weights.
pub struct Trained {
    pub file: ArmFile,
    /// What it started from.
    pub weights: Weights,
    pub tuning: Tuning,
    pub tokenizer: Tokenizer,
}

/// The arm file of a finished training; `None` when it is not finished.
pub fn finished(root: &Path, identity: &str) -> Result<Option<ArmFile>> {
    let path = training(root, identity).join("arm.json");
    if !path.exists() {
        return Ok(None);
    }
    let text = std::fs::read(&path).with_context(|| path.display().to_string())?;
    let file = serde_json::from_slice(&text);
    Ok(Some(file.with_context(|| format!("{}: damaged; delete its folder to train it again", path.display()))?))
}

/// Marks a training as finished.
pub fn finish(root: &Path, file: &ArmFile) -> Result<()> {
    let path = training(root, &file.record.identity).join("arm.json");
    let text = serde_json::to_vec_pretty(file)?;
    Ok(write_atomically(&path, |out| out.write_all(&text))?)
}

/// Opens a finished arm with all its weights.
pub fn open(root: &Path, identity: &str) -> Result<Trained> {
    let folder = training(root, identity);
    let Some(file) = finished(root, identity)? else { bail!("{}: its training is not finished", folder.display()) };
    let weights = base_weights(root, &file.base, &file.shape)?;
    let tuning =
        tunebench_train::load_result(&folder, &file.shape).with_context(|| format!("arm `{}`", file.record.arm))?;
    let tokenizer = Tokenizer::from_file(&folder.join("tokenizer.json"))?;
    Ok(Trained { file, weights, tuning, tokenizer })
}

/// The weights that an arm's training starts from.
pub fn base_weights(root: &Path, base: &Base, shape: &ModelShape) -> Result<Weights> {
    match base {
        Base::Init { seed } => Ok(Weights::init(shape, *seed)?),
        Base::Arm { identity } => {
            let parent = open(root, identity)?;
            let name = &parent.file.record.arm;
            parent.tuning.merge(shape, parent.weights).with_context(|| format!("folding `{name}` into its weights"))
        }
        Base::Files { files, identity } => {
            anyhow::ensure!(
                files.identity()? == *identity,
                "{}: its files are not those the arm was trained on; bring those back or run the study again",
                files.source.display()
            );
            files.weights()
        }
    }
}

/// The arm of this name in a run folder, by its `arms.parquet`.
pub fn find(root: &Path, arm: &str) -> Result<Trained> {
    let arms: Vec<ArmRecord> = tunebench_results::Frames::open(root)?.read()?;
    let Some(record) = arms.iter().find(|r| r.arm == arm) else {
        let known: Vec<&str> = arms.iter().map(|r| r.arm.as_str()).collect();
        bail!("{}: no arm `{arm}`; there are: {}", root.display(), known.join(", "));
    };
    anyhow::ensure!(record.steps > 0, "`{arm}` is a base model as it came; nothing was trained");
    open(root, &record.identity)
}

impl Trained {
    /// Where the base weights came from, for an adapter's own file.
    pub fn base_name(&self) -> String {
        match &self.file.base {
            Base::Files { files, .. } => files.source.display().to_string(),
            Base::Init { .. } | Base::Arm { .. } => self.file.record.base.clone(),
        }
    }
}
