//! Text to tokens and back, with the tokens that begin a text and those that end it.

mod from_gguf;

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use tunebench_files::write_file;

use crate::Error;
use crate::files::{read_json, read_text};
use crate::formats::gguf::GgufFile;

const TOKENIZER: &str = "tokenizer.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const SPECIAL_TOKENS: &str = "special_tokens_map.json";
const GENERATION_CONFIG: &str = "generation_config.json";
const CHAT_TEMPLATE: &str = "chat_template.jinja";

/// The files of a model folder that decide how text is tokenized, beside `config.json`.
pub(crate) const FILES: [&str; 4] = [TOKENIZER, TOKENIZER_CONFIG, SPECIAL_TOKENS, GENERATION_CONFIG];

/// A tokenizer and its model's special tokens.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    /// Neither truncates nor pads, whatever its file asks for.
    pub inner: tokenizers::Tokenizer,
    /// The token for the beginning of a text, where there is one; see [`Tokenizer::prepends_bos`].
    pub bos: Option<u32>,
    /// Every token at which generation stops, at least one. The first is the tokenizer's own end of text, which
    /// training appends.
    pub eos: Vec<u32>,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`; its special tokens come from the files beside it: `eos_token` and `bos_token`
    /// from `tokenizer_config.json` or `special_tokens_map.json`, further stop tokens from
    /// `generation_config.json`, or `config.json` where that says nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`] without the file, [`Error::Tokenizer`] when it cannot be used or no file names a token
    /// that ends a text.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        if !path.is_file() {
            let hint = "save the model's tokenizer in this format (transformers: `AutoTokenizer.from_pretrained(..)\
                        .save_pretrained(..)`), or name one in the study"
                .into();
            return Err(Error::NotFound { path: path.into(), hint });
        }
        let inner = build(path, read_json(path)?)?;
        let beside = |name: &str| match path.with_file_name(name) {
            file if file.is_file() => read_json(&file),
            _ => Ok(Value::Null),
        };
        let named = [beside(TOKENIZER_CONFIG)?, beside(SPECIAL_TOKENS)?];
        let numbered = [beside(GENERATION_CONFIG)?, beside("config.json")?];
        let token = |key: &str| {
            let name = named.iter().find_map(|file| token_text(file.get(key)?));
            let id = |n: &str| inner.token_to_id(n).ok_or_else(|| format!("{key} `{n}` is not in the vocabulary"));
            name.map(id).transpose().map_err(|fault| Error::tokenizer(path, fault))
        };
        let ids = |key: &str| numbered.iter().map(|file| token_ids(file.get(key))).find(|i| !i.is_empty());
        let bos = token("bos_token")?.or_else(|| ids("bos_token_id")?.first().copied());
        let eos = token("eos_token")?.into_iter().chain(ids("eos_token_id").unwrap_or_default());
        Self::new(path, inner, bos, eos)
    }

    /// The tokenizer in a GGUF file's metadata.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] names the metadata that is missing, damaged or of an unknown kind.
    pub(crate) fn from_gguf(file: &GgufFile) -> Result<Self, Error> {
        let (json, special) = from_gguf::describe(file)?;
        Self::new(file.path(), build(file.path(), json)?, special.bos, special.eos)
    }

    fn new(
        path: &Path,
        inner: tokenizers::Tokenizer,
        bos: Option<u32>,
        eos: impl IntoIterator<Item = u32>,
    ) -> Result<Self, Error> {
        let mut seen = BTreeSet::new();
        let eos: Vec<u32> = eos.into_iter().filter(|id| seen.insert(*id)).collect();
        if eos.is_empty() {
            let fault = "no token is named that ends a text; set `eos_token` in a tokenizer_config.json beside it";
            return Err(Error::tokenizer(path, fault));
        }
        if let Some(id) = eos.iter().chain(&bos).find(|id| inner.id_to_token(**id).is_none()) {
            return Err(Error::tokenizer(path, format!("special token {id} is not in the vocabulary")));
        }
        Ok(Self { inner, bos, eos })
    }

    /// Whether the model expects `bos` before a text: what the tokenizer does when asked for special tokens.
    pub fn prepends_bos(&self) -> bool {
        let Ok(empty) = self.inner.encode("", true) else { return false };
        self.bos.is_some() && empty.get_ids().first() == self.bos.as_ref()
    }

    /// Writes `tokenizer.json` and the two small files that name the special tokens, each whole or not at all.
    ///
    /// # Errors
    /// [`Error::Files`] names the file.
    pub fn save(&self, dir: &Path) -> Result<(), Error> {
        let path = dir.join(TOKENIZER);
        let text = self.inner.to_string(false).map_err(|e| Error::tokenizer(&path, e.to_string()))?;
        write_file(&path, |out| out.write_all(text.as_bytes()))?;
        let name = |id: Option<&u32>| id.and_then(|id| self.inner.id_to_token(*id));
        let config = json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": name(self.bos.as_ref()),
            "eos_token": name(self.eos.first()),
            "clean_up_tokenization_spaces": false,
        });
        write_file(&dir.join(TOKENIZER_CONFIG), |out| writeln!(out, "{config:#}"))?;
        let generation = json!({ "bos_token_id": self.bos, "eos_token_id": self.eos });
        Ok(write_file(&dir.join(GENERATION_CONFIG), |out| writeln!(out, "{generation:#}"))?)
    }
}

