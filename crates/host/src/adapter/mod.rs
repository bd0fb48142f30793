//! Between the contract's binary types and the values of `spec`: what runs in a worker, beside the plugin.
//!
//! `session` is the plugin at work; `tuner` with its `recorder`, `dataset` and `judge` are the three kinds.

mod dataset;
mod judge;
mod recorder;
mod session;
mod tuner;

pub(crate) use dataset::{Files, PositionedRow};
pub(crate) use session::{DROPPING, Reply, Request, Session};
