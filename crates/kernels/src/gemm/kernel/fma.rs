//! f32 by fused multiply-adds, of AVX2 and of AVX-512.

use std::arch::x86_64::*;

use half::bf16;

use super::{ARows, CTile, Kernel};
use crate::gemm::matrix::Matrix;
use crate::gemm::pack_f32::pack_lanes;
use crate::prefetch::Ahead;
use crate::simd::dispatch::{Avx2, Avx512};
use crate::{Element, SimdLevel};

/// Steps of `k` between two looks at what is read next.
const BLOCK: usize = 16;

/// A kernel of f32 fused multiply-adds over `$rows` rows and `$vectors` vectors of columns.
macro_rules! fma_kernel {
    ($(#[$doc:meta])* $name:ident, $features:literal, $level:expr, rows $rows:literal, vectors $vectors:literal of $lanes:literal,
     kc $kc:literal, mc $mc:literal, $zero:ident $load:ident $store:ident $set1:ident $fma:ident $add:ident $widen:ident) => {
        $(#[$doc])*
        impl Kernel for $name {
            type Packed = f32;
            const MR: usize = $rows;
            const NR: usize = $vectors * $lanes;
            const K_PAD: usize = 1;
            const K_STEP: usize = 1;
            const KC: usize = $kc;
            const MC: usize = $mc;
            const LEVEL: SimdLevel = $level;

            fn pack_a<E: Element>(a: &Matrix<'_, E>, first: usize, end: usize, packed: &mut [f32]) {
                pack_lanes::<E, $rows>(Self::LEVEL, a, first, end, packed);
            }

            fn pack_b<E: Element>(b: &Matrix<'_, E>, first: usize, end: usize, packed: &mut [f32]) {
                pack_lanes::<E, { $vectors * $lanes }>(Self::LEVEL, b, first, end, packed);
            }

            unsafe fn microkernel(
                k: usize,
                a: &ARows<f32>,
                b: *const f32,
                c: &CTile,
                next: Ahead,
            ) {
                // SAFETY: the caller's.
                unsafe {
                    match (c.rows, c.cols > ($vectors - 1) * $lanes) {
                        (1, _) => Self::add_rows::<1, $vectors, f32>(k, a.first, b, c, next),
                        (2, _) => Self::add_rows::<2, $vectors, f32>(k, a.first, b, c, next),
                        (3..=4, _) => Self::add_rows::<4, $vectors, f32>(k, a.first, b, c, next),
                        (_, true) => Self::add_rows::<$rows, $vectors, f32>(k, a.first, b, c, next),
                        (_, false) => Self::add_rows::<$rows, { $vectors - 1 }, f32>(k, a.first, b, c, next),
                    }
                }
            }

            const NARROW_ROWS: usize = 4;

            unsafe fn microkernel_narrow(
                k: usize,
                a: &ARows<f32>,
                b: *const bf16,
                c: &CTile,
                next: Ahead,
            ) {
                // SAFETY: the caller's.
                unsafe {
                    match c.rows {
                        1 => Self::add_rows::<1, $vectors, bf16>(k, a.first, b, c, next),
                        2 => Self::add_rows::<2, $vectors, bf16>(k, a.first, b, c, next),
                        _ => Self::add_rows::<4, $vectors, bf16>(k, a.first, b, c, next),
                    }
                }
            }
        }

        impl $name {
            /// The first `R` rows and `V` vectors of columns of a tile, `b` held as `B`.
            ///
            /// # Safety
            /// `k` steps of both panels and a whole tile; the CPU has the level.
            #[target_feature(enable = $features)]
            unsafe fn add_rows<const R: usize, const V: usize, B: Element>(
                k: usize,
                a: *const f32,
                b: *const B,
                &CTile { first: c, ldc, add, .. }: &CTile,
                mut next: Ahead,
            ) {
                // SAFETY: the caller's.
                unsafe {
                    let mut tile = [[$zero(); V]; R];
                    let (mut a, mut b) = (a, b);
                    // Read when all steps are done.
                    if add {
                        (0..R).for_each(|i| _mm_prefetch::<_MM_HINT_T0>(c.add(i * ldc).cast()));
                    }
                    let blocks = k.div_ceil(BLOCK);
                    for step in 0..k {
                        if step % BLOCK == 0 {
                            next.part(blocks);
                        }
                        let mut right = [$zero(); V];
                        for (v, right) in right.iter_mut().enumerate() {
                            let from = b.add(v * $lanes);
                            *right = if B::IS_BF16 { $widen(from.cast()) } else { $load(from.cast()) };
                        }
                        for (i, row) in tile.iter_mut().enumerate() {
                            let left = $set1(*a.add(i));
                            for (sum, right) in row.iter_mut().zip(right) {
                                *sum = $fma(left, right, *sum);
                            }
                        }
                        (a, b) = (a.add($rows), b.add($vectors * $lanes));
                    }
                    for (i, row) in tile.iter().enumerate() {
                        for (v, value) in row.iter().enumerate() {
                            let place = c.add(i * ldc + v * $lanes);
                            let value = if add { $add($load(place), *value) } else { *value };
                            $store(place, value);
                        }
                    }
                }
            }
        }
    };
}

/// 8 numbers of bf16, widened.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn widened_8(from: *const u16) -> __m256 {
    // SAFETY: the caller's: 8 numbers.
    let bits = unsafe { _mm_loadu_si128(from.cast()) };
    _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(bits)))
}

/// 16 numbers of bf16, widened.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn widened_16(from: *const u16) -> __m512 {
    // SAFETY: the caller's: 16 numbers.
    let bits = unsafe { _mm256_loadu_si256(from.cast()) };
    _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(bits)))
}

fma_kernel!(
    /// f32 by AVX2: 12 of 16 registers are sums.
    Avx2, "avx2,fma", SimdLevel::Avx2, rows 6, vectors 2 of 8, kc 384, mc 96,
    _mm256_setzero_ps _mm256_loadu_ps _mm256_storeu_ps _mm256_set1_ps _mm256_fmadd_ps _mm256_add_ps widened_8
);
fma_kernel!(
    /// f32 by AVX-512: 24 of 32 registers are sums.
    Avx512, "avx512f", SimdLevel::Avx512, rows 12, vectors 2 of 16, kc 384, mc 144,
    _mm512_setzero_ps _mm512_loadu_ps _mm512_storeu_ps _mm512_set1_ps _mm512_fmadd_ps _mm512_add_ps widened_16
);
