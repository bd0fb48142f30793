//! bf16 by AVX-512: each instruction adds two products to each of 16 sums.

use std::arch::x86_64::*;

use half::bf16;

use super::{ARows, CTile, Few, Kernel};
use crate::gemm::matrix::Matrix;
use crate::gemm::pack_bf16::{pack_pairs, pack_rows};
use crate::prefetch::Ahead;
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

    unsafe fn microkernel(k: usize, a: &ARows<bf16>, b: *const bf16, c: &CTile, next: Ahead) {
        // SAFETY: the caller's.
        unsafe { PAIRS[c.rows.min(12) - 1][usize::from(c.cols > 16)](k, a, b, c, next) }
    }

    fn few_panels(rows: usize) -> usize {
        FEW.get(rows.wrapping_sub(1)).map_or(0, |by_panels| by_panels.len())
    }

    unsafe fn microkernel_few(k: usize, a: &ARows<bf16>, b: &Few<bf16>, c: &CTile) {
        // SAFETY: the caller's.
        unsafe { FEW[c.rows - 1][b.panels - 1](k, a, b, c) }
    }
}

/// [`Kernel::microkernel`] of so many rows, and of so many vectors of columns.
type OfPairs = unsafe fn(usize, &ARows<bf16>, *const bf16, &CTile, Ahead);
/// By rows, and by vectors.
const PAIRS: [[OfPairs; 2]; 12] = [
    [add_pairs::<1, 1>, add_pairs::<1, 2>],
    [add_pairs::<2, 1>, add_pairs::<2, 2>],
    [add_pairs::<3, 1>, add_pairs::<3, 2>],
    [add_pairs::<4, 1>, add_pairs::<4, 2>],
    [add_pairs::<5, 1>, add_pairs::<5, 2>],
    [add_pairs::<6, 1>, add_pairs::<6, 2>],
    [add_pairs::<7, 1>, add_pairs::<7, 2>],
    [add_pairs::<8, 1>, add_pairs::<8, 2>],
    [add_pairs::<9, 1>, add_pairs::<9, 2>],
    [add_pairs::<10, 1>, add_pairs::<10, 2>],
    [add_pairs::<11, 1>, add_pairs::<11, 2>],
    [add_pairs::<12, 1>, add_pairs::<12, 2>],
];

/// [`Kernel::microkernel_few`] of so many rows, and of so many panels.
type OfFew = unsafe fn(usize, &ARows<bf16>, &Few<bf16>, &CTile);
/// By rows, and by panels: at most 24 registers are sums, and 6 are a step of the panels.
const FEW: [&[OfFew]; 12] = [
    &[add_few::<1, 1>, add_few::<1, 2>, add_few::<1, 3>],
    &[add_few::<2, 1>, add_few::<2, 2>, add_few::<2, 3>],
    &[add_few::<3, 1>, add_few::<3, 2>, add_few::<3, 3>],
    &[add_few::<4, 1>, add_few::<4, 2>, add_few::<4, 3>],
    &[add_few::<5, 1>, add_few::<5, 2>],
    &[add_few::<6, 1>, add_few::<6, 2>],
    &[add_few::<7, 1>],
    &[add_few::<8, 1>],
    &[add_few::<9, 1>],
    &[add_few::<10, 1>],
    &[add_few::<11, 1>],
    &[add_few::<12, 1>],
];
/// How far ahead of what is multiplied a panel is asked for.
const AHEAD: usize = 1024;

/// `R` rows by `P` panels.
///
/// # Safety
/// As [`Kernel::microkernel_few`]: `k` is even, and the CPU has the instructions.
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn add_few<const R: usize, const P: usize>(
    k: usize,
    &ARows { first, row_stride, block_stride }: &ARows<bf16>,
    b: &Few<bf16>,
    &CTile { first: c, ldc, add, .. }: &CTile,
) {
    // SAFETY: the caller's.
    unsafe {
        let place = |i: usize, p: usize, v: usize| c.add(i * ldc + p * 32 + v * 16);
        let mut tile = [[[_mm512_setzero_ps(); 2]; P]; R];
        for k0 in (0..k).step_by(32) {
            let a = first.add(k0 / 32 * block_stride);
            // Behind the end of these panels come the next ones.
            let ahead = if k0 * 32 + AHEAD < b.apart { AHEAD } else { AHEAD + (P - 1) * b.apart };
            for pair in 0..16.min((k - k0) / 2) {
                let mut right = [[std::mem::transmute::<__m512i, __m512bh>(_mm512_setzero_si512()); 2]; P];
                for (p, right) in right.iter_mut().enumerate() {
                    let from = b.first.add(p * b.apart + 32 * (k0 + 2 * pair));
                    for (v, right) in right.iter_mut().enumerate() {
                        let from = from.add(32 * v);
                        *right = std::mem::transmute::<__m512i, __m512bh>(_mm512_loadu_si512(from.cast()));
                        if b.is_in_memory {
                            _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(ahead).cast());
                        }
                    }
                }
                for (i, row) in tile.iter_mut().enumerate() {
                    let left = a.add(i * row_stride + 2 * pair).cast::<i32>().read_unaligned();
                    let left = std::mem::transmute::<__m512i, __m512bh>(_mm512_set1_epi32(left));
                    for (sums, right) in row.iter_mut().zip(right) {
                        for (sum, right) in sums.iter_mut().zip(right) {
                            *sum = _mm512_dpbf16_ps(*sum, left, right);
                        }
                    }
                }
            }
        }
        for (i, row) in tile.iter().enumerate() {
            for (p, panel) in row.iter().enumerate() {
                for (v, value) in panel.iter().enumerate() {
                    let place = place(i, p, v);
                    let value = if add { _mm512_add_ps(_mm512_loadu_ps(place), *value) } else { *value };
                    _mm512_storeu_ps(place, value);
                }
            }
        }
    }
}

/// The first `R` rows and `V` vectors of columns of a tile of [`Avx512Bf16`].
///
/// # Safety
/// As [`Kernel::microkernel`]: `k` is even, and the CPU has the instructions.
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn add_pairs<const R: usize, const V: usize>(
    k: usize,
    &ARows { first, row_stride, block_stride }: &ARows<bf16>,
    b: *const bf16,
    &CTile { first: c, ldc, add, .. }: &CTile,
    mut next: Ahead,
) {
    // SAFETY: the caller's.
    unsafe {
        let mut tile = [[_mm512_setzero_ps(); V]; R];
        let blocks = k.div_ceil(32);
        for k0 in (0..k).step_by(32) {
            next.part(blocks);
            let a = first.add(k0 / 32 * block_stride);
            // From four places each row is reached by adding the stride none, one or two times.
            let places = [0, 3, 6, 9].map(|i| a.wrapping_add(i * row_stride));
            for pair in 0..16.min((k - k0) / 2) {
                let right = b.add(32 * (k0 + 2 * pair));
                let mut vectors = [std::mem::transmute::<__m512i, __m512bh>(_mm512_setzero_si512()); V];
                for (v, vector) in vectors.iter_mut().enumerate() {
                    *vector = std::mem::transmute::<__m512i, __m512bh>(_mm512_loadu_si512(right.add(32 * v).cast()));
                }
                for (i, sums) in tile.iter_mut().enumerate() {
                    let left = places[i / 3].add(i % 3 * row_stride + 2 * pair).cast::<i32>().read_unaligned();
                    let left = std::mem::transmute::<__m512i, __m512bh>(_mm512_set1_epi32(left));
                    for (sum, right) in sums.iter_mut().zip(vectors) {
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
