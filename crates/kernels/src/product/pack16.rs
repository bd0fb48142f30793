//! Packing for kernels that multiply pairs of bf16: 32 steps of `k` at a time, transposed in registers.
//!
//! Panels are padded with zeros to 32 steps. Only kernels of AVX-512 and above read these, so its instructions are here.

use std::arch::x86_64::*;

use half::bf16;

use super::matrix::Matrix;
use crate::Element;

/// `[k/32][R][32]`: 32 steps of each lane after the other.
pub fn rows<E: Element, const R: usize>(from: &Matrix<'_, E>, lane: usize, end: usize, packed: &mut [bf16]) {
    let count = R.min(end - lane);
    for (block, k) in packed.as_chunks_mut::<32>().0.chunks_mut(R).zip((0..from.cols).step_by(32)) {
        let whole = from.cols - k >= 32;
        for first in (0..R).step_by(16) {
            let lanes = count.saturating_sub(first).min(16);
            let to = &mut block[first..R.min(first + 16)];
            match bits(from.data) {
                Some(bits) if whole && from.col_stride == 1 => {
                    for (i, to) in to.iter_mut().enumerate() {
                        match i < lanes {
                            true => {
                                let row = &bits[(lane + first + i) * from.row_stride + k..][..32];
                                to.iter_mut().zip(row).for_each(|(to, from)| *to = bf16::from_bits(*from));
                            }
                            false => *to = [bf16::ZERO; 32],
                        }
                    }
                }
                Some(bits) if whole && lanes > 0 => {
                    let bits = &bits[lane + first + k * from.col_stride..];
                    // SAFETY: bf16 panels are packed only for CPUs with AVX-512.
                    unsafe { turn_steps(bits, from.col_stride, lanes, to) };
                }
                _ => plain(from, [lane + first, k], lanes, to),
            }
        }
    }
}

/// `[k/2][R][2]`: pairs of steps of `R` lanes, `R` a multiple of 16.
pub fn pairs<E: Element, const R: usize>(from: &Matrix<'_, E>, lane: usize, end: usize, packed: &mut [bf16]) {
    let count = R.min(end - lane);
    for (block, k) in packed.chunks_mut(32 * R).zip((0..from.cols).step_by(32)) {
        let whole = from.cols - k >= 32;
        for first in (0..R).step_by(16) {
            let lanes = count.saturating_sub(first).min(16);
            let to = &mut block[2 * first..];
            match bits(from.data) {
                Some(bits) if whole && lanes > 0 && from.col_stride == 1 => {
                    let bits = &bits[(lane + first) * from.row_stride + k..];
                    // SAFETY: bf16 panels are packed only for CPUs with AVX-512.
                    unsafe { turn_lanes::<R>(bits, from.row_stride, lanes, to) };
                }
                Some(bits) if whole && lanes > 0 => {
                    let bits = &bits[lane + first + k * from.col_stride..];
                    // SAFETY: as above.
                    unsafe { join_steps::<R>(bits, from.col_stride, lanes, to) };
                }
                _ => {
                    let mut rows = [[bf16::ZERO; 32]; 16];
                    plain(from, [lane + first, k], lanes, &mut rows);
                    for (pair, to) in to.chunks_mut(2 * R).enumerate() {
                        for (to, row) in to.as_chunks_mut::<2>().0.iter_mut().zip(&rows) {
                            *to = [row[2 * pair], row[2 * pair + 1]];
                        }
                    }
                }
            }
        }
    }
}

/// Up to 32 steps of each of `lanes` rows, number by number; the rest is zero.
fn plain<E: Element>(from: &Matrix<'_, E>, [lane, k]: [usize; 2], lanes: usize, rows: &mut [[bf16; 32]]) {
    let steps = 32.min(from.cols - k);
    for (i, row) in rows.iter_mut().enumerate() {
        *row = [bf16::ZERO; 32];
        if i < lanes {
            let numbers = from.data[(lane + i) * from.row_stride + k * from.col_stride..].iter();
            let numbers = numbers.step_by(from.col_stride).take(steps);
            row.iter_mut().zip(numbers).for_each(|(to, from)| *to = narrowed(*from));
        }
    }
}

/// The numbers as the registers take them; none if they are not bf16.
fn bits<E: Element>(data: &[E]) -> Option<&[u16]> {
    // SAFETY: bf16 is a transparent u16.
    E::IS_BF16.then(|| unsafe { std::slice::from_raw_parts(data.as_ptr().cast(), data.len()) })
}

/// 32 steps of `lanes` rows, `stride` apart, become 16 pairs of steps, `R` lanes each.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn turn_lanes<const R: usize>(from: &[u16], stride: usize, lanes: usize, to: &mut [bf16]) {
    let mut rows = [_mm512_setzero_si512(); 16];
    for (i, row) in rows.iter_mut().enumerate().take(lanes) {
        // SAFETY: 32 numbers.
        *row = unsafe { _mm512_loadu_si512(from[i * stride..][..32].as_ptr().cast()) };
    }
    for (pair, column) in transposed(rows).into_iter().enumerate() {
        // SAFETY: 32 numbers.
        unsafe { _mm512_storeu_si512(to[pair * 2 * R..][..32].as_mut_ptr().cast(), column) };
    }
}

/// 32 steps, `stride` apart, of `lanes` numbers beside each other become 16 pairs of steps, `R` lanes each.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn join_steps<const R: usize>(from: &[u16], stride: usize, lanes: usize, to: &mut [bf16]) {
    for pair in 0..16 {
        let both = joined(&from[2 * pair * stride..], stride, lanes);
        // SAFETY: 32 numbers.
        unsafe { _mm512_storeu_si512(to[pair * 2 * R..][..32].as_mut_ptr().cast(), both) };
    }
}

/// 32 steps, `stride` apart, of `lanes` numbers beside each other become a row of 32 steps for each lane.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn turn_steps(from: &[u16], stride: usize, lanes: usize, to: &mut [[bf16; 32]]) {
    let mut pairs = [_mm512_setzero_si512(); 16];
    for (i, pair) in pairs.iter_mut().enumerate() {
        *pair = joined(&from[2 * i * stride..], stride, lanes);
    }
    for (to, lane) in to.iter_mut().zip(transposed(pairs)) {
        // SAFETY: 32 numbers.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), lane) };
    }
}

/// `lanes` numbers of a step, each with the one of the next step beside it.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn joined(from: &[u16], stride: usize, lanes: usize) -> __m512i {
    let mask = u16::MAX >> (16 - lanes);
    let step = |from: &[u16]| {
        // SAFETY: the mask leaves `lanes` numbers, which are there.
        _mm512_cvtepu16_epi32(unsafe { _mm256_maskz_loadu_epi16(mask, from[..lanes].as_ptr().cast()) })
    };
    _mm512_or_si512(step(from), _mm512_slli_epi32::<16>(step(&from[stride..])))
}

/// 16 rows of 16 become 16 columns.
#[target_feature(enable = "avx512f")]
pub(crate) fn transposed(r: [__m512i; 16]) -> [__m512i; 16] {
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

#[inline(always)]
fn narrowed<E: Element>(x: E) -> bf16 {
    <bf16 as Element>::from_f32(x.to_f32())
}
