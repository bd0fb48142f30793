//! Text to tokens and back, with the tokens that begin a text and those that end it.

mod charsmap;
mod check;
pub(crate) mod conversations;
mod from_gguf;
pub(crate) mod to_gguf;
mod trial;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::Path;

use serde_json::{Value, json};
use tunebench_files::write_file;
use tunebench_spec::guarded::guarded;

pub use self::conversations::Conversations;
use self::conversations::{CHAT_TEMPLATE, EXTRA_TOKENS, TOKEN_NAME, TOKENIZER_CONFIG, token_text};
use crate::Error;
use crate::files::read_json;
use crate::formats::gguf::GgufFile;

const CONFIG: &str = "config.json";
const TOKENIZER: &str = "tokenizer.json";
const SPECIAL_TOKENS: &str = "special_tokens_map.json";
const GENERATION_CONFIG: &str = "generation_config.json";

/// The files of a model folder that decide how text is tokenized, beside `config.json`.
pub(crate) const FILES: [&str; 5] = [TOKENIZER, TOKENIZER_CONFIG, SPECIAL_TOKENS, GENERATION_CONFIG, CHAT_TEMPLATE];

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
    /// What its files say of conversations.
    pub conversations: Conversations,
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
        let numbered = [(GENERATION_CONFIG, beside(GENERATION_CONFIG)?), (CONFIG, beside(CONFIG)?)];
        let foreign = |file: &str, key: &str, token: &dyn Display| {
            let fault = format!("`{key}` {token} is not in the vocabulary of {}", path.display());
            Error::tokenizer(&path.with_file_name(file), fault)
        };
        let token = |key: &str| {
            let mut files = [TOKENIZER_CONFIG, SPECIAL_TOKENS].into_iter().zip(&named);
            let found = files.find_map(|(name, file)| Some((name, token_text(file.get(key)?)?)));
            let id = |(file, token)| inner.token_to_id(token).ok_or_else(|| foreign(file, key, &format!("`{token}`")));
            found.map(id).transpose()
        };
        let ids = |key: &str| -> Result<Vec<u32>, Error> {
            let mut found = numbered.iter().map(|(name, file)| (name, token_ids(file.get(key))));
            let Some((file, ids)) = found.find(|(_, ids)| !ids.is_empty()) else { return Ok(vec![]) };
            let outside = ids.iter().find(|id| inner.id_to_token(**id).is_none());
            outside.map_or(Ok(()), |id| Err(foreign(file, key, id)))?;
            Ok(ids)
        };
        let bos = match token("bos_token")? {
            Some(bos) => Some(bos),
            None => ids("bos_token_id")?.first().copied(),
        };
        let eos = token("eos_token")?.into_iter().chain(ids("eos_token_id")?);
        let conversations = Conversations::of_folder(path.parent().unwrap_or(Path::new(".")), &named)?;
        Self::new(path, inner, bos, eos, conversations)
    }

    /// The tokenizer in a GGUF file's metadata.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] names the metadata that is missing, damaged or of an unknown kind.
    pub(crate) fn from_gguf(file: &GgufFile) -> Result<Self, Error> {
        let (json, special) = from_gguf::describe(file)?;
        let inner = build(file.path(), json)?;
        let conversations = Conversations::of_gguf(file, &inner);
        Self::new(file.path(), inner, special.bos, special.eos, conversations)
    }

    fn new(
        path: &Path,
        inner: tokenizers::Tokenizer,
        bos: Option<u32>,
        eos: impl IntoIterator<Item = u32>,
        conversations: Conversations,
    ) -> Result<Self, Error> {
        let mut seen = BTreeSet::new();
        let eos: Vec<u32> = eos.into_iter().filter(|id| seen.insert(*id)).collect();
        if eos.is_empty() {
            let fault = "no token is named that ends a text; set `eos_token` in a tokenizer_config.json beside it";
            return Err(Error::tokenizer(path, fault));
        }
        Ok(Self { inner, bos, eos, conversations })
    }

    /// Special tokens by the names that chat templates have for them, such as `bos_token`: those that the files name, else
    /// the two that are known.
    pub fn template_names(&self) -> BTreeMap<String, String> {
        if !self.conversations.special_tokens.is_empty() {
            return self.conversations.special_tokens.clone();
        }
        let named = [("bos_token", self.bos), ("eos_token", self.eos.first().copied())];
        let text = |(name, id): (&str, Option<u32>)| Some((name.to_owned(), self.inner.id_to_token(id?)?));
        named.into_iter().filter_map(text).collect()
    }

    /// Whether the model expects `bos` before a text: what the tokenizer does when asked for special tokens, or its
    /// configuration says.
    pub fn prepends_bos(&self) -> bool {
        if self.bos.is_some() && self.conversations.add_bos_token == Some(true) {
            return true;
        }
        self.bos.is_some() && self.letter().first() == self.bos.as_ref()
    }

    /// The tokens of a text, with those that the tokenizer puts before and behind it: a token that begins texts may be the
    /// one that ends them.
    fn letter(&self) -> Vec<u32> {
        self.inner.encode("a", true).map_or_else(|_| vec![], |found| found.get_ids().to_vec())
    }

    /// Writes `tokenizer.json`, the two small files that name the special tokens, and the chat template, each whole or not
    /// at all.
    ///
    /// # Errors
    /// [`Error::Files`] names the file.
    pub fn save(&self, dir: &Path) -> Result<(), Error> {
        let path = dir.join(TOKENIZER);
        let text = self.inner.to_string(false).map_err(|e| Error::tokenizer(&path, e.to_string()))?;
        write_file(&path, |out| out.write_all(text.as_bytes()))?;
        let name = |id: Option<&u32>| id.and_then(|id| self.inner.id_to_token(*id));
        let (named, extra): (BTreeMap<_, _>, BTreeMap<_, _>) =
            self.conversations.special_tokens.iter().partition(|(name, _)| name.ends_with(TOKEN_NAME));
        let mut config = json!(named);
        if !extra.is_empty() {
            config[EXTRA_TOKENS] = json!(extra);
        }
        config["tokenizer_class"] = "PreTrainedTokenizerFast".into();
        config["bos_token"] = name(self.bos.as_ref()).into();
        config["eos_token"] = name(self.eos.first()).into();
        config["clean_up_tokenization_spaces"] = false.into();
        if let Some(adds) = self.conversations.add_bos_token {
            config["add_bos_token"] = adds.into();
        }
        write_file(&dir.join(TOKENIZER_CONFIG), |out| writeln!(out, "{config:#}"))?;
        if let Some(template) = &self.conversations.chat_template {
            write_file(&dir.join(CHAT_TEMPLATE), |out| out.write_all(template.as_bytes()))?;
        }
        let generation = json!({ "bos_token_id": self.bos, "eos_token_id": self.eos });
        Ok(write_file(&dir.join(GENERATION_CONFIG), |out| writeln!(out, "{generation:#}"))?)
    }
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
fn build(path: &Path, mut json: Value) -> Result<tokenizers::Tokenizer, Error> {
    check::check(&json).map_err(|fault| Error::tokenizer(path, fault))?;
    // Whatever is cut or padded is cut and padded here, where it is counted; the library asserts over some of their values.
    for key in ["truncation", "padding"] {
        if let Some(value) = json.get_mut(key) {
            *value = Value::Null;
        }
    }
    let unusable = |e: String| Error::tokenizer(path, format!("not a tokenizer this program can use: {e}"));
    let parsed = guarded(|| serde_json::from_value::<tokenizers::Tokenizer>(json)).map_err(unusable)?;
    let mut inner = parsed.map_err(|e| unusable(e.to_string()))?;
    inner.with_truncation(None).map_err(|e| unusable(e.to_string()))?;
    inner.with_padding(None);
    trial::run(&inner).map_err(unusable)?;
    Ok(inner)
}
