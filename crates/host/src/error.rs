//! What can go wrong between host and plugin; each message names the file or plugin, the step, and a remedy.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tunebench_plugin_api::abi::{AbiError, code};

/// A failure at the plugin boundary. It crosses from a plugin's own process to the host's as it is.
#[derive(Clone, Debug, PartialEq, thiserror::Error, Serialize, Deserialize)]
pub enum HostError {
    #[error("plugin file {path}: {step}: {reason}")]
    Load { path: PathBuf, step: String, reason: String },
    #[error(
        "no {kind} plugin `{name}`; there are: {known}. Build plugins with `cargo xtask plugins`, name a file with \
         --plugin, or add one with `tunebench plugins add FILE`"
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
    #[error(
        "plugin `{plugin}`: {doing}: no answer within {seconds} s; give it longer with --plugin-timeout if it has that \
         much to do, or tell its author"
    )]
    Stuck { plugin: String, doing: String, seconds: u64 },
    #[error(
        "plugin `{plugin}` ended its process while {doing}: {reason}. This is a fault of the plugin; tell its author"
    )]
    Crashed { plugin: String, doing: String, reason: String },
    #[error("{path}: {reason}")]
    Source { path: PathBuf, reason: String },
    #[error("lock file {path}: {reason}")]
    Pins { path: PathBuf, reason: String },
}

impl HostError {
    /// Whether the plugin broke while it worked, so that what needs it fails and the rest may go on.
    pub fn is_fault(&self) -> bool {
        matches!(self, Self::Panicked { .. } | Self::Invalid { .. } | Self::Stuck { .. } | Self::Crashed { .. })
    }

    pub(crate) fn from_abi(plugin: &str, doing: impl Into<String>, error: &AbiError) -> Self {
        // Not trusted to be UTF-8, whatever its type says.
        let reason = String::from_utf8_lossy(error.message.as_bytes()).into_owned();
        let (plugin, doing) = (plugin.to_owned(), doing.into());
        match error.code {
            code::PANIC => Self::Panicked { plugin, doing, reason },
            _ => Self::Refused { plugin, doing, reason },
        }
    }

    pub(crate) fn invalid(plugin: &str, doing: impl Into<String>, reason: impl ToString) -> Self {
        Self::Invalid { plugin: plugin.to_owned(), doing: doing.into(), reason: reason.to_string() }
    }
}
