//! Packing for kernels that multiply pairs of bf16: 32 steps of `k` at a time, transposed in registers.
//!
//! Panels are padded with zeros to 32 steps. Only kernels of AVX-512 and above read these, so its instructions are here.

use std::arch::x86_64::*;

use half::bf16;

use super::matrix::Matrix;
use crate::Element;
use crate::prefetch::prefetch;
use crate::simd::transpose::transpose_16x16;

/// `[k/32][R][32]`: 32 steps of each lane after the other.
pub fn pack_rows<E: Element, const R: usize>(from: &Matrix<'_, E>, lane: usize, end: usize, packed: &mut [bf16]) {
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
                    unsafe { transpose_steps(bits, from.col_stride, lanes, to) };
                }
                _ => plain(from, [lane + first, k], lanes, to),
            }
        }
    }
}

/// `[k/2][R][2]`: pairs of steps of `R` lanes, `R` a multiple of 16.
pub fn pack_pairs<E: Element, const R: usize>(from: &Matrix<'_, E>, lane: usize, end: usize, packed: &mut [bf16]) {
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
                    unsafe { transpose_lanes::<R>(bits, from.row_stride, lanes, to) };
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
            row.iter_mut().zip(numbers).for_each(|(to, from)| *to = round_to_bf16(*from));
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
fn transpose_lanes<const R: usize>(from: &[u16], stride: usize, lanes: usize, to: &mut [bf16]) {
    let mut rows = [_mm512_setzero_si512(); 16];
    for (i, row) in rows.iter_mut().enumerate().take(lanes) {
        // SAFETY: 32 numbers.
        *row = unsafe { _mm512_loadu_si512(from[i * stride..][..32].as_ptr().cast()) };
    }
    for (pair, column) in transpose_16x16(rows).into_iter().enumerate() {
        // SAFETY: 32 numbers.
        unsafe { _mm512_storeu_si512(to[pair * 2 * R..][..32].as_mut_ptr().cast(), column) };
    }
}

/// 32 steps, `stride` apart, of `lanes` numbers beside each other become 16 pairs of steps, `R` lanes each.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn join_steps<const R: usize>(from: &[u16], stride: usize, lanes: usize, to: &mut [bf16]) {
    for pair in 0..16 {
        // The next panel's lie beside them. Steps are far from each other, which no prefetcher of the CPU follows.
        (0..2).for_each(|step| prefetch(from.as_ptr().wrapping_add((2 * pair + step) * stride + R), 1));
        let both = joined(&from[2 * pair * stride..], stride, lanes);
        // SAFETY: 32 numbers.
        unsafe { _mm512_storeu_si512(to[pair * 2 * R..][..32].as_mut_ptr().cast(), both) };
    }
}

/// 32 steps, `stride` apart, of `lanes` numbers beside each other become a row of 32 steps for each lane.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn transpose_steps(from: &[u16], stride: usize, lanes: usize, to: &mut [[bf16; 32]]) {
    let mut pairs = [_mm512_setzero_si512(); 16];
    for (i, pair) in pairs.iter_mut().enumerate() {
        *pair = joined(&from[2 * i * stride..], stride, lanes);
    }
    for (to, lane) in to.iter_mut().zip(transpose_16x16(pairs)) {
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

#[inline(always)]
fn round_to_bf16<E: Element>(x: E) -> bf16 {
    <bf16 as Element>::from_f32(x.to_f32())
}
