//! A family's configuration in Hugging Face's words: from `config.json`, with transformers 4's keys or 5's, or from a GGUF
//! header under the same words.

use serde_json::Value;
use tunebench_spec::decoder::{Activation, ConfigError, MAX_DIM, Window};

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

    /// A number where there is one.
    ///
    /// # Errors
    /// When it is no finite number.
    pub fn number_or_none(&self, key: &'static str) -> Result<Option<f64>, ConfigError> {
        self.get(key).map(|value| number(value, key)).transpose()
    }

    /// A number; transformers has a default for a missing key, and takes null for none.
    ///
    /// # Errors
    /// When it is no finite number.
    pub fn number_absent(&self, key: &'static str, absent: f64) -> Result<Option<f64>, ConfigError> {
        if self.0.get(key).is_none() { Ok(Some(absent)) } else { self.number_or_none(key) }
    }

    /// A switch, off when it is missing or null.
    ///
    /// # Errors
    /// When it is neither true nor false.
    pub fn is_on(&self, key: &'static str) -> Result<bool, ConfigError> {
        self.is_on_or(key, false)
    }

    /// A switch, or what holds when it is missing or null.
    ///
    /// # Errors
    /// When it is neither true nor false.
    pub fn is_on_or(&self, key: &'static str, default: bool) -> Result<bool, ConfigError> {
        let Some(value) = self.get(key) else { return Ok(default) };
        value.as_bool().ok_or(ConfigError::Key { key, expected: "true or false" })
    }

    /// That a switch stands as this family's models are computed here.
    ///
    /// # Errors
    /// Names the switch that does not, and what it would ask for.
    pub fn only(&self, key: &'static str, is_on: bool, default: bool, what: &str) -> Result<(), ConfigError> {
        match self.is_on_or(key, default)? == is_on {
            true => Ok(()),
            false => Err(ConfigError::Unsupported(format!("`{key}` is {}: {what} is not supported", !is_on))),
        }
    }

    /// `hidden_act`, SiLU when it is missing.
    ///
    /// # Errors
    /// Names one that is not known.
    pub fn activation(&self, key: &'static str) -> Result<Activation, ConfigError> {
        self.activation_or(key, Activation::Silu)
    }

    /// An activation, or what holds when it is missing or null.
    ///
    /// # Errors
    /// Names one that is not known.
    pub fn activation_or(&self, key: &'static str, default: Activation) -> Result<Activation, ConfigError> {
        let Some(value) = self.get(key) else { return Ok(default) };
        let known = ACTIVATIONS.iter().find(|(name, _)| value.as_str() == Some(name));
        known.map(|(_, activation)| *activation).ok_or_else(|| {
            let names: Vec<&str> = ACTIVATIONS.iter().map(|(name, _)| *name).collect();
            ConfigError::Unsupported(format!("`{key}` {value} is not supported; there are: {}", names.join(", ")))
        })
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
    ///
    /// # Errors
    /// When it does not say each layer's kind, or has sliding layers where there is no window.
    pub fn full_layers(&self, types: &Value, layers: usize, has_window: bool) -> Result<Vec<usize>, ConfigError> {
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
pub(super) const ACTIVATIONS: [(&str, Activation); 9] = [
    ("silu", Activation::Silu),
    ("gelu", Activation::Gelu),
    ("gelu_pytorch_tanh", Activation::GeluTanh),
    ("gelu_new", Activation::GeluTanh),
    ("relu", Activation::Relu),
    // Other names of the same.
    ("swish", Activation::Silu),
    ("gelu_python", Activation::Gelu),
    ("gelu_fast", Activation::GeluTanh),
    ("gelu_python_tanh", Activation::GeluTanh),
];

pub(super) fn number(value: &Value, key: &'static str) -> Result<f64, ConfigError> {
    value.as_f64().filter(|v| v.is_finite()).ok_or(ConfigError::Key { key, expected: "a number" })
}
