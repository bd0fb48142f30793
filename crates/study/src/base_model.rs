//! Base models as a study names them: shape, weights, tokenizer, and an identity by content.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;
use tunebench_hub::Wanted;
use tunebench_model::{QuantisedWeights, Tokenizer, Tuning, Weights};
use tunebench_spec::study::Model;
use tunebench_spec::{Decoder, hash};

use crate::base::{Base, SharedBase};
use crate::context::StudyContext;
use crate::error::{Locate, StudyError};
use crate::hub_files::is_address;
use crate::memory;
use crate::model_encoder::{Form, ModelEncoder};
use crate::model_files::ModelFiles;

/// A base model, opened; weights are read on demand.
pub struct BaseModel<'a> {
    context: &'a StudyContext,
    model: &'a Model,
    pub shape: Decoder,
    files: Option<ModelFiles>,
    /// What should be known of it before anything is trained.
    pub notes: Vec<String>,
    /// SHA-256 over what its weights are made of.
    pub identity: String,
}

impl<'a> BaseModel<'a> {
    /// Opens the model `id` of the study.
    ///
    /// # Errors
    /// When there is none, or its files cannot be read.
    pub fn open(context: &'a StudyContext, id: &str) -> Result<Self, StudyError> {
        let model = context.study.model(id).ok_or_else(|| StudyError::Invalid(format!("no model `{id}`")))?;
        Self::open_model(context, model).at(format_args!("model `{id}`"))
    }

    fn open_model(context: &'a StudyContext, model: &'a Model) -> Result<Self, StudyError> {
        if let Some(shape) = &model.shape {
            let identity = hash::of_json(&json!({ "init": shape, "seed": context.study.study.seed }))?;
            return Ok(Self { context, model, shape: shape.clone(), files: None, notes: vec![], identity });
        }
        if model.source.starts_with("preset:") {
            let fault = format!("`{}` is a shape without weights; it can be planned but not trained", model.source);
            return Err(StudyError::Absent(fault));
        }
        let path = |text: &str, wanted| located(context, model, text, wanted);
        let adapter = model.adapter.as_deref().map(|text| path(text, Wanted::Adapter)).transpose()?;
        let files = ModelFiles { source: path(&model.source, Wanted::Model)?, adapter, quantise: model.quantise };
        let source = files.open()?;
        let notes = source.notes().to_vec();
        let (shape, identity) = (source.shape, files.identity()?);
        Ok(Self { context, model, shape, files: Some(files), notes, identity })
    }

    /// Positions for an example's own tokens: the model's without those of an adapter's virtual tokens.
    ///
    /// # Errors
    /// When the adapter is none that can be read, or does not fit the model.
    pub fn positions(&self) -> Result<usize, StudyError> {
        let inspection = self.files.as_ref().map(|files| files.inspect(&self.shape)).transpose()?.flatten();
        Ok(self.shape.context().saturating_sub(inspection.map_or(0, |found| found.virtual_count)))
    }

