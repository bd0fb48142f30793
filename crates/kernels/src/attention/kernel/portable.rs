//! The kernels of f32 below AVX-512, which have nothing of their own.

use super::AttentionKernel;
#[cfg(target_arch = "x86_64")]
use crate::simd::dispatch::Avx2;
use crate::simd::dispatch::Portable;

impl AttentionKernel for Portable {}

#[cfg(target_arch = "x86_64")]
impl AttentionKernel for Avx2 {}
