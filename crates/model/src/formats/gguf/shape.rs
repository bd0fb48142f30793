//! A GGUF header in the words of `config.json`, and the decoder that its family reads in them.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value as Json, json};
use tunebench_spec::Decoder;
use tunebench_spec::decoder::{Positions, RopeScaling};

use crate::Error;
use crate::families::{self, Config, Family, Gguf};
use crate::formats::gguf::header::{Header, Value};
use crate::formats::gguf::rope;

/// No dimension of a real model is larger.
const LARGEST_DIM: i64 = 1 << 24;

/// Metadata of one file under its architecture's prefix, with errors that name file and key.
struct Keys<'a> {
    path: &'a Path,
    metadata: &'a BTreeMap<String, Value>,
    architecture: &'a str,
}

impl Keys<'_> {
    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    fn get(&self, key: &str) -> Option<&Value> {
        self.metadata.get(&self.key(key))
    }

    fn fault(&self, key: &str, expected: &str) -> Error {
        let key = self.key(key);
        let found = match self.metadata.get(&key) {
            None => "missing".into(),
            // A list may be a whole vocabulary.
            Some(Value::Texts(_) | Value::Ints(_) | Value::Floats(_)) => "a list".into(),
            Some(value) => format!("{value:?}"),
        };
        Error::unsupported(self.path, format!("metadata `{key}` is {found}, expected {expected}"))
    }

    fn dim(&self, key: &str) -> Result<usize, Error> {
        match self.get(key) {
            Some(Value::Int(n)) if (1..=LARGEST_DIM).contains(n) => Ok(*n as usize),
            _ => Err(self.fault(key, "a whole number from 1 to 16777216")),
        }
    }

    fn dim_or(&self, key: &str, default: usize) -> Result<usize, Error> {
        if self.get(key).is_some() { self.dim(key) } else { Ok(default) }
    }

    fn number_or(&self, key: &str, default: f64) -> Result<f64, Error> {
        match self.get(key) {
            None => Ok(default),
            Some(Value::Float(v)) if v.is_finite() && *v > 0.0 => Ok(*v),
            Some(_) => Err(self.fault(key, "a positive number")),
        }
    }

    fn text_or<'b>(&'b self, key: &str, default: &'b str) -> Result<&'b str, Error> {
        match self.get(key) {
            None => Ok(default),
            Some(Value::Text(text)) => Ok(text),
            Some(_) => Err(self.fault(key, "a text")),
        }
    }
}

/// Reads the keys of the header's architecture. `rope_factors`: divisors of the rotary frequencies, empty when the file
/// has none.
pub(super) fn read(
    families: &[Family],
    path: &Path,
    header: &Header,
    rope_factors: &[f32],
) -> Result<(Decoder, Gguf), Error> {
    let architecture = match header.metadata.get("general.architecture") {
        Some(Value::Text(name)) => name.as_str(),
        _ => "(none)",
    };
    let known = families.iter().filter_map(|family| Some((family, family.gguf?)));
    let Some((family, gguf)) = known.clone().find(|(_, gguf)| gguf.architecture == architecture) else {
        let known: Vec<&str> = known.map(|(_, gguf)| gguf.architecture).collect();
        let what = format!("has architecture `{architecture}`; supported: {}", known.join(", "));
        return Err(Error::unsupported(path, what));
    };
    let keys = Keys { path, metadata: &header.metadata, architecture };
    let config = config(&keys, header)?;
    let invalid = |source| Error::Config { path: path.into(), source };
    let mut shape = families::read(family, &Config(&config)).map_err(invalid)?;
    if !rope_factors.is_empty() {
        let stated = keys.dim_or("rope.scaling.original_context_length", rope::LLAMA3_CONTEXT)?;
        let found = rope::llama3(path, &shape, stated, rope_factors)?;
        if let Positions::Rotary(rotary) = &mut shape.positions {
            rotary.scaling = Some(found);
        }
    }
    Ok((shape, gguf))
}

/// The header in Hugging Face's words.
fn config(keys: &Keys<'_>, header: &Header) -> Result<Json, Error> {
    let vocab_size = match header.metadata.get("tokenizer.ggml.tokens") {
        Some(Value::Texts(tokens)) if keys.get("vocab_size").is_none() => tokens.len(),
        _ => keys.dim("vocab_size")?,
    };
    let hidden_size = keys.dim("embedding_length")?;
    let heads = keys.dim("attention.head_count")?;
    let head_dim = keys.dim_or("attention.key_length", keys.dim_or("rope.dimension_count", hidden_size / heads)?)?;
    let rotated = keys.dim_or("rope.dimension_count", head_dim)?;
    let value_dim = keys.dim_or("attention.value_length", head_dim)?;
    if rotated != head_dim || value_dim != head_dim {
        let what =
            format!("has heads of {head_dim}, {rotated} of it rotated, and values of {value_dim}; all must be equal");
        return Err(Error::unsupported(keys.path, what));
    }
    let context = keys.dim_or("context_length", 2048)?;
    if let Some(size) = keys.get("attention.sliding_window")
        && keys.dim("attention.sliding_window")? < context
    {
        let what = format!("has a sliding window of {size:?}, which no reader of this architecture knows");
        return Err(Error::unsupported(keys.path, what));
    }
    let has = |name: &str| header.tensors.contains_key(name);
    Ok(json!({
        "vocab_size": vocab_size,
        "hidden_size": hidden_size,
        "intermediate_size": keys.dim("feed_forward_length")?,
        "num_hidden_layers": keys.dim("block_count")?,
        "num_attention_heads": heads,
        "num_key_value_heads": keys.dim_or("attention.head_count_kv", heads)?,
        "head_dim": head_dim,
        "max_position_embeddings": context,
        "rope_theta": keys.number_or("rope.freq_base", 10000.0)?,
        "rope_scaling": linear_scaling(keys)?,
        "rms_norm_eps": keys.number_or("attention.layer_norm_rms_epsilon", 1e-6)?,
        "tie_word_embeddings": !has("output.weight"),
        "attention_bias": has("blk.0.attn_output.bias"),
        "mlp_bias": has("blk.0.ffn_down.bias"),
    }))
}

/// `rope.scaling.*`; the key before it was `rope.scale_linear`.
fn linear_scaling(keys: &Keys<'_>) -> Result<Option<RopeScaling>, Error> {
    let kind = match keys.get("rope.scale_linear").is_some() {
        true => "linear",
        false => keys.text_or("rope.scaling.type", "none")?,
    };
    let factor = keys.number_or("rope.scaling.factor", keys.number_or("rope.scale_linear", 1.0)?)?;
    match kind {
        "none" => Ok(None),
        "linear" => Ok(Some(RopeScaling::Linear { factor })),
        other => {
            Err(Error::unsupported(keys.path, format!("has rope scaling `{other}`; supported: none, linear, llama3")))
        }
    }
}
