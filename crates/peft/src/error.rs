//! What can go wrong with an adapter.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// Why an adapter cannot be read, used or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Model(#[from] tunebench_model::Error),
    #[error(transparent)]
    Files(#[from] tunebench_files::Error),
    #[error("tensor operation failed: {0}")]
    Candle(#[from] candle_core::Error),
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{}: not JSON: {source}", path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    /// The folder is no adapter, or not one that can be told.
    #[error("{}: {fault}", path.display())]
    Folder { path: PathBuf, fault: String },
    /// A setting that is not supported, why, and what to do.
    #[error("adapter_config.json: `{key}` = {value}: {why}")]
    Setting { key: String, value: String, why: String },
    /// Tensors that are missing, left over, or of another shape.
    #[error("adapter_model.safetensors: {0}")]
    Tensors(String),
    /// What was trained is nothing that PEFT computes.
    #[error("not an adapter that PEFT knows: {0}")]
    NotPeft(String),
    /// Adapters over each other that no single one is.
    #[error("{0}")]
    NotStacked(String),
}

impl Error {
    pub(crate) fn setting(key: &str, value: &Value, why: impl Into<String>) -> Self {
        let mut value = value.to_string();
        if value.chars().count() > 80 {
            value = value.chars().take(77).chain("...".chars()).collect();
        }
        Self::Setting { key: key.to_owned(), value, why: why.into() }
    }

    pub(crate) fn folder(path: &Path, fault: impl Into<String>) -> Self {
        Self::Folder { path: path.to_owned(), fault: fault.into() }
    }

    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// The first few of many names, and how many more there are.
pub(crate) fn some(names: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
