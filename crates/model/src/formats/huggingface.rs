//! Hugging Face model folders: `config.json` with `model.safetensors`, or with an index and shards.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use serde_json::json;
use tunebench_files::{create_folder, write_file};
use tunebench_spec::Decoder;
use tunebench_spec::names::Role;

use crate::families::{self, Family};
use crate::files::{read_json, read_text};
use crate::formats::safetensors::{self, Float, TensorFile};
use crate::weights::{check, place};
use crate::{Error, Tokenizer, Weights, tokenizer};

const CONFIG: &str = "config.json";
const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// A model folder whose configuration and tensor headers agree.
pub struct Folder {
    path: PathBuf,
    shape: Decoder,
    /// The safetensors files, and what each holds that the model needs.
    shards: BTreeMap<PathBuf, Vec<String>>,
}

impl Folder {
    /// Reads the configuration and the headers of the weight files.
    ///
    /// # Errors
    /// Names the file and the tensor that is missing, of the wrong shape or left over.
    pub fn open(families: &[Family], path: &Path) -> Result<Self, Error> {
        let config = path.join(CONFIG);
        if !config.is_file() {
            let hint = "a Hugging Face model folder has one beside its weights".into();
            return Err(Error::NotFound { path: config, hint });
        }
        let shape = families::from_config_json(families, &read_text(&config)?)
            .map_err(|source| Error::Config { path: config, source })?;
        let (mut shards, mut found) = (BTreeMap::new(), BTreeMap::new());
        for file in weight_files(path)? {
            let mut shapes = TensorFile::open(&file)?.shapes();
            shapes.retain(|name, _| !is_redundant(name, &shape));
            shards.insert(file.clone(), shapes.keys().cloned().collect());
            for (name, dims) in shapes {
                if found.insert(name.clone(), dims).is_some() {
                    return Err(Error::corrupt(&file, format!("tensor `{name}` is in another shard too")));
                }
            }
        }
        check(&place(path), &shape, &found)?;
        Ok(Self { path: path.into(), shape, shards })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn shape(&self) -> &Decoder {
        &self.shape
    }

    /// Reads every weight, bf16 if it is stored so, else as f32.
    ///
    /// # Errors
    /// [`Error::Type`] for a tensor that is not f32, f16 or bf16; [`Error::Corrupt`] when a file has changed.
    pub fn weights(&self) -> Result<Weights, Error> {
        let mut all = BTreeMap::new();
        for (path, names) in &self.shards {
            let mut file = TensorFile::open(path)?;
            for name in names {
                all.insert(name.clone(), file.read_stored(name)?);
            }
        }
        Weights::new(&self.shape, all)
    }

    /// Configuration, weights and whatever of the tokenizer's files there is, sorted.
    pub fn files(&self) -> Vec<PathBuf> {
        let beside = [CONFIG, INDEX].into_iter().chain(tokenizer::FILES);
        let beside = beside.map(|name| self.path.join(name)).filter(|p| p.is_file());
        let all: BTreeSet<PathBuf> = beside.chain(self.shards.keys().cloned()).collect();
        all.into_iter().collect()
    }
}

/// Tensors that old checkpoints carry and every reader leaves out: rotary frequencies, a tied head.
fn is_redundant(name: &str, shape: &Decoder) -> bool {
    name.ends_with(".rotary_emb.inv_freq") || (shape.tie_word_embeddings && name == shape.weight_name(Role::Head, 0))
}

/// The single file when there is one, else the shards that the index names.
fn weight_files(folder: &Path) -> Result<BTreeSet<PathBuf>, Error> {
    let (single, index) = (folder.join(SINGLE), folder.join(INDEX));
    if single.is_file() {
        return Ok(BTreeSet::from([single]));
    }
    if !index.is_file() {
        let hint = format!("nor is {INDEX}; weights in another format must be converted to safetensors");
        return Err(Error::NotFound { path: single, hint });
    }
    let json = read_json(&index)?;
    let Some(map) = json.get("weight_map").and_then(|m| m.as_object()) else {
        return Err(Error::corrupt(&index, "`weight_map` is missing or not an object"));
    };
    let mut files = BTreeSet::new();
    for (tensor, file) in map {
        let name = file.as_str().unwrap_or_default();
        let mut parts = Path::new(name).components();
        let (Some(Component::Normal(_)), None) = (parts.next(), parts.next()) else {
            return Err(Error::corrupt(&index, format!("tensor `{tensor}` is said to be in {file}, not a file here")));
        };
        let path = folder.join(name);
        if !path.is_file() {
            let hint = format!("{INDEX} names it for tensor `{tensor}`; fetch the missing shard");
            return Err(Error::NotFound { path, hint });
        }
        files.insert(path);
    }
    Ok(files)
}

/// Writes a folder that [`crate::open`] and transformers read: `config.json`, `model.safetensors` with numbers as `float`
/// and, when given, the tokenizer's files. The configuration comes last and each file is whole or absent.
///
/// # Errors
/// [`Error::Shape`] and its kin when the weights do not fit `shape`; [`Error::Files`] names the file.
pub fn save(
    dir: &Path,
    shape: &Decoder,
    weights: &Weights,
    tokenizer: Option<&Tokenizer>,
    float: Float,
) -> Result<(), Error> {
    let found = weights.iter().map(|(name, t)| (name.to_string(), t.dims().to_vec())).collect();
    check(&place(dir), shape, &found)?;
    create_folder(dir)?;
    let invalid = |source| Error::Config { path: dir.into(), source };
    let mut config = families::to_config_json(families::ALL, shape).map_err(invalid)?;
    if let Some(tokenizer) = tokenizer {
        tokenizer.save(dir)?;
        config["bos_token_id"] = json!(tokenizer.bos);
        config["eos_token_id"] = json!(tokenizer.eos);
    }
    config["torch_dtype"] = json!(float.torch_name());
    config.sort_all_objects(); // the order of keys would depend on how serde_json was built
    safetensors::write_as(&dir.join(SINGLE), weights.iter(), float)?;
    Ok(write_file(&dir.join(CONFIG), |out| writeln!(out, "{config:#}"))?)
}
