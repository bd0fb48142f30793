//! f32 in plain Rust, for any CPU.

use super::{ARows, CTile, Kernel};
use crate::gemm::matrix::Matrix;
use crate::gemm::pack_f32::pack_lanes;
use crate::prefetch::Ahead;
use crate::simd::dispatch::Portable;
use crate::{Element, SimdLevel};

impl Kernel for Portable {
    type Packed = f32;
    const MR: usize = 4;
    const NR: usize = 8;
    const K_PAD: usize = 1;
    const K_STEP: usize = 1;
    const KC: usize = 512;
    const MC: usize = 64;
    const LEVEL: SimdLevel = SimdLevel::Portable;

    fn pack_a<E: Element>(a: &Matrix<'_, E>, first: usize, end: usize, packed: &mut [f32]) {
        pack_lanes::<E, 4>(Self::LEVEL, a, first, end, packed);
    }

    fn pack_b<E: Element>(b: &Matrix<'_, E>, first: usize, end: usize, packed: &mut [f32]) {
        pack_lanes::<E, 8>(Self::LEVEL, b, first, end, packed);
    }

    unsafe fn microkernel(
        k: usize,
        a: &ARows<f32>,
        b: *const f32,
        &CTile { first: c, ldc, add, .. }: &CTile,
        mut next: Ahead,
    ) {
        next.part(1);
        let mut tile = [[0f32; 8]; 4];
        // SAFETY: the caller's: panels of `k` steps.
        let (a, b) = unsafe { (std::slice::from_raw_parts(a.first, 4 * k), std::slice::from_raw_parts(b, 8 * k)) };
        for (a, b) in a.as_chunks::<4>().0.iter().zip(b.as_chunks::<8>().0) {
            for (row, a) in tile.iter_mut().zip(a) {
                for (sum, b) in row.iter_mut().zip(b) {
                    *sum += a * b;
                }
            }
        }
        for (i, row) in tile.iter().enumerate() {
            // SAFETY: the caller's: a tile.
            let c = unsafe { std::slice::from_raw_parts_mut(c.add(i * ldc), 8) };
            for (sum, value) in c.iter_mut().zip(row) {
                *sum = if add { *sum + value } else { *value };
            }
        }
    }
}
