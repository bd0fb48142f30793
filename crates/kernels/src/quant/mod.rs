//! Quantised weights: matrices whose numbers are kept in few bits, in blocks along a row that share a scale.
//!
//! A [`QuantTensor`] holds the bytes as a GGUF file has them, or as [`QuantTensor::nf4`] makes them. Products read it as it
//! is ([`Rhs::Quantised`](crate::gemm::Rhs)): some rows or columns at a time become plain numbers where a right operand is
//! packed, so no copy of the whole exists, and the result is to the bit that of the plain matrix.
//!
//! `types` has the formats' sizes, `unpack` what their bytes mean, `pairs` the same for 16 rows at
//! once by AVX-512, `nf4` the values of that format.

mod nf4;
#[cfg(target_arch = "x86_64")]
mod pairs;
mod tensor;
mod types;
mod unpack;

pub use tensor::{QuantMatrix, QuantTensor};
pub use types::QuantType;
pub(crate) use unpack::{GROUP, Piece};
