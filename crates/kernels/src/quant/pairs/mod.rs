//! Groups of 16 rows straight into panels of bf16 pairs, by AVX-512: what [`super::unpack`] and then the packing of a right
//! operand do, without plain numbers between.
//!
//! A register holds one number of each of 16 rows, so nothing is transposed but the few bytes of blocks: 16 rows of 16 bytes
//! become four registers of 32 bits a row. Numbers are the same products and sums as there, rounded to the nearest bf16.
//! Those below the smallest normal number, which no scale of a file reaches, become zero, as the products take them.

mod formats;
mod words;

use std::arch::x86_64::*;

use half::bf16;

use self::formats::{Format, Iq4Nl, Nf4, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0};
use self::words::{Blocks, ROWS};
use super::types::QuantType;
use super::unpack::{GROUP, Source};

/// Groups `groups[0]..groups[1]` of `R` rows from `first` on, to `panel`: `[16 pairs of steps][R][2]` for each group, as
/// [`pack_pairs`](crate::gemm) lays them out; says whether it did, which it does not of every format.
///
/// # Safety
/// The CPU has AVX-512 (F, BW, VL) with products of bf16.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub unsafe fn pack_groups<const R: usize>(
    of: Source<'_>,
    first: usize,
    groups: [usize; 2],
    panel: &mut [bf16],
) -> bool {
    assert!(panel.len() >= (groups[1] - groups[0]) * GROUP * R, "a panel that is too short");
    assert!((first + R) * of.blocks * of.kind.block_bytes() <= of.data.len(), "rows outside of a quantised matrix");
    // SAFETY: the rows and the panel were checked; the caller has the CPU's word.
    unsafe {
        match of.kind {
            QuantType::Q8_0 => pack::<Q8_0, R>(of, first, groups, panel),
            QuantType::Q4_0 => pack::<Q4_0, R>(of, first, groups, panel),
            QuantType::Q4_1 => pack::<Q4_1, R>(of, first, groups, panel),
            QuantType::Q5_0 => pack::<Q5_0, R>(of, first, groups, panel),
            QuantType::Q5_1 => pack::<Q5_1, R>(of, first, groups, panel),
            QuantType::Q4K => pack::<Q4K, R>(of, first, groups, panel),
            QuantType::Q5K => pack::<Q5K, R>(of, first, groups, panel),
            QuantType::Q6K => pack::<Q6K, R>(of, first, groups, panel),
            QuantType::Iq4Nl => pack::<Iq4Nl, R>(of, first, groups, panel),
            QuantType::Nf4 => pack::<Nf4, R>(of, first, groups, panel),
            QuantType::F16 | QuantType::Q2K | QuantType::Q3K => return false,
        }
    }
    true
}

#[inline(always)]
unsafe fn pack<F: Format, const R: usize>(of: Source<'_>, first: usize, groups: [usize; 2], panel: &mut [bf16]) {
    /// Two registers of 16 numbers, one behind the other, to pairs.
    const INTERLEAVED: [u16; 32] = {
        let mut order = [0; 32];
        let mut i = 0;
        while i < 32 {
            order[i] = (i / 2 + i % 2 * 16) as u16;
            i += 1;
        }
        order
    };
    // SAFETY: the caller's.
    unsafe {
        let order = _mm512_loadu_si512(INTERLEAVED.as_ptr().cast());
        let stride = of.blocks * F::BYTES;
        for lane in (0..R).step_by(ROWS) {
            let row = first + lane;
            for group in groups[0]..groups[1] {
                let number = group / F::GROUPS;
                let blocks = Blocks { first: of.data.as_ptr().add(row * stride + number * F::BYTES), stride };
                let mut scales = [0f32; ROWS];
                if F::KIND.has_scaled_scale() {
                    for (i, scale) in scales.iter_mut().enumerate() {
                        *scale = of.block_scale((row + i) * of.blocks + number, *blocks.byte(i, 0));
                    }
                }
                let scales = _mm512_loadu_ps(scales.as_ptr());
                for i in 0..ROWS {
                    // The same of the next panel's rows, which are the next in memory; any address will do.
                    let next = blocks.byte(R + i, group % F::GROUPS * (F::BYTES / F::GROUPS));
                    _mm_prefetch::<_MM_HINT_T0>(next.cast());
                }
                let held = F::group(blocks, group % F::GROUPS, scales);
                let to = panel[(group - groups[0]) * GROUP * R + 2 * lane..].as_mut_ptr();
                macro_rules! put {
                    ($($i:literal)*) => {$(
                        let (one, other) = (F::number::<$i>(&held), F::number::<{ $i + 1 }>(&held));
                        let both: __m512i = std::mem::transmute(_mm512_cvtne2ps_pbh(other, one));
                        _mm512_storeu_si512(to.add($i * R).cast(), _mm512_permutexvar_epi16(order, both));
                    )*};
                }
                // Written out, so that what of the registers is wanted is known when this is compiled.
                put!(0 2 4 6 8 10 12 14 16 18 20 22 24 26 28 30);
            }
        }
    }
}
