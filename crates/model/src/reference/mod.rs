//! The reference path: plain candle operations under its autograd, in f32. Slow, and what everything else is tested
//! against.
//!
//! - [`model`]: the decoder put together; [`batch`]: what it takes; [`loss`]: loss and gradients; [`cache`]: generation
//! - [`linear`]: weights in use, frozen, trained or adapted; `virtual_tokens` in front of every example

pub mod batch;
pub mod cache;
pub mod linear;
pub mod loss;
pub mod model;
mod virtual_tokens;

pub use batch::{Batch, Targets};
pub use cache::Cache;
pub use linear::{Param, Params};
pub use loss::Gradients;
pub use model::Llama;