    /// Its id in the study.
    pub fn id(&self) -> &'a str {
        &self.model.id
    }

    /// What an arm that starts from this model remembers of it.
    pub fn base(&self) -> Base {
        match &self.files {
            Some(files) => Base::Files { files: files.clone(), identity: self.identity.clone() },
            None => Base::Init { seed: self.context.study.study.seed },
        }
    }

    /// All weights, an adapter folded in where it can be, and what cannot be beside them; `shared` may have them.
    ///
    /// # Errors
    /// When a file cannot be read, or has changed since the model was opened.
    pub fn load(&self, shared: &mut SharedBase) -> Result<(Weights, Tuning), StudyError> {
        self.load_from(shared).at(format_args!("model `{}`", self.model.id))
    }

    fn load_from(&self, shared: &mut SharedBase) -> Result<(Weights, Tuning), StudyError> {
        let base = self.base();
        base.check()?;
        if let Some(found) = shared.find(&base, &self.shape) {
            return Ok(found);
        }
        shared.let_go();
        let (weights, tuning) = match &self.files {
            Some(files) => files.load()?,
            None => (Weights::init(&self.shape, self.context.study.study.seed)?, Tuning::none()),
        };
        Ok((shared.keep(&base, &self.shape, weights, &tuning), tuning))
    }

    /// Bytes of each weight that is held quantised, by name.
    ///
    /// # Errors
    /// When its files cannot be read.
    pub fn quantised(&self) -> Result<QuantisedWeights, StudyError> {
        self.files.as_ref().map_or(Ok(QuantisedWeights::new()), ModelFiles::quantised)
    }

    /// Bytes of the others when it is opened.
    ///
    /// # Errors
    /// When its files cannot be read.
    pub fn plain_bytes(&self) -> Result<u64, StudyError> {
        let (floats, folded) = match &self.files {
            Some(files) => (files.open()?.floats()?, files.inspect(&self.shape)?),
            None => (BTreeMap::new(), None),
        };
        let folded: BTreeSet<&str> = folded.iter().flat_map(|found| &found.changed).map(String::as_str).collect();
        Ok(memory::plain_bytes(&self.shape, &self.quantised()?, &floats, &folded))
    }

    /// Its tokenizer with a template around it.
    ///
    /// # Errors
    /// When it has no tokenizer, or that and the template do not fit.
    pub fn encoder(&self, form: Form<'_>) -> Result<ModelEncoder, StudyError> {
        let vocab_size = self.shape.vocab_size;
        let encoder = self.tokenizer().and_then(|tokenizer| ModelEncoder::new(form, tokenizer, vocab_size));
        encoder.at(format_args!("tokenizer of model `{}`", self.model.id))
    }

    /// Its tokenizer as it comes: the study's file, else the model's own.
    fn tokenizer(&self) -> Result<Tokenizer, StudyError> {
        match (&self.model.tokenizer, &self.files) {
            (Some(file), _) => Ok(Tokenizer::from_file(&located(self.context, self.model, file, Wanted::Tokenizer)?)?),
            (None, Some(files)) => Ok(files.open()?.tokenizer()?),
            (None, None) => {
                Err(StudyError::Invalid("it has no file to bring one; give the model a `tokenizer`".to_owned()))
            }
        }
    }
}

/// Where one of a model's paths or addresses points.
fn located(context: &StudyContext, model: &Model, text: &str, wanted: Wanted) -> Result<PathBuf, StudyError> {
    match context.paths(text, wanted, model.hint.as_deref())?.as_slice() {
        // The names in the hub's cache are links to files that are named by their content.
        [path] if is_address(text) => Ok(path.clone()),
        [path] => path.canonicalize().at(path.display()),
        _ => Err(StudyError::Invalid(format!("`{text}` is more than one file"))),
    }
}

/// The base models of a study, each opened once, and each tokenizer read once for a template.
pub struct BaseModels<'a> {
    context: &'a StudyContext,
    models: BTreeMap<&'a str, Arc<BaseModel<'a>>>,
    /// By model and how conversations are written.
    encoders: BTreeMap<(&'a str, Form<'a>), Arc<ModelEncoder>>,
}

impl<'a> BaseModels<'a> {
    /// None is open yet.
    pub fn new(context: &'a StudyContext) -> Self {
        Self { context, models: BTreeMap::new(), encoders: BTreeMap::new() }
    }

    /// The model `id`, where it was opened before.
    pub fn opened(&self, id: &str) -> Option<&BaseModel<'a>> {
        self.models.get(id).map(Arc::as_ref)
    }

    /// As [`BaseModel::open`].
    ///
    /// # Errors
    /// As [`BaseModel::open`].
    pub fn open(&mut self, id: &'a str) -> Result<Arc<BaseModel<'a>>, StudyError> {
        if let Some(model) = self.models.get(id) {
            return Ok(model.clone());
        }
        let model = Arc::new(BaseModel::open(self.context, id)?);
        self.models.insert(id, model.clone());
        Ok(model)
    }

    /// What should be known of those that are open, by their ids in the study.
    pub fn notes(&self) -> impl Iterator<Item = (&'a str, &str)> {
        self.models.iter().flat_map(|(id, model)| model.notes.iter().map(|note| (*id, note.as_str())))
    }

    /// As [`BaseModel::encoder`] of the model `id`.
    ///
    /// # Errors
    /// As [`BaseModel::open`] and [`BaseModel::encoder`].
    pub fn encoder(&mut self, id: &'a str, form: Form<'a>) -> Result<Arc<ModelEncoder>, StudyError> {
        if let Some(encoder) = self.encoders.get(&(id, form)) {
            return Ok(encoder.clone());
        }
        let encoder = Arc::new(self.open(id)?.encoder(form)?);
        self.encoders.insert((id, form), encoder.clone());
        Ok(encoder)
    }
}
