//! Hugging Face model folders: `config.json` with `model.safetensors`, or with an index and shards.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use candle_core::DType;
use serde_json::{Value, json};
use tunebench_files::{create_folder, write_file};
use tunebench_kernels::quant::{QuantTensor, QuantType};
use tunebench_spec::Decoder;
use tunebench_spec::decoder::{ConfigError, Weight};
use tunebench_spec::names::Role;

use crate::families::{self, Family};
use crate::files::{read_json, read_text};
use crate::formats::safetensors::{self, Float, TensorFile};
use crate::formats::stored_names::{StoredNames, by_own_name, is_buffer};
use crate::weights::{Stored, check, finite, place};
use crate::{Error, Tokenizer, Weights, tokenizer};

const CONFIG: &str = "config.json";
const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// A model folder whose configuration and tensor headers agree.
pub struct Folder {
    path: PathBuf,
    shape: Decoder,
    /// The safetensors files, and what each holds that the model needs: its name there, and the decoder's.
    shards: BTreeMap<PathBuf, Vec<(String, String)>>,
    notes: Vec<String>,
}

impl Folder {
    /// Reads the configuration and the headers of the weight files.
    ///
    /// # Errors
    /// Names the file and the tensor that is missing, of the wrong shape or type, or left over.
    pub fn open(families: &[Family], path: &Path) -> Result<Self, Error> {
        let config = path.join(CONFIG);
        if !config.is_file() {
            let hint = "a Hugging Face model folder has one beside its weights".into();
            return Err(Error::NotFound { path: config, hint });
        }
        let text = read_text(&config)?;
        let invalid = |source| Error::Config { path: config.clone(), source };
        let mut shape = families::from_config_json(families, &text).map_err(invalid)?;
        let mut notes = families::notes(&text);
        let (mut tensors, mut seen) = (Vec::new(), BTreeSet::new());
        for file in weight_files(path)? {
            let shard = TensorFile::open(&file)?;
            for (name, dims) in shard.shapes().into_iter().filter(|(name, dims)| !is_buffer(name, dims)) {
                if !seen.insert(name.clone()) {
                    return Err(Error::corrupt(&file, format!("tensor `{name}` is in another shard too")));
                }
                let type_fault = shard.check_type(&name).err();
                tensors.push((name, Place { file: file.clone(), dims, type_fault }));
            }
        }
        let twice = |[one, other]: [String; 2]| {
            Error::corrupt(path, format!("tensors `{one}` and `{other}` are the same weight of the model"))
        };
        let mut tensors = by_own_name(&StoredNames::new(&shape), tensors).map_err(twice)?;
        notes.extend(resolve_head(&mut shape, &mut tensors)?);
        let found = tensors.iter().map(|(own, (_, stored))| (own.clone(), stored.dims.clone())).collect();
        check(&place(path), &shape, &found)?;
        let mut shards: BTreeMap<PathBuf, Vec<(String, String)>> = BTreeMap::new();
        for (own, (name, stored)) in tensors {
            stored.type_fault.map_or(Ok(()), Err)?;
            shards.entry(stored.file).or_default().push((name, own));
        }
        Ok(Self { path: path.into(), shape, shards, notes })
    }

    /// What whoever uses the model should know of it, a sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn shape(&self) -> &Decoder {
        &self.shape
    }

    /// Reads every weight as it is stored, and changes it.
    ///
    /// # Errors
    /// [`Error::NotFinite`] for a tensor with a number that is none; [`Error::Corrupt`] when a file has changed.
    pub fn weights(&self, change: &dyn Fn(&str, Stored) -> Result<Stored, Error>) -> Result<Weights, Error> {
        let mut all = BTreeMap::new();
        for (path, names) in &self.shards {
            let mut file = TensorFile::open(path)?;
            for (name, own) in names {
                all.insert(own.clone(), change(own, held(&mut file, name)?)?);
            }
        }
        Weights::of_stored(&self.shape, all)
    }

    /// How each weight is stored.
    ///
    /// # Errors
    /// When a file has changed since it was opened.
    pub fn floats(&self) -> Result<BTreeMap<String, Float>, Error> {
        let mut all = BTreeMap::new();
        for (path, names) in &self.shards {
            let file = TensorFile::open(path)?;
            all.extend(names.iter().filter_map(|(name, own)| Some((own.clone(), file.float(name)?))));
        }
        Ok(all)
    }

    /// Configuration, weights and whatever of the tokenizer's files there is, sorted.
    pub fn files(&self) -> Vec<PathBuf> {
        let beside = [CONFIG, INDEX].into_iter().chain(tokenizer::FILES);
        let beside = beside.map(|name| self.path.join(name)).filter(|p| p.is_file());
        let all: BTreeSet<PathBuf> = beside.chain(self.shards.keys().cloned()).collect();
        all.into_iter().collect()
    }
}

