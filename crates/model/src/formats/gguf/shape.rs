//! The model's shape from GGUF metadata.

use std::collections::BTreeMap;
use std::path::Path;

use tunebench_spec::ModelShape;
use tunebench_spec::model::RopeScaling;

use crate::Error;
use crate::formats::gguf::header::Value;
use crate::formats::gguf::rope;

/// No dimension of a real model is larger.
const LARGEST_DIM: i64 = 1 << 24;

/// Metadata of one file, with errors that name file and key.
struct Keys<'a> {
    path: &'a Path,
    metadata: &'a BTreeMap<String, Value>,
}

impl Keys<'_> {
    fn fault(&self, key: &str, expected: &str) -> Error {
        let found = match self.metadata.get(key) {
            None => "missing".into(),
            // A list may be a whole vocabulary.
            Some(Value::Texts(_) | Value::Ints(_) | Value::Floats(_)) => "a list".into(),
            Some(value) => format!("{value:?}"),
        };
        Error::unsupported(self.path, format!("metadata `{key}` is {found}, expected {expected}"))
    }

    fn dim(&self, key: &str) -> Result<usize, Error> {
        match self.metadata.get(key) {
            Some(Value::Int(n)) if (1..=LARGEST_DIM).contains(n) => Ok(*n as usize),
            _ => Err(self.fault(key, "a whole number from 1 to 16777216")),
        }
    }

    fn dim_or(&self, key: &str, default: usize) -> Result<usize, Error> {
        if self.metadata.contains_key(key) { self.dim(key) } else { Ok(default) }
    }

    fn number_or(&self, key: &str, default: f64) -> Result<f64, Error> {
        match self.metadata.get(key) {
            None => Ok(default),
            Some(Value::Float(v)) if v.is_finite() && *v > 0.0 => Ok(*v),
            Some(_) => Err(self.fault(key, "a positive number")),
        }
    }

    fn text_or<'b>(&'b self, key: &str, default: &'b str) -> Result<&'b str, Error> {
        match self.metadata.get(key) {
            None => Ok(default),
            Some(Value::Text(text)) => Ok(text),
            Some(_) => Err(self.fault(key, "a text")),
        }
    }
}

/// Reads the `llama.*` keys. `tied`: whether the file has no output head; `rope_factors`: divisors of the rotary
/// frequencies, empty when the file has none.
pub(super) fn from_metadata(
    path: &Path,
    metadata: &BTreeMap<String, Value>,
    tied: bool,
    rope_factors: &[f32],
) -> Result<ModelShape, Error> {
    let keys = Keys { path, metadata };
    let architecture = keys.text_or("general.architecture", "(none)")?;
    if architecture != "llama" {
        return Err(Error::unsupported(path, format!("has architecture `{architecture}`; supported: llama")));
    }
    let vocab_size = match metadata.get("tokenizer.ggml.tokens") {
        Some(Value::Texts(tokens)) if !metadata.contains_key("llama.vocab_size") => tokens.len(),
        _ => keys.dim("llama.vocab_size")?,
    };
    let hidden_size = keys.dim("llama.embedding_length")?;
    let heads = keys.dim("llama.attention.head_count")?;
    let rotated = keys.dim_or("llama.rope.dimension_count", hidden_size / heads)?;
    let head_dim = keys.dim_or("llama.attention.key_length", rotated)?;
    let value_dim = keys.dim_or("llama.attention.value_length", head_dim)?;
    if rotated != head_dim || value_dim != head_dim {
        let what =
            format!("has heads of {head_dim}, {rotated} of it rotated, and values of {value_dim}; all must be equal");
        return Err(Error::unsupported(path, what));
    }
    let mut shape = ModelShape {
        vocab_size,
        hidden_size,
        intermediate_size: keys.dim("llama.feed_forward_length")?,
        num_hidden_layers: keys.dim("llama.block_count")?,
        num_attention_heads: heads,
        num_key_value_heads: keys.dim_or("llama.attention.head_count_kv", heads)?,
        head_dim,
        max_position_embeddings: keys.dim_or("llama.context_length", 2048)?,
        rope_theta: keys.number_or("llama.rope.freq_base", 10000.0)?,
        rope_scaling: linear_scaling(&keys)?,
        rms_norm_eps: keys.number_or("llama.attention.layer_norm_rms_epsilon", 1e-6)?,
        tie_word_embeddings: tied,
    };
    shape.check().map_err(|source| Error::Config { path: path.into(), source })?;
    if !rope_factors.is_empty() {
        let stated = keys.dim_or("llama.rope.scaling.original_context_length", rope::LLAMA3_CONTEXT)?;
        shape.rope_scaling = Some(rope::llama3(path, &shape, stated, rope_factors)?);
    }
    Ok(shape)
}

/// `rope.scaling.*`; the key before it was `rope.scale_linear`.
fn linear_scaling(keys: &Keys<'_>) -> Result<Option<RopeScaling>, Error> {
    let kind = match keys.metadata.contains_key("llama.rope.scale_linear") {
        true => "linear",
        false => keys.text_or("llama.rope.scaling.type", "none")?,
    };
    let factor = keys.number_or("llama.rope.scaling.factor", keys.number_or("llama.rope.scale_linear", 1.0)?)?;
    match kind {
        "none" => Ok(None),
        "linear" => Ok(Some(RopeScaling::Linear { factor })),
        other => {
            Err(Error::unsupported(keys.path, format!("has rope scaling `{other}`; supported: none, linear, llama3")))
        }
    }
}
