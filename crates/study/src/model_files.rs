//! The files that a base model is made of: its own and, where the study names one, a PEFT adapter, folded into it or, where it
//! is virtual tokens, in front of everything that it reads.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::json;
use tunebench_model::{QuantisedWeights, Source, Tuning, Weights, quantise};
use tunebench_peft::{Adapter, Inspection, folder};
use tunebench_spec::study::Quantise;
use tunebench_spec::{Decoder, hash};

use crate::error::{Locate, StudyError};
use crate::file_content::Stamp;

/// Where a model's weights are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ModelFiles {
    /// A Hugging Face folder or a GGUF file.
    pub source: PathBuf,
    /// A PEFT folder, or one with a single PEFT folder in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<PathBuf>,
    /// What its linear maps are quantised to, the adapter folded in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantise: Option<Quantise>,
}

impl Display for ModelFiles {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.source.display())?;
        if let Some(adapter) = &self.adapter {
            write!(f, " with the adapter {}", adapter.display())?;
        }
        match self.quantise {
            Some(quantise) => write!(f, " in {}", quantise.name()),
            None => Ok(()),
        }
    }
}

impl ModelFiles {
    /// The model without its adapter, opened; no weight is read.
    ///
    /// # Errors
    /// When it is no model that can be read.
    pub fn open(&self) -> Result<Source, StudyError> {
        match folder::mistaken_for_a_model(&self.source) {
            Some(fault) => Err(StudyError::Invalid(format!("{}: {fault}", self.source.display()))),
            None => Ok(tunebench_model::open(&self.source)?),
        }
    }

    /// What its adapter is, by its configuration and its tensors; no weight of the model is read.
    ///
    /// # Errors
    /// When it is none that can be read, or does not fit a model of `shape`.
    pub fn inspect(&self, shape: &Decoder) -> Result<Option<Inspection>, StudyError> {
        let inspected = |adapter: &PathBuf| tunebench_peft::inspect(adapter, shape).at(place(adapter));
        let inspection = self.adapter.as_ref().map(inspected).transpose()?;
        Ok(inspection.map(|mut found| {
            found.remarks.extend(other_base(&found, &self.source));
            found
        }))
    }

    /// Its adapter, read for a model of `shape`.
    ///
    /// # Errors
    /// As [`ModelFiles::inspect`], and when a tensor cannot be read.
    pub fn adapter(&self, shape: &Decoder) -> Result<Option<Adapter>, StudyError> {
        self.adapter.as_ref().map(|adapter| tunebench_peft::load(adapter, shape).at(place(adapter))).transpose()
    }

    /// All weights, the adapter folded in; virtual tokens beside them, which cannot be.
    ///
    /// # Errors
    /// When a file cannot be read, or the adapter does not fit the model.
    pub fn load(&self) -> Result<(Weights, Tuning), StudyError> {
        let source = self.open()?;
        if let (None, Some(Quantise::Nf4)) = (&self.adapter, self.quantise) {
            return Ok((quantise::nf4_of(&source)?, Tuning::none()));
        }
        let weights = source.weights()?;
        let (weights, tuning) = match &self.adapter {
            None => (weights, Tuning::none()),
            Some(path) => {
                let adapter = tunebench_peft::load(path, &source.shape).at(place(path))?;
                adapter.applied(&source.shape, weights).at(place(path))?
            }
        };
        match self.quantise {
            None => Ok((weights, tuning)),
            Some(Quantise::Nf4) => Ok((quantise::nf4(&source.shape, weights)?, tuning)),
        }
    }

    /// The weights that are held quantised, by name; no weight is read.
    ///
    /// # Errors
    /// When it is no model or adapter that can be read, or cannot be quantised.
    pub fn quantised(&self) -> Result<QuantisedWeights, StudyError> {
        let adapter = match &self.adapter {
            Some(_) => self.inspect(&self.open()?.shape)?,
            None => None,
        };
        self.quantised_with(adapter.as_ref())
    }

