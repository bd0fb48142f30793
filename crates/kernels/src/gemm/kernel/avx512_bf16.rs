//! bf16 by AVX-512: each instruction adds two products to each of 16 sums.

use std::arch::x86_64::*;

use half::bf16;

use super::{ARows, Kernel};
use crate::gemm::matrix::Matrix;
use crate::gemm::pack_bf16::{pack_pairs, pack_rows};
use crate::quant::{Piece, QuantTensor};
use crate::simd::dispatch::Avx512Bf16;
use crate::{Element, SimdLevel};

impl Kernel for Avx512Bf16 {
    type Packed = bf16;
    const MR: usize = 12;
    const NR: usize = 32;
    const K_PAD: usize = 32;
    const K_STEP: usize = 2;
    const KC: usize = 1536;
    const MC: usize = 144;
    const LEVEL: SimdLevel = SimdLevel::Avx512Bf16;

    fn pack_a<E: Element>(a: &Matrix<'_, E>, first: usize, end: usize, packed: &mut [bf16]) {
        pack_rows::<E, 12>(a, first, end, packed);
    }

    fn pack_b<E: Element>(b: &Matrix<'_, E>, first: usize, end: usize, packed: &mut [bf16]) {
        pack_pairs::<E, 32>(b, first, end, packed);
    }

    fn pack_quantised(tensor: &QuantTensor, piece: Piece, panel: &mut [bf16]) -> bool {
        tensor.pack_pairs::<32>(piece, panel)
    }

    const READS_A_IN_PLACE: bool = true;
    const MR_STEP: usize = 1;

    unsafe fn microkernel(k: usize, a: ARows<bf16>, rows: usize, b: *const bf16, c: *mut f32, ldc: usize, add: bool) {
        // SAFETY: the caller's.
        unsafe {
            match rows {
                1 => add_pairs::<1>(k, a, b, c, ldc, add),
                2 => add_pairs::<2>(k, a, b, c, ldc, add),
                3 => add_pairs::<3>(k, a, b, c, ldc, add),
                4 => add_pairs::<4>(k, a, b, c, ldc, add),
                5 => add_pairs::<5>(k, a, b, c, ldc, add),
                6 => add_pairs::<6>(k, a, b, c, ldc, add),
                7 => add_pairs::<7>(k, a, b, c, ldc, add),
                8 => add_pairs::<8>(k, a, b, c, ldc, add),
                9 => add_pairs::<9>(k, a, b, c, ldc, add),
                10 => add_pairs::<10>(k, a, b, c, ldc, add),
                11 => add_pairs::<11>(k, a, b, c, ldc, add),
                _ => add_pairs::<12>(k, a, b, c, ldc, add),
            }
        }
    }
}

/// The first `R` rows of a tile of [`Avx512Bf16`].
///
/// # Safety
/// As [`Kernel::microkernel`]: `k` is even, and the CPU has the instructions.
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn add_pairs<const R: usize>(
    k: usize,
    ARows { first, row_stride, block_stride }: ARows<bf16>,
    b: *const bf16,
    c: *mut f32,
    ldc: usize,
    add: bool,
) {
    // SAFETY: the caller's.
    unsafe {
        let mut tile = [[_mm512_setzero_ps(); 2]; R];
        for k0 in (0..k).step_by(32) {
            let a = first.add(k0 / 32 * block_stride);
            // From four places each row is reached by adding the stride none, one or two times.
            let places = [0, 3, 6, 9].map(|i| a.wrapping_add(i * row_stride));
            for pair in 0..16.min((k - k0) / 2) {
                let right = b.add(32 * (k0 + 2 * pair));
                let right =
                    [0, 32].map(|v| std::mem::transmute::<__m512i, __m512bh>(_mm512_loadu_si512(right.add(v).cast())));
                for (i, sums) in tile.iter_mut().enumerate() {
                    let left = places[i / 3].add(i % 3 * row_stride + 2 * pair).cast::<i32>().read_unaligned();
                    let left = std::mem::transmute::<__m512i, __m512bh>(_mm512_set1_epi32(left));
                    for (sum, right) in sums.iter_mut().zip(right) {
                        *sum = _mm512_dpbf16_ps(*sum, left, right);
                    }
                }
            }
        }
        for (i, row) in tile.iter().enumerate() {
            for (v, value) in row.iter().enumerate() {
                let place = c.add(i * ldc + v * 16);
                let value = if add { _mm512_add_ps(_mm512_loadu_ps(place), *value) } else { *value };
                _mm512_storeu_ps(place, value);
            }
        }
    }
}
