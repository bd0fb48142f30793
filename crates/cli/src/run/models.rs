//! Base models as a study names them: shape, weights, tokenizer, and an identity by content.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use tunebench_dataset::{Encoder, Tokenizer};
use tunebench_llama::Weights;
use tunebench_spec::study::Model;
use tunebench_spec::{ModelShape, hash};

use super::setup::Setup;
use super::trained::Base;

/// A base model, opened; weights are read on demand.
pub struct BaseModel<'a> {
    model: &'a Model,
    pub shape: ModelShape,
    source: Option<(PathBuf, tunebench_llama::Source)>,
    seed: u64,
    /// SHA-256 over what its weights are made of.
    pub identity: String,
}

impl<'a> BaseModel<'a> {
    /// Opens the model `id` of the study.
    pub fn open(setup: &'a Setup, id: &str) -> Result<Self> {
        let model = setup.study.model(id).with_context(|| format!("no model `{id}`"))?;
        Self::open_model(setup, model).with_context(|| format!("model `{id}`"))
    }

    fn open_model(setup: &'a Setup, model: &'a Model) -> Result<Self> {
        let seed = setup.study.study.seed;
        if let Some(shape) = &model.shape {
            let identity = hash::of_json(&json!({ "init": shape, "seed": seed }))?;
            return Ok(Self { model, shape: shape.clone(), source: None, seed, identity });
        }
        if model.source.starts_with("preset:") {
            bail!("`{}` is a shape without weights; it can be planned but not trained", model.source);
        }
        let path = setup.path(&model.source, model.hint.as_deref())?;
        let path = path.canonicalize().with_context(|| path.display().to_string())?;
        let source = tunebench_llama::open(&path)?;
        let identity = identity(&path, &source)?;
        Ok(Self { model, shape: source.shape.clone(), source: Some((path, source)), seed, identity })
    }

    /// What an arm that starts from this model remembers of it.
    pub fn base(&self) -> Base {
        match &self.source {
            Some((path, _)) => Base::Files { source: path.clone(), identity: self.identity.clone() },
            None => Base::Init { seed: self.seed },
        }
    }

    /// All weights, f32.
    pub fn weights(&self) -> Result<Weights> {
        let weights = match &self.source {
            Some((_, source)) => source.weights(),
            None => Weights::init(&self.shape, self.seed),
        };
        weights.with_context(|| format!("model `{}`", self.model.id))
    }

    /// The model's tokenizer with a template around it.
    pub fn encoder(&self, setup: &Setup, template: &str) -> Result<Encoder> {
        let context = || format!("tokenizer of model `{}`", self.model.id);
        let tokenizer = self.tokenizer(setup).with_context(context)?;
        let tokenizer = Tokenizer::new(tokenizer.inner, tokenizer.bos, tokenizer.eos).with_context(context)?;
        Encoder::new(template, tokenizer).with_context(context)
    }

    /// The model's tokenizer as it comes: the study's file, else the model's own.
    pub fn tokenizer(&self, setup: &Setup) -> Result<tunebench_llama::Tokenizer> {
        match (&self.model.tokenizer, &self.source) {
            (Some(file), _) => {
                Ok(tunebench_llama::Tokenizer::from_file(&setup.path(file, self.model.hint.as_deref())?)?)
            }
            (None, Some((_, source))) => Ok(source.tokenizer()?),
            (None, None) => bail!("it has no file to bring one; give the model a `tokenizer`"),
        }
    }
}

/// SHA-256 over the contents of a model's weights and configuration; gigabytes are hashed once a process.
pub fn identity(path: &Path, source: &tunebench_llama::Source) -> Result<String> {
    static KNOWN: Mutex<BTreeMap<PathBuf, String>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(identity) = known.get(path) {
        return Ok(identity.clone());
    }
    let mut files = Vec::new();
    for path in source.weight_files() {
        let file = File::open(&path).with_context(|| path.display().to_string())?;
        files.push(hash::of_reader(file).with_context(|| path.display().to_string())?);
    }
    let identity = hash::of_json(&json!({ "files": files }))?;
    known.insert(path.to_owned(), identity.clone());
    Ok(identity)
}
