//! A model on disk, opened: its shape is known at once, its weights are read on demand.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tunebench_spec::Decoder;

use crate::families::{self, Family};
use crate::files::read_text;
use crate::formats::gguf::GgufFile;
use crate::formats::huggingface::Folder;
use crate::formats::safetensors::Float;
use crate::weights::{QuantisedWeights, Stored};
use crate::{Error, Tokenizer, Weights};

/// A model folder or file whose headers have been read and checked.
pub struct Source {
    pub shape: Decoder,
    kind: Kind,
}

enum Kind {
    Folder(Folder),
    Gguf(GgufFile),
}

/// Opens a Hugging Face folder (`config.json` beside `model.safetensors` or an index and its shards; f32, f16 or
/// bf16) or a `.gguf` file. No weight is read.
///
/// # Errors
/// Names the file, and the key or tensor in it, that is missing, damaged or not supported.
pub fn open(path: &Path) -> Result<Source, Error> {
    open_as(families::ALL, path)
}

/// [`open`] with other families than those that are built in.
///
/// # Errors
/// As [`open`].
pub fn open_as(families: &[Family], path: &Path) -> Result<Source, Error> {
    if path.is_dir() {
        let folder = Folder::open(families, path)?;
        return Ok(Source { shape: folder.shape().clone(), kind: Kind::Folder(folder) });
    }
    if !path.exists() {
        let hint = "expected a Hugging Face folder or a .gguf file".into();
        return Err(Error::NotFound { path: path.into(), hint });
    }
    if path.extension().is_none_or(|e| !e.eq_ignore_ascii_case("gguf")) {
        let what = "is neither a .gguf file nor a folder; for safetensors name the folder that also has config.json";
        return Err(Error::unsupported(path, what));
    }
    let file = GgufFile::open(families, path)?;
    Ok(Source { shape: file.shape().clone(), kind: Kind::Gguf(file) })
}

/// What the `config.json` of a folder describes; no weight need be there.
///
/// # Errors
/// As [`open`].
pub fn decoder_of(folder: &Path) -> Result<Decoder, Error> {
    let path = folder.join("config.json");
    families::from_config_json(families::ALL, &read_text(&path)?).map_err(|source| Error::Config { path, source })
}

impl Source {
    /// Reads every weight as it is stored: f32, bf16 or f16, or in blocks.
    ///
    /// # Errors
    /// [`Error::NotFinite`] or [`Error::Corrupt`] names file and tensor.
    pub fn weights(&self) -> Result<Weights, Error> {
        self.weights_by(&|_, stored| Ok(stored))
    }

    /// As [`Source::weights`], each changed as soon as it is read, so that memory holds one as it was.
    ///
    /// # Errors
    /// As [`Source::weights`], and what `change` says.
    pub fn weights_by(&self, change: &dyn Fn(&str, Stored) -> Result<Stored, Error>) -> Result<Weights, Error> {
        match &self.kind {
            Kind::Folder(folder) => folder.weights(change),
            Kind::Gguf(file) => file.weights(change),
        }
    }

    /// What whoever uses the model should know of it beforehand, a sentence each: what its files ask for and is not done, and
    /// what was decided where they contradict each other.
    pub fn notes(&self) -> &[String] {
        match &self.kind {
            Kind::Folder(folder) => folder.notes(),
            Kind::Gguf(file) => file.notes(),
        }
    }

    /// The files that decide its weights and shape, sorted: hash their contents for the model's identity.
    pub fn weight_files(&self) -> Vec<PathBuf> {
        let is_tokenizer = |path: &PathBuf| crate::tokenizer::FILES.iter().any(|name| path.ends_with(name));
        self.files().into_iter().filter(|path| !is_tokenizer(path)).collect()
    }

    /// Every file that this model is made of, sorted.
    pub fn files(&self) -> Vec<PathBuf> {
        match &self.kind {
            Kind::Folder(folder) => folder.files(),
            Kind::Gguf(file) => vec![file.path().into()],
        }
    }

    /// The folder that the model is, where it is one.
    pub fn folder(&self) -> Option<&Path> {
        match &self.kind {
            Kind::Folder(folder) => Some(folder.path()),
            Kind::Gguf(_) => None,
        }
    }

    /// The GGUF file that the model is, where it is one.
    pub fn gguf(&self) -> Option<&GgufFile> {
        match &self.kind {
            Kind::Folder(_) => None,
            Kind::Gguf(file) => Some(file),
        }
    }

    /// The weights that are held as the blocks that they are stored in, by name.
    pub fn quantised(&self) -> QuantisedWeights {
        match &self.kind {
            Kind::Folder(_) => QuantisedWeights::new(),
            Kind::Gguf(file) => file.quantised(),
        }
    }

    /// How each weight is stored; those in blocks count as f32, which holds what they stand for.
    ///
    /// # Errors
    /// When a file has changed since it was opened.
    pub fn floats(&self) -> Result<BTreeMap<String, Float>, Error> {
        match &self.kind {
            Kind::Folder(folder) => folder.floats(),
            Kind::Gguf(file) => Ok(file.floats()),
        }
    }

    /// The tokenizer that comes with the model.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none, [`Error::Tokenizer`] when it cannot be used.
    pub fn tokenizer(&self) -> Result<Tokenizer, Error> {
        match &self.kind {
            Kind::Folder(folder) => Tokenizer::from_file(&folder.path().join("tokenizer.json")),
            Kind::Gguf(file) => Tokenizer::from_gguf(file),
        }
    }

    /// The model's own chat template, a text in Jinja, where it brings one: `chat_template.jinja`, or `chat_template` in
    /// `tokenizer_config.json`, of several the one named `default`; of a GGUF file `tokenizer.chat_template`.
    ///
    /// # Errors
    /// When a file that may hold it cannot be read, or has several by name and no `default`.
    pub fn chat_template(&self) -> Result<Option<String>, Error> {
        match &self.kind {
            Kind::Folder(folder) => crate::tokenizer::conversations::chat_template(folder.path()),
            Kind::Gguf(file) => Ok(crate::tokenizer::conversations::gguf_chat_template(file)),
        }
    }
}
