//! The families of models, one small file each: from a configuration to a [`Decoder`], and back.
//!
//! To add one: a file here with a `FAMILY`, and its name in the list below. A GGUF header is read by the same function, since
//! `formats` gives it in the words of `config.json`.

mod config;
pub mod rope;

use serde_json::{Value, json};
use tunebench_spec::Decoder;
use tunebench_spec::decoder::ConfigError;

pub use config::Config;
pub use rope::RopeWords;

/// A family of models.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Its `model_type`.
    pub name: &'static str,
    /// The first is written, all are read.
    pub architectures: &'static [&'static str],
    /// None when llama.cpp has it under another family's name.
    pub gguf: Option<Gguf>,
    /// # Errors
    /// Names the key that is missing, of the wrong type, or asks for what is not supported.
    pub read: fn(&Config<'_>) -> Result<Decoder, ConfigError>,
    /// The keys of `config.json` that [`to_config_json`] does not write for every family, or writes otherwise.
    pub write: fn(&Decoder) -> Value,
}

/// How llama.cpp keeps a family.
#[derive(Clone, Copy, Debug)]
pub struct Gguf {
    pub architecture: &'static str,
    /// Whether rows (2i, 2i+1) of a rotated head stand together, where Hugging Face has them half a head apart.
    pub has_rotary_pairs: bool,
    pub window: GgufWindow,
}

/// What llama.cpp makes of a sliding window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GgufWindow {
    /// Files of the family have no word for it.
    Unsaid,
    /// Files say it, and it computes the family without.
    Ignored,
    /// Files say it and its layers.
    Computed,
}

macro_rules! families {
    ($($family:ident)*) => {
        $(pub mod $family;)*
        /// Every family that is read and written.
        pub const ALL: &[Family] = &[$($family::FAMILY),*];
    };
}

families! {
    llama
    mistral
    qwen2
    qwen3
    gemma2
    gemma3
    phi3
    opt
    bloom
    gpt_neox
}

/// Reads a Hugging Face `config.json`.
///
/// # Errors
/// [`ConfigError`] names the key that is missing, of the wrong type, or asks for what is not supported.
pub fn from_config_json(families: &[Family], text: &str) -> Result<Decoder, ConfigError> {
    let value: Value = serde_json::from_str(text).map_err(|e| ConfigError::Json(e.to_string()))?;
    let config = Config(&value);
    let architecture = value.pointer("/architectures/0").and_then(Value::as_str);
    let model_type = config.get("model_type").and_then(Value::as_str);
    let is_named = |family: &&Family| match (architecture, model_type) {
        (Some(name), _) => family.architectures.contains(&name),
        (None, Some(name)) => family.name == name,
        (None, None) => family.name == llama::FAMILY.name,
    };
    let Some(family) = families.iter().find(is_named) else {
        return Err(unknown(families, architecture.or(model_type).unwrap_or_default()));
    };
    if let (Some(architecture), Some(name)) = (architecture, model_type.filter(|name| *name != family.name)) {
        let why = format!("`architectures` says {architecture} ({}) and `model_type` says {name}", family.name);
        return Err(ConfigError::Unsupported(format!("{why}; set one to match the other")));
    }
    read(family, &config)
}

/// The shares of dropout that configurations ask for in training.
const DROPOUTS: [&str; 9] = [
    "attention_dropout",
    "hidden_dropout",
    "activation_dropout",
    "resid_pdrop",
    "embd_pdrop",
    "attn_pdrop",
    "residual_dropout",
    "dropout",
    "layerdrop",
];

/// What a configuration asks for and is not done, a sentence each.
pub fn notes(text: &str) -> Vec<String> {
    let Ok(value) = serde_json::from_str::<Value>(text) else { return vec![] };
    let asked = |key: &&str| value.get(key).and_then(Value::as_f64).filter(|share| *share > 0.0);
    let asked: Vec<String> = DROPOUTS.iter().filter_map(|key| Some(format!("`{key}` {}", asked(key)?))).collect();
    if asked.is_empty() {
        return vec![];
    }
    vec![format!("config.json asks for dropout in training, {}; it is trained without", asked.join(", "))]
}

/// A decoder of this family, checked.
///
/// # Errors
/// As [`from_config_json`].
pub fn read(family: &Family, config: &Config<'_>) -> Result<Decoder, ConfigError> {
    // Null is no default: whatever is not true makes transformers attend both ways.
    if let Some(value) = config.0.get("is_causal").filter(|value| **value != Value::Bool(true)) {
        let why = format!("`is_causal` is {value}: attention to later tokens is not supported");
        return Err(ConfigError::Unsupported(why));
    }
    let decoder = Decoder { family: family.name.into(), ..(family.read)(config)? };
    decoder.check()?;
    Ok(decoder)
}

/// The family of this name.
///
/// # Errors
/// [`ConfigError::Architecture`] lists those that there are.
pub fn find<'a>(families: &'a [Family], name: &str) -> Result<&'a Family, ConfigError> {
    families.iter().find(|family| family.name == name).ok_or_else(|| unknown(families, name))
}

/// Architectures that are near one of ours, and what they have beside it.
const BESIDE: [(&str, &str); 2] = [
    (
        "Gemma3ForConditionalGeneration",
        "it has a vision part; a Gemma 3 of text alone is `Gemma3ForCausalLM` (1B, 270M), or save the text part by \
         transformers' Gemma3ForCausalLM.from_pretrained(...).save_pretrained(...)",
    ),
    ("Phi3VForCausalLM", "it has a vision part"),
];

fn unknown(families: &[Family], found: &str) -> ConfigError {
    if let Some((name, why)) = BESIDE.iter().find(|(name, _)| *name == found) {
        return ConfigError::Unsupported(format!("architecture `{name}` is not supported: {why}"));
    }
    let known: Vec<&str> = families.iter().flat_map(|family| family.architectures).copied().collect();
    ConfigError::Architecture { found: found.into(), known: known.join(", ") }
}

/// A decoder as a Hugging Face `config.json`, readable by transformers 4 and 5.
///
/// # Errors
/// [`ConfigError::Architecture`] when its family is not among `families`, [`ConfigError::Unsupported`] when the family's
/// keys cannot say all of it: whoever read them would compute another model.
pub fn to_config_json(families: &[Family], decoder: &Decoder) -> Result<Value, ConfigError> {
    let family = find(families, &decoder.family)?;
    let mut config = json!({
        "architectures": [family.architectures[0]],
        "model_type": family.name,
        "vocab_size": decoder.vocab_size,
        "hidden_size": decoder.hidden_size,
        "num_hidden_layers": decoder.num_hidden_layers,
        "num_attention_heads": decoder.attention.heads,
        "max_position_embeddings": decoder.max_position_embeddings,
        "tie_word_embeddings": decoder.tie_word_embeddings,
        "torch_dtype": "float32",
    });
    if let (Some(config), Value::Object(own)) = (config.as_object_mut(), (family.write)(decoder)) {
        config.extend(own);
    }
    if read(family, &Config(&config))? != *decoder {
        let why = format!("no `config.json` of the family `{}` says all of this decoder", family.name);
        return Err(ConfigError::Unsupported(why));
    }
    Ok(config)
}
