//! Sums of products of stored bf16, by AVX-512: rows by a row, and rows by weights.

use std::arch::x86_64::*;
use std::mem::transmute;

use half::bf16;

use super::{BLOCK, PADDED};
use crate::Element;

/// Numbers of a vector.
const LANES: usize = 32;

/// The numbers as the registers take them.
///
/// # Panics
/// When they are not bf16: only kernels of bf16 come here.
pub fn bits<E: Element>(data: &[E]) -> &[bf16] {
    assert!(E::IS_BF16);
    // SAFETY: they are bf16.
    unsafe { std::slice::from_raw_parts(data.as_ptr().cast(), data.len()) }
}

/// Up to 32 numbers; the rest is zero.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load(from: &[bf16]) -> __m512bh {
    let mask = ((1u64 << from.len().min(LANES)) - 1) as u32;
    // SAFETY: the mask leaves the numbers that are there; both types are 64 bytes of any value.
    unsafe { transmute::<__m512i, __m512bh>(_mm512_maskz_loadu_epi16(mask, from.as_ptr().cast())) }
}

/// # Safety
/// The CPU has AVX-512 with bf16.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub unsafe fn dot(a: &[bf16], b: &[bf16]) -> f32 {
    let mut sum = _mm512_setzero_ps();
    for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
        sum = _mm512_dpbf16_ps(sum, load(a), load(b));
    }
    _mm512_reduce_add_ps(sum)
}

/// # Safety
/// The CPU has AVX-512 with bf16.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub unsafe fn qk_dots(rows: &[bf16], query: &[bf16], dots: &mut [f32]) {
    const { assert!(BLOCK.is_multiple_of(16)) };
    let width = query.len();
    for (dots, rows) in dots.as_chunks_mut::<16>().0.iter_mut().zip(rows.chunks_exact(16 * width)) {
        let mut sums = [_mm512_setzero_ps(); 16];
        for (i, query) in query.chunks(LANES).enumerate() {
            let query_lanes = load(query);
            for (sum, row) in sums.iter_mut().zip(rows.chunks_exact(width)) {
                *sum = _mm512_dpbf16_ps(*sum, load(&row[i * LANES..][..query.len()]), query_lanes);
            }
        }
        // SAFETY: 16 numbers.
        unsafe { _mm512_storeu_ps(dots.as_mut_ptr(), totals(sums)) };
    }
}

/// The sum of each vector.
#[inline]
#[target_feature(enable = "avx512f")]
fn totals(v: [__m512; 16]) -> __m512 {
    let pairs: [__m512; 8] = std::array::from_fn(|i| {
        let (a, b) = (v[2 * i], v[2 * i + 1]);
        _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b))
    });
    // Each quarter holds its sums of four vectors.
    let fours: [__m512; 4] = std::array::from_fn(|i| {
        let (a, b) = (_mm512_castps_pd(pairs[2 * i]), _mm512_castps_pd(pairs[2 * i + 1]));
        _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)), _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)))
    });
    let halved =
        |a: __m512, b: __m512| _mm512_add_ps(_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b));
    halved(halved(fours[0], fours[1]), halved(fours[2], fours[3]))
}

/// # Safety
/// The CPU has AVX-512 with bf16.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub unsafe fn weighted_sum(rows: &[bf16], width: usize, weights: &[f32], sums: &mut [f32]) {
    const { assert!(PADDED.is_multiple_of(LANES)) };
    // The last row may have no partner.
    let mut rounded = [bf16::ZERO; BLOCK + 1];
    rounded.iter_mut().zip(weights).for_each(|(to, x)| *to = <bf16 as Element>::from_f32(*x));
    for (i, sums) in sums.chunks_exact_mut(LANES).enumerate() {
        let (from, to) = (i * LANES, width.min((i + 1) * LANES));
        let (mut low, mut high) = (_mm512_setzero_ps(), _mm512_setzero_ps());
        for (rows, weights) in rows.chunks(2 * width).zip(rounded.chunks(2)) {
            let first = load(&rows[from..to]);
            let second = load(rows.get(width + from..width + to).unwrap_or(&[]));
            let pair = u32::from(weights[0].to_bits()) | u32::from(weights[1].to_bits()) << 16;
            // SAFETY: all are 64 bytes of any value.
            let (first, second, pair) = unsafe {
                (
                    transmute::<__m512bh, __m512i>(first),
                    transmute::<__m512bh, __m512i>(second),
                    transmute::<__m512i, __m512bh>(_mm512_set1_epi32(pair as i32)),
                )
            };
            let (even, odd) = (_mm512_unpacklo_epi16(first, second), _mm512_unpackhi_epi16(first, second));
            // SAFETY: as above.
            let (even, odd) = unsafe { (transmute::<__m512i, __m512bh>(even), transmute::<__m512i, __m512bh>(odd)) };
            low = _mm512_dpbf16_ps(low, even, pair);
            high = _mm512_dpbf16_ps(high, odd, pair);
        }
        // Each quarter of `low` has the first half of a quarter's numbers, and `high` the second.
        let first = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
        let second = _mm512_setr_epi32(8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
        for (sums, order) in sums.as_chunks_mut::<16>().0.iter_mut().zip([first, second]) {
            let added = _mm512_permutex2var_ps(low, order, high);
            // SAFETY: 16 numbers.
            unsafe {
                let sum = _mm512_add_ps(_mm512_loadu_ps(sums.as_ptr()), added);
                _mm512_storeu_ps(sums.as_mut_ptr(), sum);
            }
        }
    }
}
