//! A family's configuration in Hugging Face's words: from `config.json`, with transformers 4's keys or 5's, or from a GGUF
//! header under the same words.

use serde_json::Value;
use tunebench_spec::decoder::{Activation, ConfigError, MAX_DIM, RopeScaling, Window};

/// Values by key, with errors that name the key.
pub struct Config<'a>(pub &'a Value);

impl<'a> Config<'a> {
    /// What stands at a key, unless it is null.
    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    /// A dimension.
    ///
    /// # Errors
    /// When it is missing, or no whole number from 1 to [`MAX_DIM`].
    pub fn dim(&self, key: &'static str) -> Result<usize, ConfigError> {
        let value = self.get(key).and_then(Value::as_u64).and_then(|v| usize::try_from(v).ok());
        match value {
            Some(v) if (1..=MAX_DIM).contains(&v) => Ok(v),
            _ => Err(ConfigError::Key { key, expected: "a whole number from 1 to 16777216" }),
        }
    }

    /// A dimension, or what holds when it is missing or null.
    ///
    /// # Errors
    /// As [`Config::dim`].
    pub fn dim_or(&self, key: &'static str, default: usize) -> Result<usize, ConfigError> {
        if self.get(key).is_some() { self.dim(key) } else { Ok(default) }
    }

    /// A dimension; transformers has one default for a missing key and another meaning for null.
    ///
    /// # Errors
    /// As [`Config::dim`].
    pub fn dim_absent_null(&self, key: &'static str, absent: usize, null: usize) -> Result<usize, ConfigError> {
        if self.0.get(key).is_none() { Ok(absent) } else { self.dim_or(key, null) }
    }

    /// A number, or what holds when it is missing or null.
    ///
    /// # Errors
    /// When it is no finite number.
    pub fn number_or(&self, key: &'static str, default: f64) -> Result<f64, ConfigError> {
        self.get(key).map_or(Ok(default), |value| number(value, key))
    }

    /// A switch, off when it is missing or null.
    ///
    /// # Errors
    /// When it is neither true nor false.
    pub fn is_on(&self, key: &'static str) -> Result<bool, ConfigError> {
        let Some(value) = self.get(key) else { return Ok(false) };
        value.as_bool().ok_or(ConfigError::Key { key, expected: "true or false" })
    }

    /// `hidden_act`, SiLU when it is missing.
    ///
    /// # Errors
    /// Names one that is not known.
    pub fn activation(&self, key: &'static str) -> Result<Activation, ConfigError> {
        let Some(value) = self.get(key) else { return Ok(Activation::Silu) };
        let known = ACTIVATIONS.iter().find(|(name, _)| value.as_str() == Some(name));
        known.map(|(_, activation)| *activation).ok_or_else(|| {
            let names: Vec<&str> = ACTIVATIONS.iter().map(|(name, _)| *name).collect();
            ConfigError::Unsupported(format!("`{key}` {value} is not supported; there are: {}", names.join(", ")))
        })
    }

    /// Base and scaling of rotary positions: `rope_theta` and `rope_scaling`, or both in `rope_parameters`.
    ///
    /// # Errors
    /// Names the key, or a scaling that is not known.
    pub fn rope(&self) -> Result<(f64, Option<RopeScaling>), ConfigError> {
        let nested = self.get("rope_parameters").filter(|v| v.is_object());
        let theta = nested.and_then(|r| r.get("rope_theta")).or_else(|| self.get("rope_theta"));
        let theta = theta.map_or(Ok(10000.0), |v| number(v, "rope_theta"))?;
        Ok((theta, rope_scaling(nested.or_else(|| self.get("rope_scaling")))?))
    }

    /// The sliding window of a family that says by `use_sliding_window`, `sliding_window` and `layer_types`, or before that
    /// by `max_window_layers`, which layers have one (the Qwens).
    ///
    /// # Errors
    /// Names the key that contradicts another.
    pub fn window_by_layer(&self, layers: usize) -> Result<Option<Window>, ConfigError> {
        let is_used = self.is_on("use_sliding_window")?;
        let size = match self.0.get("sliding_window") {
            None if is_used => Some(4096), // transformers' default
            Some(value) if is_used && !value.is_null() => Some(self.dim("sliding_window")?),
            _ => None,
        };
        let full_layers: Vec<usize> = match self.get("layer_types") {
            None => (0..self.whole_or("max_window_layers", 28)?.min(layers)).collect(),
            Some(types) => self.full_layers(types, layers, size.is_some())?,
        };
        Ok(size.map(|size| Window { size, full_layers }).filter(|window| window.full_layers.len() < layers))
    }

    fn whole_or(&self, key: &'static str, default: usize) -> Result<usize, ConfigError> {
        let Some(value) = self.get(key) else { return Ok(default) };
        let whole = value.as_u64().and_then(|v| usize::try_from(v).ok());
        whole.ok_or(ConfigError::Key { key, expected: "a whole number" })
    }

    /// Layers without a window, by `layer_types`.
    fn full_layers(&self, types: &Value, layers: usize, has_window: bool) -> Result<Vec<usize>, ConfigError> {
        let fault = |why: String| Err(ConfigError::Unsupported(format!("`layer_types` {why}")));
        let types = types.as_array().map(Vec::as_slice).unwrap_or_default();
        if types.len() != layers {
            return fault(format!("has {} entries for {layers} layers", types.len()));
        }
        let mut full = vec![];
        for (layer, kind) in types.iter().enumerate() {
            match kind.as_str() {
                Some("full_attention") => full.push(layer),
                Some("sliding_attention") if has_window => {}
                Some("sliding_attention") => {
                    return fault("has sliding layers, but `use_sliding_window` or `sliding_window` is off".into());
                }
                _ => return fault(format!("has {kind}; there are: full_attention, sliding_attention")),
            }
        }
        Ok(full)
    }
}

/// As `hidden_act` spells them.
pub(super) const ACTIVATIONS: [(&str, Activation); 5] = [
    ("silu", Activation::Silu),
    ("gelu", Activation::Gelu),
    ("gelu_pytorch_tanh", Activation::GeluTanh),
    ("gelu_new", Activation::GeluTanh),
    ("relu", Activation::Relu),
];

fn rope_scaling(value: Option<&Value>) -> Result<Option<RopeScaling>, ConfigError> {
    let Some(value) = value.filter(|v| v.is_object()) else { return Ok(None) };
    if value.get("full_attention").is_some() || value.get("sliding_attention").is_some() {
        return Err(ConfigError::Unsupported("`rope_parameters` by kind of layer are not supported".into()));
    }
    let kind = value.get("rope_type").or_else(|| value.get("type")).and_then(Value::as_str).unwrap_or("default");
    let get = |key: &'static str| number(value.get(key).unwrap_or(&Value::Null), key);
    match kind {
        "default" => Ok(None),
        "linear" => Ok(Some(RopeScaling::Linear { factor: get("factor")? })),
        "llama3" => Ok(Some(RopeScaling::Llama3 {
            factor: get("factor")?,
            low_freq_factor: get("low_freq_factor")?,
            high_freq_factor: get("high_freq_factor")?,
            original_max_position_embeddings: Config(value).dim("original_max_position_embeddings")?,
        })),
        other => {
            Err(ConfigError::Unsupported(format!("rope scaling `{other}` is not supported; default, linear or llama3")))
        }
    }
}

fn number(value: &Value, key: &'static str) -> Result<f64, ConfigError> {
    value.as_f64().filter(|v| v.is_finite()).ok_or(ConfigError::Key { key, expected: "a number" })
}
