//! What can go wrong between host and plugin; each message names the file or plugin, the step, and a remedy.

use std::path::PathBuf;

use tunebench_plugin_api::abi::{AbiError, code};

/// A failure at the plugin boundary.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("plugin file {path}: {step}: {reason}")]
    Load { path: PathBuf, step: &'static str, reason: String },
    #[error(
        "no {kind} plugin `{name}`; there are: {known}. Build plugins with `cargo xtask plugins` or name a file with --plugin"
    )]
    Unknown { kind: String, name: String, known: String },
    #[error("{kind} plugin `{name}` is offered by two files, {first} and {second}; name one of them only")]
    Twice { kind: String, name: String, first: PathBuf, second: PathBuf },
    #[error("plugin `{plugin}`: {doing}: {reason}")]
    Refused { plugin: String, doing: String, reason: String },
    #[error("plugin `{plugin}` panicked while {doing}: {reason}. This is a fault of the plugin; tell its author")]
    Panicked { plugin: String, doing: String, reason: String },
    #[error("plugin `{plugin}`: {doing}: what it returned is not as agreed: {reason}. Tell its author")]
    Invalid { plugin: String, doing: String, reason: String },
    #[error("{path}: {reason}")]
    Source { path: PathBuf, reason: String },
}

impl HostError {
    pub(crate) fn from_abi(plugin: &str, doing: impl Into<String>, error: &AbiError) -> Self {
        let (plugin, doing, reason) = (plugin.to_owned(), doing.into(), error.message.to_string());
        match error.code {
            code::PANIC => Self::Panicked { plugin, doing, reason },
            _ => Self::Refused { plugin, doing, reason },
        }
    }

    pub(crate) fn invalid(plugin: &str, doing: impl Into<String>, reason: impl ToString) -> Self {
        Self::Invalid { plugin: plugin.to_owned(), doing: doing.into(), reason: reason.to_string() }
    }
}
