//! The transpose of sums by AVX-512, for its f32 kernel and those of bf16.

use std::arch::x86_64::*;

use super::{AttentionKernel, transpose_from};
use crate::simd::dispatch::Avx512;
use crate::simd::transpose::transpose_16x16;

/// Queries of a strip, two vectors of them.
const LANES: usize = 32;

impl AttentionKernel for Avx512 {
    fn transpose(sums: &[f32], head_dim: usize, to: &mut [f32]) {
        // SAFETY: this kernel runs only where the CPU has AVX-512.
        unsafe { transpose(sums, head_dim, to) }
    }
}

/// `to [32, head_dim]` becomes the transpose of `sums [head_dim, 32]`.
///
/// # Safety
/// The CPU has AVX-512.
#[target_feature(enable = "avx512f")]
pub unsafe fn transpose(sums: &[f32], head_dim: usize, to: &mut [f32]) {
    let whole = head_dim / 16 * 16;
    for first in (0..whole).step_by(16) {
        for lane in (0..LANES).step_by(16) {
            let mut rows = [_mm512_setzero_si512(); 16];
            for (i, row) in rows.iter_mut().enumerate() {
                // SAFETY: 16 numbers.
                *row = unsafe { _mm512_loadu_si512(sums[(first + i) * LANES + lane..][..16].as_ptr().cast()) };
            }
            for (i, column) in transpose_16x16(rows).into_iter().enumerate() {
                // SAFETY: 16 numbers.
                unsafe { _mm512_storeu_si512(to[(lane + i) * head_dim + first..][..16].as_mut_ptr().cast(), column) };
            }
        }
    }
    transpose_from(whole, sums, LANES, head_dim, to);
}
