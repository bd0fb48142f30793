//! CPU kernels of the fast engine: matrix products and the fused pieces of a decoder, forward and backward.
//!
//! Plain slices in, plain slices out, row-major; every function says its shapes. Numbers are stored as [`Element`]s,
//! f32 or bf16, and computed in f32. What the CPU can do is a [`Level`], a value that callers pass on. Work is split
//! over rayon's threads by what is written, never by what is summed: the number of threads changes no byte.
//!
//! - [`level`]: CPU levels; [`element`]: storage; `vectorised`: one body for every level
//! - [`product`]: matrix products

// Vector instructions and raw panels need it; every use says why it holds.
#![allow(unsafe_code)]

pub mod element;
pub mod level;
pub mod product;
#[cfg(target_arch = "x86_64")]
mod tiles;
mod vectorised;

pub use element::Element;
pub use level::{Level, LevelError};
