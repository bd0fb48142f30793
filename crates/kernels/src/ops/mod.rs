//! The pieces of a decoder beside products and attention, forward and backward.

pub mod bias;
mod columns;
pub mod cross_entropy;
pub mod dropout;
pub mod embedding;
pub mod gelu;
pub mod layer_norm;
pub mod reduce;
pub mod rms_norm;
pub mod rms_norm_heads;
pub mod rope;
pub mod swiglu;

pub use columns::{HeadColumns, RowColumns};
