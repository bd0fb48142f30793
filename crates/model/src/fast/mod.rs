//! The fast engine: forward and backward of each decoder layer written out over CPU kernels.
//!
//! It means what the reference path means (plain candle operations under autograd, [`crate::ReferenceModel`]) and is tested
//! against it tensor by tensor. What makes it fast: examples lie end to end without padding ([`Batch`]); only what the
//! backward pass reads is kept, in bf16; a frozen weight gets no gradient, and nothing is computed below the first
//! trained layer; LoRA sites are recognised in their recorded graphs and become terms of the products they adapt. Any
//! other recorded graph runs through candle at its site.
//!
//! Letters in shapes: `n` tokens of a batch, `d` hidden width, `f` intermediate width, `v` vocabulary, `h` heads,
//! `k` key/value heads, `e` head width, `r` rank, `m` labels.
//!
//! From the bottom up; a module imports from those above it in this list:
//! - `storage`: f32 or bf16; `gradients`: theirs by slot; `trained`: trained tensors and their update; `divided`: parts of
//!   them, as ranks divide them; `batch`
//! - `graph_params`, `prefix`: virtual tokens; `row_adapters`: which rows have which adapter; `pass`: what all parts share
//!   in a pass
//! - `graph_site`: any graph, by candle; `linear`: a linear weight and what adapts it; `fusion`: LoRA in a graph;
//!   `grouped_lora`: LoRA of several adapters; `fused_linear`: the linear weights of one input
//! - `norm`, `qk_norm`, `embedding`, `attention`, `mlp`, `layer`, `head`: the parts, each with its forward and backward pass
//! - `build`: puts the parts together; `activation_store`: what a pass keeps
//! - `model`: a training step; `frozen`: what it leaves as it was; `cache` and `decode`: generation; [`memory`]: bytes

mod activation_store;
mod attention;
mod batch;
mod build;
mod cache;
mod decode;
mod divided;
mod embedding;
mod frozen;
mod frozen_matrix;
mod fused_linear;
mod fusion;
mod gradients;
mod graph_params;
mod graph_site;
mod grouped_lora;
mod head;
mod layer;
mod linear;
pub mod memory;
mod mlp;
mod model;
mod norm;
mod pass;
mod prefix;
mod qk_norm;
mod row_adapters;
mod storage;
mod trained;

pub use batch::Batch;
pub use build::Options;
pub use cache::Cache;
pub use gradients::Gradients;
pub(crate) use grouped_lora::refusal;
pub use model::{Model, Workspace};
pub use storage::Storage;
