//! What an export has of the base model's folder: the tokenizer's files byte for byte, the settings of generation, and the
//! configuration with all its keys. Where a file must say something else, all else in it stays.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tunebench_files::write_file;
use tunebench_model::formats::huggingface;
use tunebench_model::formats::safetensors::Float;
use tunebench_model::{Source, Tokenizer};
use tunebench_spec::Decoder;

use crate::{About, Error};

const TOKENIZER: &str = "tokenizer.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const GENERATION_CONFIG: &str = "generation_config.json";
const CHAT_TEMPLATE: &str = "chat_template.jinja";
/// Before there was a file of its own.
const CHAT_TEMPLATE_JSON: &str = "chat_template.json";

/// What decides how text becomes tokens, in any of the forms that tools look for, and how it is generated.
const BYTE_FOR_BYTE: [&str; 10] = [
    TOKENIZER,
    TOKENIZER_CONFIG,
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    GENERATION_CONFIG,
    CHAT_TEMPLATE,
    CHAT_TEMPLATE_JSON,
];

/// Words in the names of files that say what the model may be used for.
const TERMS: [&str; 4] = ["LICENSE", "LICENCE", "NOTICE", "POLICY"];

/// Code that a configuration names, for programs that do not have the model's architecture.
const CODE: &str = "auto_map";

/// Settings under which transformers' most likely answer is another, each with the number that does nothing.
const NUMBERS: [(&str, f64); 9] = [
    ("repetition_penalty", 1.0),
    ("encoder_repetition_penalty", 1.0),
    ("no_repeat_ngram_size", 0.0),
    ("encoder_no_repeat_ngram_size", 0.0),
    ("min_length", 0.0),
    ("min_new_tokens", 0.0),
    ("num_beams", 1.0),
    ("penalty_alpha", 0.0),
    ("guidance_scale", 1.0),
];
/// Others, which change it wherever they say anything.
const OTHERS: [&str; 13] = [
    "suppress_tokens",
    "begin_suppress_tokens",
    "bad_words_ids",
    "force_words_ids",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "forced_decoder_ids",
    "sequence_bias",
    "exponential_decay_length_penalty",
    "constraints",
    "dola_layers",
    "stop_strings",
    "watermarking_config",
];

/// Writes the tokenizer's files and the settings of generation, and says what in them is not as the base has it, a sentence
/// each.
///
/// # Errors
/// When a file cannot be read or written.
pub fn write(
    dir: &Path,
    shape: &Decoder,
    tokenizer: &Tokenizer,
    base: Option<&Source>,
    about: &About<'_>,
) -> Result<Vec<String>, Error> {
    let mut said = Vec::new();
    let of_base = base.and_then(Source::folder);
    match of_base.filter(|folder| is_same(folder, tokenizer)) {
        Some(folder) => {
            for name in BYTE_FOR_BYTE.into_iter().filter(|name| folder.join(name).is_file()) {
                copy(&folder.join(name), &dir.join(name))?;
            }
            generation(dir, tokenizer, &mut said)?;
            let config = dir.join(TOKENIZER_CONFIG);
            if config.is_file() && read(&config)?.get(CODE).is_some() {
                change(&config, |config| said.extend(without_code(config, TOKENIZER_CONFIG)))?;
            }
        }
        None => {
            if of_base.is_some() {
                said.push(
                    "the arm has a tokenizer of its own, and its files are written, not those of the base".into(),
                );
            }
            tokenizer.save(dir)?;
            change(&dir.join(TOKENIZER_CONFIG), |config| {
                config["model_max_length"] = shape.context().into();
            })?;
        }
    }
    template(dir, base, about, &mut said)?;
    terms(dir, base)?;
    Ok(said)
}

/// Copies what says what the base model may be used for, which holds for what was made of it.
///
/// # Errors
/// When a file cannot be read or written.
pub fn terms(dir: &Path, base: Option<&Source>) -> Result<(), Error> {
    let Some(folder) = base.and_then(Source::folder) else { return Ok(()) };
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let upper = name.to_uppercase();
        if path.is_file() && TERMS.iter().any(|word| upper.contains(word)) {
            copy(&path, &dir.join(name))?;
        }
    }
    Ok(())
}

/// Takes code out of a configuration, and says so: its files are not exported, and whoever opens an export has the
/// architectures that are read here.
pub fn without_code(config: &mut Value, file: &str) -> Option<String> {
    config.as_object_mut()?.remove(CODE)?;
    Some(format!(
        "{file}: {CODE} is left out: the Python files that it names are not exported, and this architecture needs none"
    ))
}

/// Whether the base model's folder has the very tokenizer.
fn is_same(folder: &Path, tokenizer: &Tokenizer) -> bool {
    let Ok(own) = Tokenizer::from_file(&folder.join(TOKENIZER)) else { return false };
    let text = |tokenizer: &Tokenizer| tokenizer.inner.to_string(false).ok();
    (own.bos, &own.eos) == (tokenizer.bos, &tokenizer.eos) && text(&own) == text(tokenizer)
}

