//! CPU kernels of the fast engine: matrix products and the fused pieces of a decoder, forward and backward.
//!
//! Plain slices in, plain slices out, row-major; every function says its shapes. Numbers are stored as [`Element`]s,
//! f32 or bf16, and computed in f32. What the CPU can do is a [`Level`], a value that callers pass on. Work is split
//! over rayon's threads by what is written, never by what is summed: the number of threads changes no byte.
//!
//! - [`level`]: CPU levels; [`element`]: storage; `vectorised`: one body for every level
//! - [`product`]: matrix products; [`attention`]: causal attention over packed examples
//! - [`norm`], [`rope`], [`swiglu`], [`embedding`], [`entropy`]: the other pieces of a decoder, forward and backward
//! - [`dropout`], [`adamw`], [`reduce`]: what training needs beside them
//! - `exp`, `lanes`, `split`: what they share

// Vector instructions and raw panels need it; every use says why it holds.
#![allow(unsafe_code)]

pub mod adamw;
pub mod attention;
pub mod dropout;
pub mod element;
pub mod embedding;
pub mod entropy;
mod exp;
mod lanes;
pub mod level;
pub mod norm;
pub mod product;
pub mod reduce;
pub mod rope;
mod split;
pub mod swiglu;
#[cfg(target_arch = "x86_64")]
mod tiles;
mod vectorised;

pub use element::Element;
pub use level::{Level, LevelError};
