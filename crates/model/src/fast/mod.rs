//! The fast engine: forward and backward of each decoder layer written out over CPU kernels.
//!
//! It means what the reference path means (plain candle operations under autograd, [`crate::ReferenceModel`]) and is tested
//! against it tensor by tensor. What makes it fast: examples lie end to end without padding ([`Batch`]); only what the
//! backward pass reads is kept, in bf16; a frozen weight gets no gradient, and nothing is computed below the lowest
//! trained layer; LoRA sites are recognised in their recorded graphs and become terms of the products they adapt. Any
//! other recorded graph runs through candle at its site.
//!
//! Letters in shapes: `n` tokens of a batch, `d` hidden width, `f` intermediate width, `v` vocabulary, `h` heads,
//! `k` key/value heads, `e` head width, `r` rank, `m` labels.
//!
//! - [`model`]: the model put together, by `build`; [`batch`]: what it takes; `layer` and `head`: the passes;
//!   [`memory`]: bytes
//! - `linear`: a linear weight and what is trained at it; `group`: those that read one input, forward and backward;
//!   `fusion`: LoRA in a graph; `graph`: any graph, by candle; `virtual_tokens`: what stands in front of examples
//! - [`values`]: trained tensors, their gradients and their update; [`cache`]: generation

pub mod batch;
mod build;
pub mod cache;
mod fusion;
mod graph;
mod group;
mod head;
mod layer;
mod linear;
pub mod memory;
pub mod model;
mod supported;
pub mod values;
mod virtual_tokens;

pub use batch::Batch;
pub use cache::Cache;
pub use model::{Model, Options, Workspace};
pub use supported::check_supported;
pub use values::{Gradients, Moments, Storage};