/// The settings of generation must name every token at which the model stops; the tokenizer's own is not always among them.
fn generation(dir: &Path, tokenizer: &Tokenizer, said: &mut Vec<String>) -> Result<(), Error> {
    let path = dir.join(GENERATION_CONFIG);
    if !path.is_file() {
        let config = json!({ "bos_token_id": tokenizer.bos, "eos_token_id": tokenizer.eos });
        return Ok(write_file(&path, |out| writeln!(out, "{config:#}"))?);
    }
    let named = read(&path)?;
    said.extend(changes_answers(&named));
    let ids: Vec<u64> = match &named["eos_token_id"] {
        Value::Array(all) => all.iter().filter_map(Value::as_u64).collect(),
        one => one.as_u64().into_iter().collect(),
    };
    let missing: Vec<u64> = tokenizer.eos.iter().map(|id| u64::from(*id)).filter(|id| !ids.contains(id)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let all: Vec<u64> = ids.into_iter().chain(missing.iter().copied()).collect();
    said.push(format!("{GENERATION_CONFIG}: eos_token_id has {missing:?} too, at which the arm was taught to stop"));
    change(&path, |config| config["eos_token_id"] = all.into())
}

/// What to say where the settings of generation change the most likely answer.
fn changes_answers(config: &Value) -> Option<String> {
    let number = |(key, nothing): (&str, f64)| {
        let value = config.get(key)?.as_f64().filter(|value| *value != nothing)?;
        Some(format!("{key} {value}"))
    };
    let says = |value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(all) => !all.is_empty(),
        Value::Object(all) => !all.is_empty(),
        _ => true,
    };
    let others = OTHERS.into_iter().filter(|key| config.get(key).is_some_and(says)).map(str::to_owned);
    let found: Vec<String> = NUMBERS.into_iter().filter_map(number).chain(others).collect();
    if found.is_empty() {
        return None;
    }
    Some(format!(
        "{GENERATION_CONFIG}: the base's {} stay, which change what transformers answers; tunebench answers without",
        found.join(", ")
    ))
}

/// The template that the model was trained with, where the base has none or another.
fn template(dir: &Path, base: Option<&Source>, about: &About<'_>, said: &mut Vec<String>) -> Result<(), Error> {
    let own = base.map(Source::chat_template).transpose()?.flatten();
    let name = &about.record.template;
    let Some(text) = about.chat_template else {
        let which = if own.is_some() { "the base's stays" } else { "none is written" };
        said.push(format!("the template `{name}` that it was trained with has no form in Jinja: {which}"));
        return Ok(());
    };
    if own.as_deref() == Some(text) && dir.join(CHAT_TEMPLATE).is_file() {
        return Ok(());
    }
    if own.as_deref() == Some(text) && of_config(dir)?.is_some() {
        return Ok(());
    }
    if own.as_deref().is_some_and(|own| own != text) {
        said.push(format!(
            "its chat template is that of `{name}`, with which it was trained, and not the base model's"
        ));
    }
    write_file(&dir.join(CHAT_TEMPLATE), |out| out.write_all(text.as_bytes()))?;
    // Older readers look there, and would find the base model's.
    if of_config(dir)?.is_some() {
        change(&dir.join(TOKENIZER_CONFIG), |config| config["chat_template"] = text.into())?;
    }
    if dir.join(CHAT_TEMPLATE_JSON).is_file() {
        change(&dir.join(CHAT_TEMPLATE_JSON), |config| config["chat_template"] = text.into())?;
    }
    Ok(())
}

fn of_config(dir: &Path) -> Result<Option<Value>, Error> {
    let path = dir.join(TOKENIZER_CONFIG);
    let config = if path.is_file() { read(&path)? } else { Value::Null };
    Ok(config.get("chat_template").cloned())
}

/// The configuration with every key of the base model's; `float` is what most numbers are stored as.
///
/// # Errors
/// When no configuration of its family says all of the decoder, or the base model's file cannot be read.
pub fn config(shape: &Decoder, base: Option<&Source>, float: Float) -> Result<Value, Error> {
    let path = base.and_then(Source::folder).map(|folder| folder.join("config.json"));
    let own = path.as_deref().map(read).transpose()?;
    let place = path.unwrap_or_else(|| "config.json".into());
    let config = huggingface::config(shape, own.as_ref(), float);
    config.map_err(|source| tunebench_model::Error::Config { path: place, source }.into())
}

/// Says in a configuration that has the key whose weights these were.
pub fn name_base(config: &mut Value, base: &str) {
    if config.get("_name_or_path").is_some() {
        config["_name_or_path"] = base.into();
    }
}

/// Changes some keys of a JSON file.
fn change(path: &Path, change: impl FnOnce(&mut Value)) -> Result<(), Error> {
    let mut value = read(path)?;
    change(&mut value);
    Ok(write_file(path, |out| writeln!(out, "{value:#}"))?)
}

fn read(path: &Path) -> Result<Value, Error> {
    Ok(tunebench_files::read_json(path)?)
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    let mut file = fs::File::open(from).map_err(Error::io(from))?;
    Ok(write_file(to, |out| std::io::copy(&mut file, out).map(|_| ()))?)
}
