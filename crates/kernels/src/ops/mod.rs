//! The pieces of a decoder beside products and attention, forward and backward.

pub mod activation;
pub mod bias;
mod columns;
pub mod cross_entropy;
pub mod dropout;
pub mod embedding;
pub mod head_order;
pub mod layer_norm;
pub mod reduce;
pub mod rms_norm;
pub mod rms_norm_heads;
pub mod rope;
pub mod softcap;

pub use columns::{HeadColumns, RowColumns};
