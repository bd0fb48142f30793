//! A plugin whose file has passed every check.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tunebench_plugin_api::abi::{Manifest, PluginRoot_Ref};

/// A plugin, checked.
#[derive(Clone, Serialize, Deserialize)]
pub struct Plugin {
    /// Absolute, without links.
    pub path: PathBuf,
    pub manifest: Manifest,
    /// Compiler it was built with.
    pub rustc: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Its functions. None where a worker process loaded it: functions do not cross from there.
    #[serde(skip)]
    pub(crate) root: Option<PluginRoot_Ref>,
}
