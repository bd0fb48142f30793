//! Between the contract's binary types and the values of `spec`: what runs in a worker, beside the plugin.
//!
//! `session` is the plugin at work; `tuner` with its `recorder`, `dataset` over `files`, and `judge` are the three kinds.

mod dataset;
mod files;
mod judge;
mod recorder;
mod session;
mod tuner;

pub(crate) use dataset::PositionedRow;
pub use files::SourceFiles;
pub(crate) use files::{Files, Reading};
pub(crate) use session::{DROPPING, Reply, Request, Session};