    /// As [`ModelFiles::quantised`], with an adapter that was looked at: what that is folded into is plain numbers, unless all is
    /// quantised after it.
    ///
    /// # Errors
    /// As [`ModelFiles::quantised`].
    pub fn quantised_with(&self, adapter: Option<&Inspection>) -> Result<QuantisedWeights, StudyError> {
        let source = self.open()?;
        let mut stored = source.quantised();
        let Some(quantise) = self.quantise else {
            stored.retain(|name, _| adapter.is_none_or(|adapter| !adapter.changed.contains(name)));
            return Ok(stored);
        };
        if let Some(weight) = stored.keys().next() {
            let fault = format!(
                "{}: `{weight}` is stored in few bits already; quantise takes a model in 16 bits or more, or leave it out",
                self.source.display()
            );
            return Err(StudyError::Invalid(fault));
        }
        quantised_by(quantise, &source.shape)
    }

    /// SHA-256 over the contents that decide the weights; gigabytes are hashed once a process, and again when a file of them
    /// has another time or length.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn identity(&self) -> Result<String, StudyError> {
        static KNOWN: Mutex<BTreeMap<ModelFiles, Known>> = Mutex::new(BTreeMap::new());
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(self).filter(|known| known.is_of_now()) {
            return Ok(known.identity.clone());
        }
        let adapter = self.adapter.as_ref().map(|dir| folder::find(dir).at(place(dir))).transpose()?;
        let of_adapter = |dir: &PathBuf| [folder::CONFIG, folder::TENSORS].map(|file| dir.join(file));
        let adapter: Vec<PathBuf> = adapter.iter().flat_map(of_adapter).collect();
        let own = self.open()?.weight_files();
        // Taken before: what changes while it is hashed is hashed again the next time.
        let paths = [own.as_slice(), adapter.as_slice()].concat();
        let (stamps, _) = Stamp::of_all(&paths)?;
        let hashes = |paths: &[PathBuf]| paths.iter().map(|p| hash_file(p)).collect::<Result<Vec<_>, StudyError>>();
        let mut contents = json!({ "files": hashes(&own)? });
        if !adapter.is_empty() {
            contents["adapter"] = json!(hashes(&adapter)?);
        }
        if let Some(quantise) = self.quantise {
            contents["quantise"] = quantise.name().into();
        }
        let identity = hash::of_json(&contents)?;
        known.insert(self.clone(), Known { paths, stamps, identity: identity.clone() });
        Ok(identity)
    }
}

/// A content that was hashed.
struct Known {
    paths: Vec<PathBuf>,
    stamps: Vec<Stamp>,
    identity: String,
}

impl Known {
    /// Whether no file has changed since.
    fn is_of_now(&self) -> bool {
        Stamp::of_all(&self.paths).is_ok_and(|(stamps, _)| stamps == self.stamps)
    }
}

/// The weights that are quantised so, by name.
///
/// # Errors
/// When a weight cannot be.
pub fn quantised_by(quantise: Quantise, shape: &Decoder) -> Result<QuantisedWeights, StudyError> {
    match quantise {
        Quantise::Nf4 => Ok(quantise::nf4_weights(shape)?),
    }
}

/// Why nothing is trained on a model behind virtual tokens.
pub const VIRTUAL_BASE: &str = "its adapter is virtual tokens, which stand in front of every example and cannot be folded into \
                                the weights; such a model answers, as one of [eval] bases, but nothing is trained on it";

fn place(adapter: &Path) -> String {
    format!("adapter {}", adapter.display())
}

/// What to say where an adapter names another base than it is put on. Only names can be compared: the last part of what it
/// names must occur in the path, as it does in folders called after a repository and in the Hub's cache.
fn other_base(adapter: &Inspection, source: &Path) -> Option<String> {
    let base = adapter.base.as_deref()?;
    let is_same = Path::new(base).canonicalize().is_ok_and(|path| Some(path) == source.canonicalize().ok());
    let plain = |text: &str| text.to_lowercase().replace("--", "/");
    let last = plain(base.trim_end_matches('/')).rsplit('/').next().unwrap_or_default().to_owned();
    let is_named = plain(&source.display().to_string())
        .split(['/', ':', '@'])
        .any(|part| part == last || part.strip_suffix(".gguf").is_some_and(|name| name.starts_with(&last)));
    (!is_same && !is_named).then(|| {
        format!(
            "its adapter says that it was trained on `{base}`, and is put on {}; if that is another model, its answers mean \
             nothing",
            source.display()
        )
    })
}

fn hash_file(path: &Path) -> Result<String, StudyError> {
    File::open(path).and_then(hash::of_reader).at(path.display())
}