/// The chat template of a model folder: a file of its own outranks the tokenizer's configuration.
pub(crate) fn chat_template(folder: &Path) -> Result<Option<String>, Error> {
    let file = folder.join(CHAT_TEMPLATE);
    if file.is_file() {
        return read_text(&file).map(Some);
    }
    let config = folder.join(TOKENIZER_CONFIG);
    if !config.is_file() {
        return Ok(None);
    }
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Ok(match read_json(&config)?.get("chat_template") {
        Some(Value::Array(named)) => {
            let default = named.iter().find(|entry| entry.get("name").and_then(Value::as_str) == Some("default"));
            default.and_then(|entry| text(entry.get("template")?))
        }
        Some(template) => text(template),
        None => None,
    })
}

/// A token as `"</s>"` or `{"content": "</s>", ..}`.
fn token_text(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("content")?.as_str())
}

/// A token number or a list of them; none for null.
fn token_ids(value: Option<&Value>) -> Vec<u32> {
    let id = |v: &Value| v.as_u64().and_then(|v| u32::try_from(v).ok());
    match value {
        Some(Value::Array(all)) => all.iter().filter_map(id).collect(),
        Some(one) => id(one).into_iter().collect(),
        None => vec![],
    }
}

/// The tokenizer that a `tokenizer.json` describes.
fn build(path: &Path, json: Value) -> Result<tokenizers::Tokenizer, Error> {
    check_merges(&json).map_err(|fault| Error::tokenizer(path, fault))?;
    let fault = |e: String| Error::tokenizer(path, format!("not a tokenizer this program can use: {e}"));
    let mut inner: tokenizers::Tokenizer = serde_json::from_value(json).map_err(|e| fault(e.to_string()))?;
    inner.with_truncation(None).map_err(|e| fault(e.to_string()))?;
    inner.with_padding(None);
    Ok(inner)
}

/// The library panics on a merge whose result is longer than every token, so each must make a token.
fn check_merges(json: &Value) -> Result<(), String> {
    let Some(model) = json.get("model") else { return Err("`model` is missing".into()) };
    let (Some(vocab), Some(merges)) =
        (model.get("vocab").and_then(Value::as_object), model.get("merges").and_then(Value::as_array))
    else {
        return Ok(());
    };
    let prefix = model.get("continuing_subword_prefix").and_then(Value::as_str).unwrap_or_default();
    for merge in merges {
        let pair = match merge {
            Value::Array(pair) => match pair.as_slice() {
                [a, b] => a.as_str().zip(b.as_str()),
                _ => None,
            },
            other => other.as_str().and_then(|text| text.split_once(' ')),
        };
        let merged = pair.and_then(|(a, b)| Some(format!("{a}{}", b.strip_prefix(prefix)?)));
        if !merged.is_some_and(|token| vocab.contains_key(&token)) {
            return Err(format!("merge {merge} makes no token of the vocabulary"));
        }
    }
    Ok(())
}
