//! What can go wrong between host and plugin; each message names the file or plugin, the check or operation, and a remedy.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tunebench_plugin_api::abi::{AbiError, code};

/// A failure at the plugin boundary. It crosses from a plugin's own process to the host's as it is.
#[derive(Clone, Debug, PartialEq, thiserror::Error, Serialize, Deserialize)]
pub enum HostError {
    #[error("plugin file {path}: {check}: {reason}")]
    Load { path: PathBuf, check: String, reason: String },
    #[error(
        "no {kind} plugin `{name}`; there are: {known}. Build plugins with `cargo xtask plugins`, name a file with \
         --plugin, or add one with `tunebench plugins add FILE`"
    )]
    Unknown { kind: String, name: String, known: String },
    #[error("{kind} plugin `{name}` is offered by two files, {first} and {second}; name one of them only")]
    Twice { kind: String, name: String, first: PathBuf, second: PathBuf },
    #[error("plugin `{plugin}`: {operation}: {reason}")]
    Refused { plugin: String, operation: String, reason: String },
    #[error("plugin `{plugin}` panicked while {operation}: {reason}. This is a fault of the plugin; tell its author")]
    Panicked { plugin: String, operation: String, reason: String },
    #[error("plugin `{plugin}`: {operation}: what it returned is not as agreed: {reason}. Tell its author")]
    Invalid { plugin: String, operation: String, reason: String },
    #[error(
        "plugin `{plugin}`: {operation}: no answer within {seconds} s; give it longer with --plugin-timeout if it has that \
         much to do, or tell its author"
    )]
    Timeout { plugin: String, operation: String, seconds: u64 },
    #[error(
        "plugin `{plugin}` ended its process while {operation}: {reason}. This is a fault of the plugin; tell its author"
    )]
    Crashed { plugin: String, operation: String, reason: String },
    #[error("{path}: {reason}")]
    Source { path: PathBuf, reason: String },
    /// What is wrong in a file of rows; it names the file.
    #[error("{reason}")]
    Rows { reason: String },
    #[error("lock file {path}: {reason}")]
    LockFile { path: PathBuf, reason: String },
}

impl HostError {
    /// Whether the plugin broke while it worked, so that what needs it fails and the rest may go on.
    pub fn is_fault(&self) -> bool {
        matches!(self, Self::Panicked { .. } | Self::Invalid { .. } | Self::Timeout { .. } | Self::Crashed { .. })
    }

    pub(crate) fn from_abi(plugin: &str, operation: impl Into<String>, error: &AbiError) -> Self {
        // Not trusted to be UTF-8, whatever its type says.
        let reason = String::from_utf8_lossy(error.message.as_bytes()).into_owned();
        let (plugin, operation) = (plugin.to_owned(), operation.into());
        match error.code {
            code::PANIC => Self::Panicked { plugin, operation, reason },
            _ => Self::Refused { plugin, operation, reason },
        }
    }

    pub(crate) fn invalid(plugin: &str, operation: impl Into<String>, reason: impl ToString) -> Self {
        Self::Invalid { plugin: plugin.to_owned(), operation: operation.into(), reason: reason.to_string() }
    }
}
