//! The shape of a LLaMA-family model: from a Hugging Face `config.json`, old keys or new, or a preset.
//!
//! Letters in shapes: `d` hidden, `f` intermediate, `h` heads, `k` key/value heads, `e` head width, `v` vocabulary.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Dimensions and constants of a LLaMA-family decoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelShape {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub num_key_value_heads: usize,
    /// Not always hidden/heads.
    pub head_dim: usize,
    pub max_position_embeddings: usize,
    pub rope_theta: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope_scaling: Option<RopeScaling>,
    pub rms_norm_eps: f64,
    /// Whether the output head is the embedding matrix.
    pub tie_word_embeddings: bool,
}

/// Changes to the rotary frequencies for contexts longer than pre-training's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rope_type", rename_all = "lowercase")]
pub enum RopeScaling {
    /// All frequencies divided by `factor`.
    Linear { factor: f64 },
    /// LLaMA 3.1: low frequencies divided by `factor`, high ones kept, a smooth blend between.
    Llama3 { factor: f64, low_freq_factor: f64, high_freq_factor: f64, original_max_position_embeddings: usize },
}

/// One weight of a model: name and shape as in a Hugging Face checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weight {
    pub name: String,
    pub shape: Vec<usize>,
}

impl Weight {
    /// Number of elements.
    pub fn len(&self) -> u64 {
        self.shape.iter().map(|&d| d as u64).product()
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ShapeError {
    #[error("not JSON: {0}")]
    Json(String),
    #[error("`{key}` is missing or not {expected}")]
    Key { key: &'static str, expected: &'static str },
    #[error("architecture `{0}` is not of the LLaMA family; supported: LlamaForCausalLM")]
    Architecture(String),
    #[error("{0}")]
    Unsupported(String),
    #[error("no preset `{name}`; there are {known}")]
    Preset { name: String, known: String },
}

/// The seven linear weights of a layer, by the name PEFT and transformers give them.
pub const LINEARS: [&str; 7] = [
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
];

/// Presets: name, hidden, intermediate, layers, heads. LLaMA 1 (Touvron et al. 2023, table 2).
const PRESETS: [(&str, usize, usize, usize, usize); 4] = [
    ("llama-7b", 4096, 11008, 32, 32),
    ("llama-13b", 5120, 13824, 40, 40),
    ("llama-33b", 6656, 17920, 60, 52),
    ("llama-65b", 8192, 22016, 80, 64),
];

/// No dimension of a real model is larger; a file that says so is corrupt.
const LARGEST_DIM: usize = 1 << 24;

/// Nor has one more layers; listing the weights of so many would itself fill memory.
const MOST_LAYERS: usize = 4096;

impl ModelShape {
    /// The shape of a well-known model.
    ///
    /// # Errors
    /// [`ShapeError::Preset`] lists the known names.
    pub fn preset(name: &str) -> Result<Self, ShapeError> {
        let Some(&(_, hidden, intermediate, layers, heads)) = PRESETS.iter().find(|p| p.0 == name) else {
            let known = PRESETS.map(|p| p.0).join(", ");
            return Err(ShapeError::Preset { name: name.into(), known });
        };
        Ok(Self {
            vocab_size: 32000,
            hidden_size: hidden,
            intermediate_size: intermediate,
            num_hidden_layers: layers,
            num_attention_heads: heads,
            num_key_value_heads: heads,
            head_dim: hidden / heads,
            max_position_embeddings: 2048,
            rope_theta: 10000.0,
            rope_scaling: None,
            rms_norm_eps: 1e-6,
            tie_word_embeddings: false,
        })
    }

    /// Reads a Hugging Face `config.json`: transformers 4 keys (`rope_theta`, `rope_scaling`) and
    /// 5 keys (`rope_parameters`).
    ///
    /// # Errors
    /// [`ShapeError`] names the key that is missing, of the wrong type, or asks for what is not supported.
    pub fn from_config_json(text: &str) -> Result<Self, ShapeError> {
        let config: Value = serde_json::from_str(text).map_err(|e| ShapeError::Json(e.to_string()))?;
        check_supported(&config)?;
        let hidden_size = required(&config, "hidden_size")?;
        let heads = required(&config, "num_attention_heads")?;
        let rope = config.get("rope_parameters").filter(|v| v.is_object());
        let theta = rope.and_then(|r| r.get("rope_theta")).or_else(|| config.get("rope_theta"));
        let shape = Self {
            vocab_size: required(&config, "vocab_size")?,
            hidden_size,
            intermediate_size: required(&config, "intermediate_size")?,
            num_hidden_layers: required(&config, "num_hidden_layers")?,
            num_attention_heads: heads,
            num_key_value_heads: optional(&config, "num_key_value_heads")?.unwrap_or(heads),
            head_dim: optional(&config, "head_dim")?.unwrap_or(hidden_size / heads),
            max_position_embeddings: optional(&config, "max_position_embeddings")?.unwrap_or(2048),
            rope_theta: match theta {
                None | Some(Value::Null) => 10000.0,
                Some(v) => number(v, "rope_theta")?,
            },
            rope_scaling: rope_scaling(rope.or_else(|| config.get("rope_scaling")))?,
            rms_norm_eps: match config.get("rms_norm_eps") {
                None => 1e-6,
                Some(v) => number(v, "rms_norm_eps")?,
            },
            tie_word_embeddings: config.get("tie_word_embeddings").and_then(Value::as_bool).unwrap_or(false),
        };
        shape.check()?;
        Ok(shape)
    }

    /// Whether the dimensions fit together.
    ///
    /// # Errors
    /// [`ShapeError::Unsupported`] says which do not.
    pub fn check(&self) -> Result<(), ShapeError> {
        let fault = |why: String| Err(ShapeError::Unsupported(why));
        let dims = [
            ("vocab_size", self.vocab_size, LARGEST_DIM),
            ("hidden_size", self.hidden_size, LARGEST_DIM),
            ("intermediate_size", self.intermediate_size, LARGEST_DIM),
            ("num_hidden_layers", self.num_hidden_layers, MOST_LAYERS),
            ("num_attention_heads", self.num_attention_heads, LARGEST_DIM),
            ("num_key_value_heads", self.num_key_value_heads, LARGEST_DIM),
            ("head_dim", self.head_dim, LARGEST_DIM),
            ("max_position_embeddings", self.max_position_embeddings, LARGEST_DIM),
        ];
        if let Some((name, value, most)) = dims.into_iter().find(|(_, value, most)| !(1..=*most).contains(value)) {
            return fault(format!("{name} ({value}) must be from 1 to {most}"));
        }
        if self.num_attention_heads * self.head_dim > LARGEST_DIM {
            return fault(format!("num_attention_heads x head_dim must be at most {LARGEST_DIM}"));
        }
        if !self.num_attention_heads.is_multiple_of(self.num_key_value_heads) {
            return fault(format!(
                "num_attention_heads ({}) must be a multiple of num_key_value_heads ({})",
                self.num_attention_heads, self.num_key_value_heads
            ));
        }
        if !self.head_dim.is_multiple_of(2) {
            return fault(format!("head_dim ({}) must be even for rotary positions", self.head_dim));
        }
        let factor = match self.rope_scaling {
            Some(RopeScaling::Linear { factor } | RopeScaling::Llama3 { factor, .. }) => factor,
            None => 1.0,
        };
        let positive =
            [("rope_theta", self.rope_theta), ("rope scaling factor", factor), ("rms_norm_eps", self.rms_norm_eps)];
        if let Some((name, value)) = positive.into_iter().find(|(_, value)| !(value.is_finite() && *value > 0.0)) {
            return fault(format!("{name} ({value}) must be positive"));
        }
        Ok(())
    }

    /// Width of a token's keys, or of its values, over all heads: `k · e`.
    pub fn kv_width(&self) -> usize {
        self.num_key_value_heads * self.head_dim
    }

    /// Output and input width of a linear weight named as in [`LINEARS`].
    pub fn linear(&self, name: &str) -> Option<[usize; 2]> {
        let d = self.hidden_size;
        let (q, kv) = (self.num_attention_heads * self.head_dim, self.kv_width());
        Some(match name {
            "self_attn.q_proj" => [q, d],
            "self_attn.k_proj" | "self_attn.v_proj" => [kv, d],
            "self_attn.o_proj" => [d, q],
            "mlp.gate_proj" | "mlp.up_proj" => [self.intermediate_size, d],
            "mlp.down_proj" => [d, self.intermediate_size],
            _ => return None,
        })
    }

    /// Every weight in the order of a checkpoint; the head is absent when tied.
    pub fn weights(&self) -> Vec<Weight> {
        let d = self.hidden_size;
        let weight = |name: String, shape: Vec<usize>| Weight { name, shape };
        let mut all = vec![weight("model.embed_tokens.weight".into(), vec![self.vocab_size, d])];
        for layer in 0..self.num_hidden_layers {
            let prefix = format!("model.layers.{layer}");
            for name in LINEARS {
                let shape = self.linear(name).unwrap_or_default().to_vec();
                all.push(weight(format!("{prefix}.{name}.weight"), shape));
            }
            for norm in ["input_layernorm", "post_attention_layernorm"] {
                all.push(weight(format!("{prefix}.{norm}.weight"), vec![d]));
            }
        }
        all.push(weight("model.norm.weight".into(), vec![d]));
        if !self.tie_word_embeddings {
            all.push(weight("lm_head.weight".into(), vec![self.vocab_size, d]));
        }
        all
    }

    /// Number of parameters.
    pub fn params(&self) -> u64 {
        self.weights().iter().map(Weight::len).sum()
    }

    /// This shape as a Hugging Face `config.json`, readable by transformers 4 and 5.
    pub fn to_config_json(&self) -> Value {
        let mut config = serde_json::to_value(self).unwrap_or_default();
        config["architectures"] = serde_json::json!(["LlamaForCausalLM"]);
        config["model_type"] = "llama".into();
        config["hidden_act"] = "silu".into();
        config["attention_bias"] = false.into();
        config["mlp_bias"] = false.into();
        config["torch_dtype"] = "float32".into();
        config
    }
}

fn check_supported(config: &Value) -> Result<(), ShapeError> {
    let known = |a: &str| matches!(a, "LlamaForCausalLM" | "LLaMAForCausalLM");
    if let Some(name) = config.pointer("/architectures/0").and_then(Value::as_str).filter(|a| !known(a)) {
        return Err(ShapeError::Architecture(name.into()));
    }
    if let Some(name) = config.get("model_type").and_then(Value::as_str).filter(|t| *t != "llama") {
        return Err(ShapeError::Architecture(name.into()));
    }
    if let Some(act) = config.get("hidden_act").and_then(Value::as_str).filter(|a| *a != "silu") {
        return Err(ShapeError::Unsupported(format!("hidden_act `{act}` is not supported; only silu")));
    }
    for key in ["attention_bias", "mlp_bias"] {
        if config.get(key).and_then(Value::as_bool) == Some(true) {
            return Err(ShapeError::Unsupported(format!("`{key}` = true is not supported")));
        }
    }
    Ok(())
}

fn rope_scaling(value: Option<&Value>) -> Result<Option<RopeScaling>, ShapeError> {
    let Some(value) = value.filter(|v| v.is_object()) else { return Ok(None) };
    let kind = value.get("rope_type").or_else(|| value.get("type")).and_then(Value::as_str).unwrap_or("default");
    let get = |key: &'static str| number(value.get(key).unwrap_or(&Value::Null), key);
    match kind {
        "default" => Ok(None),
        "linear" => Ok(Some(RopeScaling::Linear { factor: get("factor")? })),
        "llama3" => Ok(Some(RopeScaling::Llama3 {
            factor: get("factor")?,
            low_freq_factor: get("low_freq_factor")?,
            high_freq_factor: get("high_freq_factor")?,
            original_max_position_embeddings: required(value, "original_max_position_embeddings")?,
        })),
        other => {
            Err(ShapeError::Unsupported(format!("rope scaling `{other}` is not supported; default, linear or llama3")))
        }
    }
}

fn optional(config: &Value, key: &'static str) -> Result<Option<usize>, ShapeError> {
    match config.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(_) => required(config, key).map(Some),
    }
}

fn required(config: &Value, key: &'static str) -> Result<usize, ShapeError> {
    let value = config.get(key).and_then(Value::as_u64).and_then(|v| usize::try_from(v).ok());
    match value {
        Some(v) if (1..=LARGEST_DIM).contains(&v) => Ok(v),
        _ => Err(ShapeError::Key { key, expected: "a whole number from 1 to 16777216" }),
    }
}

fn number(value: &Value, key: &'static str) -> Result<f64, ShapeError> {
    value.as_f64().filter(|v| v.is_finite()).ok_or(ShapeError::Key { key, expected: "a number" })
}
