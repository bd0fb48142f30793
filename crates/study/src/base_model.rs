//! Base models as a study names them: shape, weights, tokenizer, and an identity by content.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use tunebench_dataset::{Encoder, Tokenizer};
use tunebench_model::Weights;
use tunebench_spec::study::Model;
use tunebench_spec::{ModelShape, hash};

use super::files::ModelFiles;
use super::setup::Setup;
use super::trained::Base;

/// A base model, opened; weights are read on demand.
pub struct BaseModel<'a> {
    model: &'a Model,
    pub shape: ModelShape,
    files: Option<ModelFiles>,
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
            return Ok(Self { model, shape: shape.clone(), files: None, seed, identity });
        }
        if model.source.starts_with("preset:") {
            bail!("`{}` is a shape without weights; it can be planned but not trained", model.source);
        }
        let path = |text: &str| -> Result<PathBuf> {
            let path = setup.path(text, model.hint.as_deref())?;
            path.canonicalize().with_context(|| path.display().to_string())
        };
        let files =
            ModelFiles { source: path(&model.source)?, adapter: model.adapter.as_deref().map(path).transpose()? };
        let (shape, identity) = (files.open()?.shape, files.identity()?);
        Ok(Self { model, shape, files: Some(files), seed, identity })
    }

    /// What an arm that starts from this model remembers of it.
    pub fn base(&self) -> Base {
        match &self.files {
            Some(files) => Base::Files { files: files.clone(), identity: self.identity.clone() },
            None => Base::Init { seed: self.seed },
        }
    }

    /// All weights, f32.
    pub fn weights(&self) -> Result<Weights> {
        let weights = match &self.files {
            Some(files) => files.weights(),
            None => Weights::init(&self.shape, self.seed).map_err(Into::into),
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
    pub fn tokenizer(&self, setup: &Setup) -> Result<tunebench_model::Tokenizer> {
        match (&self.model.tokenizer, &self.files) {
            (Some(file), _) => {
                Ok(tunebench_model::Tokenizer::from_file(&setup.path(file, self.model.hint.as_deref())?)?)
            }
            (None, Some(files)) => Ok(files.open()?.tokenizer()?),
            (None, None) => bail!("it has no file to bring one; give the model a `tokenizer`"),
        }
    }
}