/// A tensor as a model holds it: a matrix of f16 as that, the rest as bf16 or f32.
fn held(file: &mut TensorFile, name: &str) -> Result<Stored, Error> {
    let is_matrix = |dims: &Vec<usize>| dims.len() == 2 && QuantType::F16.bytes(dims[0], dims[1]).is_some();
    if file.float(name) != Some(Float::F16) || !file.shape(name).is_some_and(|dims| is_matrix(&dims)) {
        return Ok(Stored::Plain(file.read_stored(name)?));
    }
    let (dims, bytes) = file.bytes(name)?;
    let tensor = QuantTensor::new(QuantType::F16, [dims[0], dims[1]], bytes).expect("as many bytes as its header says");
    Ok(Stored::Quantised(Arc::new(finite(tensor, file.path(), name)?)))
}

/// Where a tensor is.
struct Place {
    file: PathBuf,
    dims: Vec<usize>,
    /// Why its numbers cannot be read.
    type_fault: Option<Error>,
}

/// What a head means that a checkpoint has although its configuration ties it to the embedding, as transformers 5 takes it:
/// an equal one is left out, a different one is the head, and one without an embedding is both.
fn resolve_head(shape: &mut Decoder, tensors: &mut BTreeMap<String, (String, Place)>) -> Result<Option<String>, Error> {
    let [head, embedding] = [Role::Head, Role::Embedding].map(|role| shape.weight_name(role, 0));
    if !shape.tie_word_embeddings {
        return Ok(None);
    }
    let Some((stored, of_head)) = tensors.get(&head) else { return Ok(None) };
    let Some((of_embedding_name, of_embedding)) = tensors.get(&embedding) else {
        if let Some(only) = tensors.remove(&head) {
            tensors.insert(embedding, only);
        }
        return Ok(None);
    };
    let is_same = of_head.dims == of_embedding.dims && {
        let one = TensorFile::open(&of_head.file)?.read(stored)?;
        let other = TensorFile::open(&of_embedding.file)?.read(of_embedding_name)?;
        one.ne(&other)?.to_dtype(DType::F32)?.sum_all()?.to_scalar::<f32>()? == 0.0
    };
    if is_same {
        tensors.remove(&head);
        return Ok(None);
    }
    shape.tie_word_embeddings = false;
    Ok(Some(format!(
        "config.json ties the output head to the embedding, but the checkpoint has a head of its own, `{stored}`, with \
         other numbers; it is used, as transformers does"
    )))
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

/// Bytes of weights in one file, as transformers 4 has it.
pub const SHARD_BYTES: u64 = 5_000_000_000;

/// Writes a folder that [`crate::open`] and transformers read: `config.json`, weights with numbers as `float` and, when
/// given, the tokenizer's files. The configuration comes last and each file is whole or absent.
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
    create_folder(dir)?;
    let mut config = config(shape, None, float).map_err(|source| Error::Config { path: dir.into(), source })?;
    if let Some(tokenizer) = tokenizer {
        tokenizer.save(dir)?;
        config["bos_token_id"] = json!(tokenizer.bos);
        config["eos_token_id"] = json!(tokenizer.eos);
    }
    save_weights(dir, shape, weights, &|_| float, SHARD_BYTES)?;
    save_config(dir, config)
}

