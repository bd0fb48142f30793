//! The pieces of a decoder beside products and attention, forward and backward.

pub mod cross_entropy;
pub mod dropout;
pub mod embedding;
mod head_columns;
pub mod reduce;
pub mod rms_norm;
pub mod rope;
pub mod swiglu;

pub use head_columns::HeadColumns;
