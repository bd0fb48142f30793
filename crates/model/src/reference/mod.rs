//! The reference path: plain candle operations under its autograd, on any of its devices. In f32 on the CPU it is slow, and what
//! everything else is tested against; on a graphics card it computes in bf16 too.
//!
//! - [`compute`]: where, and in which precision; [`model`]: the decoder put together; [`batch`]: what it takes; [`loss`]: loss and gradients; [`cache`]: generation
//! - `build`: its parts; `context`: what a pass's layers share; `layer`: `attention` and `mlp` under norms; `norm`; `linear`; `site`: a recorded graph in use; `virtual_tokens`
//!   in front of every example; [`weight`]: tensors, frozen or trained

mod attention;
pub mod batch;
mod build;
pub mod cache;
pub mod compute;
mod context;
mod layer;
mod linear;
pub mod loss;
mod mlp;
pub mod model;
mod norm;
mod site;
mod virtual_tokens;
pub mod weight;

pub use batch::{Batch, Targets};
pub use cache::Cache;
pub use compute::{Compute, Precision};
pub use loss::Gradients;
pub use model::ReferenceModel;
pub use weight::{Param, Params};
