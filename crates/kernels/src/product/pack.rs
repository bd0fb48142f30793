//! Packing for kernels of f32: some rows of a matrix, `lanes x k`, into the order in which a kernel reads them.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

use super::matrix::Matrix;
use crate::{Element, Level};

/// `[k][R]`: a step of `k` after the other, each with its `R` lanes; lanes from `end` on are zero.
pub fn lanes<E: Element, const R: usize>(
    level: Level,
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
        turn_lanes::<E, R>(level, data, from.row_stride, count, packed);
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
fn turn_lanes<E: Element, const R: usize>(level: Level, data: &[E], stride: usize, count: usize, packed: &mut [f32]) {
    let k = packed.len() / R;
    let mut done = 0;
    #[cfg(target_arch = "x86_64")]
    if level >= Level::Avx2 && count == R {
        done = k / 8 * 8;
        let row = |lane: usize, k: usize| &data[lane * stride + k..][..8];
        for k in (0..done).step_by(8) {
            for lane in (0..R).step_by(8) {
                let lanes = 8.min(R - lane);
                let rows: [&[E]; 8] = std::array::from_fn(|i| row(lane + i.min(lanes - 1), k));
                // SAFETY: the level says so; each row has 8 numbers; `lanes` of each step are written.
                unsafe { turn_8x8(rows, &mut packed[k * R + lane..], R, lanes) };
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
unsafe fn turn_8x8<E: Element>(rows: [&[E]; 8], to: &mut [f32], stride: usize, lanes: usize) {
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
    let columns = transposed(rows.map(load));
    let mut spill = [0f32; 8];
    for (k, column) in columns.into_iter().enumerate() {
        let to = &mut to[k * stride..];
        match to.first_chunk_mut::<8>().filter(|_| lanes == 8) {
            // SAFETY: 8 numbers.
            Some(to) => unsafe { _mm256_storeu_ps(to.as_mut_ptr(), column) },
            None => {
                // SAFETY: 8 numbers.
                unsafe { _mm256_storeu_ps(spill.as_mut_ptr(), column) };
                to[..lanes].copy_from_slice(&spill[..lanes]);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn transposed(r: [__m256; 8]) -> [__m256; 8] {
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
