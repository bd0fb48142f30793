//! Packing for kernels of f32: some rows of a matrix, `lanes x k`, into the order in which a kernel reads them.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

use super::matrix::Matrix;
#[cfg(target_arch = "x86_64")]
use crate::simd::transpose::transpose_8x8;
use crate::{Element, SimdLevel};

/// `[k][R]`: a step of `k` after the other, each with its `R` lanes; lanes from `end` on are zero.
pub fn pack_lanes<E: Element, const R: usize>(
    level: SimdLevel,
    from: &Matrix<'_, E>,
    lane: usize,
    end: usize,
    packed: &mut [f32],
) {
    let count = R.min(end - lane);
    let data = &from.data[(lane * from.row_stride).min(from.data.len())..];
    if from.row_stride == 1 {
        copy_lanes::<E, R>(data, from.col_stride, count, packed);
    } else {
        transpose_lanes::<E, R>(level, data, from.row_stride, count, packed);
    }
}

/// Lanes lie side by side in memory.
fn copy_lanes<E: Element, const R: usize>(data: &[E], stride: usize, count: usize, packed: &mut [f32]) {
    for (k, step) in packed.as_chunks_mut::<R>().0.iter_mut().enumerate() {
        let from = &data[k * stride..][..count];
        if let Ok(from) = <&[E; R]>::try_from(from) {
            *step = from.map(E::to_f32);
            continue;
        }
        step.fill(0.0);
        step.iter_mut().zip(from).for_each(|(to, from)| *to = from.to_f32());
    }
}

/// Lanes are rows in memory: the matrix is transposed on the way, 8 x 8 numbers at a time where the CPU can.
fn transpose_lanes<E: Element, const R: usize>(
    level: SimdLevel,
    data: &[E],
    stride: usize,
    count: usize,
    packed: &mut [f32],
) {
    let k = packed.len() / R;
    let mut done = 0;
    #[cfg(target_arch = "x86_64")]
    if level >= SimdLevel::Avx2 && count == R {
        done = k / 8 * 8;
        let row = |lane: usize, k: usize| &data[lane * stride + k..][..8];
        for k in (0..done).step_by(8) {
            for lane in (0..R).step_by(8) {
                let lanes = 8.min(R - lane);
                let rows: [&[E]; 8] = std::array::from_fn(|i| row(lane + i.min(lanes - 1), k));
                // SAFETY: the level says so; each row has 8 numbers; `lanes` of each step are written.
                unsafe { store_8x8_transposed(rows, &mut packed[k * R + lane..], R, lanes) };
            }
        }
    }
    let _ = level;
    for k in done..k {
        let step = &mut packed[k * R..][..R];
        step.fill(0.0);
        step[..count].iter_mut().enumerate().for_each(|(lane, to)| *to = data[lane * stride + k].to_f32());
    }
}

/// Writes 8 numbers of 8 rows as 8 steps, `stride` apart, of the first `lanes` rows each.
///
/// # Safety
/// The CPU has AVX2; each row has 8 numbers; `to` has the last step's lanes.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn store_8x8_transposed<E: Element>(rows: [&[E]; 8], to: &mut [f32], stride: usize, lanes: usize) {
    let load = |row: &[E]| {
        // SAFETY: 8 numbers of E's size.
        unsafe {
            if E::IS_BF16 {
                let numbers = _mm_loadu_si128(row.as_ptr().cast());
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(numbers)))
            } else {
                _mm256_loadu_ps(row.as_ptr().cast())
            }
        }
    };
    let columns = transpose_8x8(rows.map(load));
    for (k, column) in columns.into_iter().enumerate() {
        let to = &mut to[k * stride..][..lanes];
        let (low, high) = (_mm256_castps256_ps128(column), _mm256_extractf128_ps::<1>(column));
        // SAFETY: each writes as many numbers as there are lanes.
        unsafe {
            match lanes {
                8 => _mm256_storeu_ps(to.as_mut_ptr(), column),
                6 => {
                    _mm_storeu_ps(to.as_mut_ptr(), low);
                    _mm_storel_epi64(to.as_mut_ptr().add(4).cast(), _mm_castps_si128(high));
                }
                4 => _mm_storeu_ps(to.as_mut_ptr(), low),
                _ => {
                    let mut spill = [0f32; 8];
                    _mm256_storeu_ps(spill.as_mut_ptr(), column);
                    to.copy_from_slice(&spill[..lanes]);
                }
            }
        }
    }
}
