//! What the files of a tokenizer say of conversations: the chat template that the model was tuned with, and what its special
//! tokens are called there.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value as Json;

use crate::Error;
use crate::files::{read_json, read_text};
use crate::formats::gguf::{GgufFile, Value};

pub(super) const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
pub(super) const CHAT_TEMPLATE: &str = "chat_template.jinja";

/// How members of a configuration end that are special tokens, each under the name that templates have for it.
pub(super) const TOKEN_NAME: &str = "_token";
/// More of them, under any names, where it is an object.
pub(super) const EXTRA_TOKENS: &str = "extra_special_tokens";

/// What a tokenizer's files say of conversations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conversations {
    /// The model's own chat template, a text in Jinja, where it brings one.
    pub chat_template: Option<String>,
    /// Special tokens by the names that templates have for them, such as `bos_token`.
    pub special_tokens: BTreeMap<String, String>,
    /// What `tokenizer_config.json` says of a beginning-of-sequence token before a text.
    pub add_bos_token: Option<bool>,
}

impl Conversations {
    /// `named` are the contents of the two files that name special tokens, the first outranking the second.
    ///
    /// # Errors
    /// As [`chat_template`].
    pub(super) fn of_folder(folder: &Path, named: &[Json; 2]) -> Result<Self, Error> {
        Ok(Self {
            chat_template: chat_template(folder)?,
            special_tokens: named.iter().rev().flat_map(special_tokens).collect(),
            add_bos_token: named[0].get("add_bos_token").and_then(Json::as_bool),
        })
    }

    pub(super) fn of_gguf(file: &GgufFile, inner: &tokenizers::Tokenizer) -> Self {
        let keys = [
            ("bos_token", "bos"),
            ("eos_token", "eos"),
            ("unk_token", "unknown"),
            ("sep_token", "seperator"), // so spelt there
            ("pad_token", "padding"),
            ("cls_token", "cls"),
            ("mask_token", "mask"),
        ];
        let token = |(name, key): (&str, &str)| match file.metadata(&format!("tokenizer.ggml.{key}_token_id")) {
            Some(Value::Int(id)) => Some((name.to_owned(), inner.id_to_token(u32::try_from(*id).ok()?)?)),
            _ => None,
        };
        Self {
            chat_template: gguf_chat_template(file),
            special_tokens: keys.into_iter().filter_map(token).collect(),
            add_bos_token: match file.metadata("tokenizer.ggml.add_bos_token") {
                Some(Value::Bool(adds)) => Some(*adds),
                _ => None,
            },
        }
    }
}

/// Special tokens by the names that templates have for them, as transformers gathers them from a file; the last of a name
/// counts.
fn special_tokens(file: &Json) -> Vec<(String, String)> {
    let own = file.as_object().into_iter().flatten().filter(|(name, _)| name.ends_with(TOKEN_NAME));
    let extra = file.get(EXTRA_TOKENS).and_then(Json::as_object).into_iter().flatten();
    own.chain(extra).filter_map(|(name, token)| Some((name.clone(), token_text(token)?.to_owned()))).collect()
}

/// The chat template in a GGUF file's metadata.
pub(crate) fn gguf_chat_template(file: &GgufFile) -> Option<String> {
    match file.metadata("tokenizer.chat_template") {
        Some(Value::Text(template)) => Some(template.clone()),
        _ => None,
    }
}

/// The chat template of a model folder: a file of its own outranks the tokenizer's configuration, and of several the one
/// named `default` counts.
///
/// # Errors
/// When a file that may hold it cannot be read, or has several by name and no `default`.
pub(crate) fn chat_template(folder: &Path) -> Result<Option<String>, Error> {
    let file = folder.join(CHAT_TEMPLATE);
    if file.is_file() {
        return read_text(&file).map(Some);
    }
    let config = folder.join(TOKENIZER_CONFIG);
    if !config.is_file() {
        return Ok(None);
    }
    let text = |value: &Json| value.as_str().map(str::to_owned);
    let found = read_json(&config)?;
    let named = match found.get("chat_template") {
        Some(Json::Array(named)) if !named.is_empty() => named,
        template => return Ok(template.and_then(text)),
    };
    let names: Vec<&str> = named.iter().map(|entry| entry["name"].as_str().unwrap_or_default()).collect();
    let Some(default) = names.iter().position(|name| *name == "default") else {
        let what = format!(
            "brings chat templates by name ({}) and none of them is `default`; name the one so that conversations are \
             written with, or keep it as {CHAT_TEMPLATE} beside this file",
            names.join(", ")
        );
        return Err(Error::unsupported(&config, what));
    };
    Ok(text(&named[default]["template"]))
}

/// A token as `"</s>"` or `{"content": "</s>", ..}`.
pub(super) fn token_text(value: &Json) -> Option<&str> {
    value.as_str().or_else(|| value.get("content")?.as_str())
}