/// Writes the weights, each with numbers of its own format, in the order of a checkpoint: one file, or as many as `most`
/// bytes of each take, with an index. A weight that is larger than that has a file of its own. Says which files.
///
/// # Errors
/// [`Error::Shape`] and its kin when the weights do not fit `shape`, [`Error::Type`] when a number does not fit its format;
/// [`Error::Files`] names the file.
pub fn save_weights(
    dir: &Path,
    shape: &Decoder,
    weights: &Weights,
    float: &dyn Fn(&str) -> Float,
    most: u64,
) -> Result<Vec<String>, Error> {
    let tensors: BTreeMap<&str, &Stored> = weights.stored().collect();
    let found = tensors.iter().map(|(name, stored)| ((*name).to_owned(), stored.dims())).collect();
    check(&place(dir), shape, &found)?;
    let listed = shape.weights();
    let bytes = |weight: &Weight| weight.len() * float(&weight.name).size() as u64;
    let mut shards: Vec<(u64, Vec<&Weight>)> = vec![(0, vec![])];
    for weight in &listed {
        let own = bytes(weight);
        match shards.last_mut() {
            Some((size, shard)) if shard.is_empty() || *size + own <= most => {
                *size += own;
                shard.push(weight);
            }
            _ => shards.push((own, vec![weight])),
        }
    }
    let count = shards.len();
    let name = |number: usize| match count {
        1 => SINGLE.to_owned(),
        _ => format!("model-{:05}-of-{count:05}.safetensors", number + 1),
    };
    for (number, (_, shard)) in shards.iter().enumerate() {
        let of_shard =
            shard.iter().filter_map(|weight| Some((weight.name.as_str(), tensors.get(weight.name.as_str())?)));
        let of_shard: Vec<_> = of_shard.map(|(name, stored)| (name, stored.tensor(), float(name))).collect();
        let of_shard: Vec<_> = of_shard.iter().map(|(name, tensor, float)| (*name, tensor.as_ref(), *float)).collect();
        safetensors::write_as(&dir.join(name(number)), &of_shard)?;
    }
    if count > 1 {
        let files = shards.iter().enumerate();
        let map: BTreeMap<&str, String> = files
            .flat_map(|(number, (_, shard))| shard.iter().map(move |w| (w.name.as_str(), number)))
            .map(|(w, n)| (w, name(n)))
            .collect();
        let total: u64 = shards.iter().map(|(size, _)| size).sum();
        let metadata = json!({ "total_parameters": shape.params(), "total_size": total });
        let index = json!({ "metadata": metadata, "weight_map": map });
        write_file(&dir.join(INDEX), |out| writeln!(out, "{index:#}"))?;
    }
    Ok((0..count).map(name).collect())
}

/// The configuration of a decoder: `kept`, that of the model it comes from, with every key it has, and in it what is another
/// model now; or one of our own where there is none. `float` is what most numbers are stored as.
///
/// # Errors
/// [`ConfigError`] when no configuration of its family says all of this decoder.
pub fn config(shape: &Decoder, kept: Option<&Value>, float: Float) -> Result<Value, ConfigError> {
    let own = families::to_config_json(families::ALL, shape)?;
    let says_it =
        |config: &Value| families::from_config_json(families::ALL, &config.to_string()).is_ok_and(|s| s == *shape);
    let mut config = kept.filter(|kept| kept.is_object()).cloned().unwrap_or_else(|| own.clone());
    if !says_it(&config) {
        config["tie_word_embeddings"] = shape.tie_word_embeddings.into();
    }
    if !says_it(&config)
        && let (Some(config), Value::Object(own)) = (config.as_object_mut(), own)
    {
        config.extend(own);
    }
    if !says_it(&config) {
        let why = "its `config.json`, with what has changed, would be read as another model".to_owned();
        return Err(ConfigError::Unsupported(why));
    }
    let spelled: Vec<&str> = ["dtype", "torch_dtype"].into_iter().filter(|key| config.get(*key).is_some()).collect();
    for key in if spelled.is_empty() { vec!["torch_dtype"] } else { spelled } {
        config[key] = float.torch_name().into();
    }
    Ok(config)
}

/// Writes `config.json`.
///
/// # Errors
/// [`Error::Files`] names the file.
pub fn save_config(dir: &Path, mut config: Value) -> Result<(), Error> {
    config.sort_all_objects(); // the order of keys would depend on how serde_json was built
    Ok(write_file(&dir.join(CONFIG), |out| writeln!(out, "{config:#}"))?)
}
