//! Finds, checks and loads plugins, and turns what crosses the binary boundary into plain values of `spec`.
//!
//! - `load`: one file -> one checked, never unloaded plugin; the lock file of added plugins
//! - `adapter`: a plugin at work, between the contract's types and `spec`: plans and recorded graphs, rows, judge's steps
//! - `worker`: where that runs, a thread or a process in a sandbox, always with a timeout
//! - `plugin`: what callers hold; each asks a worker. `registry`: the plugins that a study may name
//!
//! Each knows those above it only. The contract's traits are re-exported from `tunebench_plugin_api` as [`api`].

// Calling into a loaded library is unsafe by nature; every place says why it is sound.
#![allow(unsafe_code)]

mod adapter;
mod error;
mod load;
mod operations;
mod options;
mod plugin;
mod registry;
mod worker;

pub use adapter::SourceFiles;
pub use error::HostError;
pub use load::{LoadCheck, LockFile, LockedPlugin, Plugin};
pub use options::Options;
pub use plugin::{DatasetPlugin, JudgePlugin, TunerPlugin};
pub use registry::Registry;
pub use tunebench_plugin_api as api;
pub use worker::{Isolation, Launcher, WORKER_ARGUMENT, exit, serve, take_late_errors};
