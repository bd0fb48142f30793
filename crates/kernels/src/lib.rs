//! CPU kernels of the fast engine: matrix products and the fused pieces of a decoder, forward and backward.
//!
//! Plain slices in, plain slices out, row-major; every function says its shapes. Numbers are stored as [`Element`]s,
//! f32 or bf16, and computed in f32. What the CPU can do is a [`SimdLevel`], a value that callers pass on. Work is split
//! over rayon's threads by what is written, never by what is summed: the number of threads changes no byte.
//!
//! - [`gemm`]: matrix products, in the words of BLIS; [`attention`]: causal attention over packed sequences (varlen)
//! - [`quant`]: weights in few bits, and how products read them
//! - [`ops`]: the other pieces of a decoder, forward and backward; [`optim`]: AdamW
//! - `simd`: CPU levels, storage, and what all kernels are written with; `tasks` and `team`: how work is cut and shared among threads
//! - [`machine`]: memory and threads of the process and the machine; [`fingerprint`]: whether numbers have changed
//!
//! Arrows go one way: `attention` and `ops` know `gemm` and `simd`, `gemm` knows `quant`, `simd` and `fingerprint`, `quant` knows `simd` and
//! `fingerprint`, `simd` knows nobody. Randomness
//! is the only thing taken from `tunebench-spec`: dropout draws from its streams.

// Vector instructions and raw panels need it; every use says why it holds.
#![allow(unsafe_code)]

mod arena;
pub mod attention;
pub mod fingerprint;
pub mod gemm;
pub mod machine;
pub mod ops;
pub mod optim;
mod prefetch;
pub mod quant;
mod simd;
mod store;
mod tasks;
mod team;

pub use simd::element::Element;
pub use simd::level::{LevelError, SimdLevel};
pub use store::Store;
pub use team::with_team;
