//! A model's name by content, and that of the engine that computes it.

use std::fs::File;

use serde_json::json;
use tunebench_kernels::SimdLevel;
use tunebench_model::backend::Backend;
use tunebench_model::{Source, Tokenizer};
use tunebench_spec::hash;

use crate::error::Error;
use crate::prompt_writer::ChatTemplate;

/// Raised when a change of the code changes what is replied.
const ANSWERING_VERSION: u32 = 1;

/// Hexadecimal digits that are shown of a hash: enough that no two models of one user meet.
const DIGITS: usize = 16;

/// SHA-256 over the contents of the files that decide a model's weights.
///
/// # Errors
/// When one cannot be read.
pub(crate) fn of_files(model: &str, source: &Source) -> Result<String, Error> {
    let hash = |path: std::path::PathBuf| {
        File::open(&path).and_then(hash::of_reader).map_err(|source| Error::Io { path, source })
    };
    let hashes = source.weight_files().into_iter().map(hash).collect::<Result<Vec<_>, _>>()?;
    hash::of_json(&hashes).map_err(|source| Error::Identity { model: model.to_owned(), source })
}

/// `local:` and a name of all that decides a reply beside request and engine.
///
/// # Errors
/// When the tokenizer has no JSON form.
pub(crate) fn url(
    model: &str,
    weights: &str,
    tokenizer: &Tokenizer,
    (template, adds_bos): (&ChatTemplate, bool),
    stop_tokens: &[u32],
) -> Result<String, Error> {
    let fault = |e: tokenizers::Error| tunebench_model::Error::Tokenizer { path: model.into(), fault: e.to_string() };
    let text = tokenizer.inner.to_string(false).map_err(fault)?;
    let (kind, template) = match template {
        ChatTemplate::Jinja(source) => ("jinja", source),
        ChatTemplate::Named(name) => ("named", name),
    };
    let mut all = json!({
        "weights": weights,
        "tokenizer": hash::of_bytes(text.as_bytes()),
        "bos": tokenizer.bos,
        "stop": stop_tokens,
        "template": [kind, template],
    });
    // Absent where it says nothing, so that replies from before it was there keep their names.
    if adds_bos {
        all["add_bos_token"] = true.into();
    }
    let name = hash::of_json(&all).map_err(|source| Error::Identity { model: model.to_owned(), source })?;
    Ok(format!("local:{}", &name[..DIGITS]))
}

/// `system_fingerprint`: the engine, and the instructions that it uses, by which sums are rounded.
pub(crate) fn fingerprint(backend: &dyn Backend, level: SimdLevel) -> String {
    let all = [backend.name(), backend.precision(), level.name(), &ANSWERING_VERSION.to_string()].join("\n");
    format!("fp_{}", &hash::of_bytes(all.as_bytes())[..DIGITS])
}
