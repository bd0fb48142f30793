//! Why a configuration cannot be used, and what no number of one may be.

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConfigError {
    #[error("not JSON: {0}")]
    Json(String),
    #[error("`{key}` is missing or not {expected}")]
    Key { key: &'static str, expected: &'static str },
    #[error("architecture `{found}` is not supported; there are: {known}")]
    Architecture { found: String, known: String },
    #[error("{0}")]
    Unsupported(String),
    #[error("no preset `{name}`; there are {known}")]
    Preset { name: String, known: String },
}

/// No dimension of a real model is larger; a file that says so is corrupt.
pub const MAX_DIM: usize = 1 << 24;

pub(crate) fn check_positive(values: &[(&str, f64)]) -> Result<(), ConfigError> {
    match values.iter().find(|(_, value)| !(value.is_finite() && *value > 0.0)) {
        Some((name, value)) => Err(ConfigError::Unsupported(format!("{name} ({value}) must be positive"))),
        None => Ok(()),
    }
}
