//! Squares of numbers transposed in registers.

use std::arch::x86_64::*;

/// 8 rows of 8 f32 become 8 columns.
#[inline]
#[target_feature(enable = "avx2")]
pub fn transpose_8x8(r: [__m256; 8]) -> [__m256; 8] {
    let low = |a, b| _mm256_unpacklo_ps(a, b);
    let high = |a, b| _mm256_unpackhi_ps(a, b);
    let t = [
        low(r[0], r[1]),
        high(r[0], r[1]),
        low(r[2], r[3]),
        high(r[2], r[3]),
        low(r[4], r[5]),
        high(r[4], r[5]),
        low(r[6], r[7]),
        high(r[6], r[7]),
    ];
    let even = |a, b| _mm256_shuffle_ps::<0x44>(a, b);
    let odd = |a, b| _mm256_shuffle_ps::<0xee>(a, b);
    let u = [
        even(t[0], t[2]),
        odd(t[0], t[2]),
        even(t[1], t[3]),
        odd(t[1], t[3]),
        even(t[4], t[6]),
        odd(t[4], t[6]),
        even(t[5], t[7]),
        odd(t[5], t[7]),
    ];
    let first = |a, b| _mm256_permute2f128_ps::<0x20>(a, b);
    let second = |a, b| _mm256_permute2f128_ps::<0x31>(a, b);
    [
        first(u[0], u[4]),
        first(u[1], u[5]),
        first(u[2], u[6]),
        first(u[3], u[7]),
        second(u[0], u[4]),
        second(u[1], u[5]),
        second(u[2], u[6]),
        second(u[3], u[7]),
    ]
}

/// 16 rows of 16 numbers of 32 bits become 16 columns.
#[inline]
#[target_feature(enable = "avx512f")]
pub fn transpose_16x16(r: [__m512i; 16]) -> [__m512i; 16] {
    let zero = _mm512_setzero_si512();
    let (mut a, mut b) = ([zero; 16], [zero; 16]);
    for i in 0..8 {
        a[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
        a[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
    }
    for i in 0..4 {
        for j in 0..2 {
            b[4 * i + 2 * j] = _mm512_unpacklo_epi64(a[4 * i + j], a[4 * i + 2 + j]);
            b[4 * i + 2 * j + 1] = _mm512_unpackhi_epi64(a[4 * i + j], a[4 * i + 2 + j]);
        }
    }
    // b[4i + c] holds, in its quarter q, column 4q + c of rows 4i..4i + 4.
    for c in 0..4 {
        let low = _mm512_shuffle_i32x4::<0x88>(b[c], b[4 + c]);
        let high = _mm512_shuffle_i32x4::<0xdd>(b[c], b[4 + c]);
        let low2 = _mm512_shuffle_i32x4::<0x88>(b[8 + c], b[12 + c]);
        let high2 = _mm512_shuffle_i32x4::<0xdd>(b[8 + c], b[12 + c]);
        a[c] = _mm512_shuffle_i32x4::<0x88>(low, low2);
        a[8 + c] = _mm512_shuffle_i32x4::<0xdd>(low, low2);
        a[4 + c] = _mm512_shuffle_i32x4::<0x88>(high, high2);
        a[12 + c] = _mm512_shuffle_i32x4::<0xdd>(high, high2);
    }
    a
}
