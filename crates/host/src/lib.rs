//! Finds, checks and loads plugins, and turns what crosses the binary boundary into plain values of `spec`.
//!
//! - [`library`]: one file -> one checked, never unloaded plugin; `file` and `elf`: what is checked before it is opened
//! - [`pins`]: the lock file of added plugins; [`registry`]: the plugins a study may name
//! - [`tuner`]: a tuner's plan and its maths, recorded as graphs (`record`)
//! - [`dataset`]: a source's rows, read by the host; [`judge`]: a judge's steps
//! - [`place`]: where a plugin runs, a thread or a `process` with `limits`; `session`: what it is asked there
//!
//! The contract's traits are re-exported from `tunebench_plugin_api` as [`api`].

// Calling into a loaded library is unsafe by nature; every place says why it is sound.
#![allow(unsafe_code)]

pub mod dataset;
#[cfg(target_os = "linux")]
mod elf;
mod error;
mod file;
pub mod judge;
pub mod library;
mod limits;
pub mod pins;
pub mod place;
pub mod process;
mod record;
pub mod registry;
mod session;
pub mod tuner;

pub use dataset::DatasetPlugin;
pub use error::HostError;
pub use judge::JudgePlugin;
pub use library::Plugin;
pub use pins::Pins;
pub use place::{Isolation, Runner, exit, faults};
pub use process::serve;
pub use registry::Registry;
pub use tunebench_plugin_api as api;
pub use tuner::TunerPlugin;

/// Options of a plugin, as a study gives them.
pub type Options = std::collections::BTreeMap<String, serde_json::Value>;

pub(crate) fn options_json(options: &Options) -> String {
    serde_json::Value::Object(options.clone().into_iter().collect()).to_string()
}
