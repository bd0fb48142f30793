//! What the bytes of each format mean, for 16 rows at once.

use std::arch::x86_64::*;

use super::super::nf4::CODE;
use super::super::types::QuantType;
use super::super::unpack::{GROUP, IQ4_NL_VALUES};
use super::words::*;

/// A format: what of a block's group is kept in registers, and its numbers.
pub(super) trait Format {
    const KIND: QuantType;
    const GROUPS: usize = Self::KIND.elements() / GROUP;
    const BYTES: usize = Self::KIND.block_bytes();
    type Group: Copy;

    /// # Safety
    /// Each row has a block; the CPU has the instructions.
    unsafe fn group(blocks: Blocks, group: usize, scales: __m512) -> Self::Group;

    /// Number `I` of the group, of each row.
    ///
    /// # Safety
    /// The CPU has the instructions.
    unsafe fn number<const I: usize>(group: &Self::Group) -> __m512;
}

pub(super) struct Q8_0;
impl Format for Q8_0 {
    const KIND: QuantType = QuantType::Q8_0;
    type Group = ([__m512i; 8], __m512);

    #[inline(always)]
    unsafe fn group(blocks: Blocks, _: usize, _: __m512) -> Self::Group {
        // SAFETY: the caller's, here and below.
        unsafe { (words32(blocks, 2), halves(blocks, 0)) }
    }

    #[inline(always)]
    unsafe fn number<const I: usize>((words, scale): &Self::Group) -> __m512 {
        // SAFETY: as above.
        unsafe {
            // The byte to the top, and down again with its sign.
            let top = _mm512_sllv_epi32(words[I / 4], _mm512_set1_epi32(24 - (I % 4 * 8) as i32));
            _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_srai_epi32::<24>(top)), *scale)
        }
    }
}

pub(super) struct Q4_0;
impl Format for Q4_0 {
    const KIND: QuantType = QuantType::Q4_0;
    type Group = ([__m512i; 4], __m512);

    #[inline(always)]
    unsafe fn group(blocks: Blocks, _: usize, _: __m512) -> Self::Group {
        // SAFETY: as above.
        unsafe { (words(blocks, 2), halves(blocks, 0)) }
    }

    #[inline(always)]
    unsafe fn number<const I: usize>((words, scale): &Self::Group) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_mul_ps(looked_up(&FROM_8_BELOW, nibble16(words, I)), *scale) }
    }
}

pub(super) struct Q4_1;
impl Format for Q4_1 {
    const KIND: QuantType = QuantType::Q4_1;
    type Group = ([__m512i; 4], [__m512; 2]);

    #[inline(always)]
    unsafe fn group(blocks: Blocks, _: usize, _: __m512) -> Self::Group {
        // SAFETY: as above.
        unsafe { (words(blocks, 4), [halves(blocks, 0), halves(blocks, 2)]) }
    }

    #[inline(always)]
    unsafe fn number<const I: usize>((words, [scale, shift]): &Self::Group) -> __m512 {
        // SAFETY: as above.
        unsafe { shifted(looked_up(&FROM_0, nibble16(words, I)), *scale, *shift) }
    }
}

pub(super) struct Q5_0;
impl Format for Q5_0 {
    const KIND: QuantType = QuantType::Q5_0;
    type Group = ([__m512i; 4], __m512i, __m512);

    #[inline(always)]
    unsafe fn group(blocks: Blocks, _: usize, _: __m512) -> Self::Group {
        // SAFETY: as above.
        unsafe { (words(blocks, 6), word(blocks, 2), halves(blocks, 0)) }
    }

    #[inline(always)]
    unsafe fn number<const I: usize>((words, fifth, scale): &Self::Group) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_mul_ps(five_bits::<16>(five16(words, *fifth, I)), *scale) }
    }
}

pub(super) struct Q5_1;
impl Format for Q5_1 {
    const KIND: QuantType = QuantType::Q5_1;
    type Group = ([__m512i; 4], __m512i, [__m512; 2]);

    #[inline(always)]
    unsafe fn group(blocks: Blocks, _: usize, _: __m512) -> Self::Group {
        // SAFETY: as above.
        unsafe { (words(blocks, 8), word(blocks, 4), [halves(blocks, 0), halves(blocks, 2)]) }
    }

    #[inline(always)]
    unsafe fn number<const I: usize>((words, fifth, [scale, shift]): &Self::Group) -> __m512 {
        // SAFETY: as above.
        unsafe { shifted(five_bits::<0>(five16(words, *fifth, I)), *scale, *shift) }
    }
}

/// Scale, and least number with its sign turned, of a group of Q4_K and Q5_K.
#[inline(always)]
pub(super) unsafe fn scale_and_min(blocks: Blocks, group: usize) -> [__m512; 2] {
    // SAFETY: the caller's.
    unsafe {
        let [both, low, high, rest] = words(blocks, 0);
        let d = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(both));
        let dmin = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(both)));
        let at = group % 4 * 8;
        let (scale, min) = match group {
            0..4 => (bits(low, at, 6), bits(high, at, 6)),
            _ => {
                let (low, high) = (bits(low, at + 6, 2), bits(high, at + 6, 2));
                let (scale, min) = (bits(rest, at, 4), bits(rest, at + 4, 4));
                (
                    _mm512_or_si512(scale, _mm512_slli_epi32::<4>(low)),
                    _mm512_or_si512(min, _mm512_slli_epi32::<4>(high)),
                )
            }
        };
        let min = _mm512_mul_ps(dmin, _mm512_cvtepi32_ps(min));
        [_mm512_mul_ps(d, _mm512_cvtepi32_ps(scale)), _mm512_sub_ps(_mm512_set1_ps(-0.0), min)]
    }
}

pub(super) struct Q4K;
impl Format for Q4K {
    const KIND: QuantType = QuantType::Q4K;
    type Group = ([__m512i; 8], [__m512; 2]);

    #[inline(always)]
    unsafe fn group(blocks: Blocks, group: usize, _: __m512) -> Self::Group {
        // SAFETY: as above.
        unsafe {
            let words = words32(blocks, 16 + group / 2 * GROUP);
            // The halves that are wanted, to the bottom.
            (moved(words, group % 2 * 4, 0), scale_and_min(blocks, group))
        }
    }

    #[inline(always)]
    unsafe fn number<const I: usize>((words, [scale, shift]): &Self::Group) -> __m512 {
        // SAFETY: as above.
        unsafe { shifted(looked_up(&FROM_0, nibble32(words, I)), *scale, *shift) }
    }
}

pub(super) struct Q5K;
impl Format for Q5K {
    const KIND: QuantType = QuantType::Q5K;
    type Group = ([__m512i; 8], [__m512i; 8], [__m512; 2]);

    #[inline(always)]
    unsafe fn group(blocks: Blocks, group: usize, _: __m512) -> Self::Group {
        // SAFETY: as above.
        unsafe {
            let (words, fifth) = (words32(blocks, 48 + group / 2 * GROUP), words32(blocks, 16));
            // Each byte's bit of the group to its fifth.
            let fifth = moved(fifth, group.saturating_sub(4), 4usize.saturating_sub(group));
            (moved(words, group % 2 * 4, 0), fifth, scale_and_min(blocks, group))
        }
    }

    #[inline(always)]
    unsafe fn number<const I: usize>((words, fifth, [scale, shift]): &Self::Group) -> __m512 {
        // SAFETY: as above.
        unsafe {
            let q = with_bits(nibble32(words, I), nibble32(fifth, I), 16);
            shifted(five_bits::<0>(q), *scale, *shift)
        }
    }
}

pub(super) struct Q6K;
impl Format for Q6K {
    const KIND: QuantType = QuantType::Q6K;
    type Group = ([__m512i; 8], [__m512i; 8], [__m512; 2]);

    #[inline(always)]
    unsafe fn group(blocks: Blocks, group: usize, _: __m512) -> Self::Group {
        let (half, quarter) = (group / 4, group % 4);
        // SAFETY: as above.
        unsafe {
            let words = words32(blocks, 64 * half + quarter % 2 * GROUP);
            let high = words32(blocks, 128 + GROUP * half);
            // Each byte's two bits of the quarter to its fifth and sixth.
            let high = moved(high, (2 * quarter).saturating_sub(4), 4usize.saturating_sub(2 * quarter));
            let d = halves(blocks, 208);
            let both = sixteens(blocks, 192 + 2 * group);
            let first = _mm512_cvtepi16_epi32(_mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(both)));
            let second = _mm512_cvtepi16_epi32(_mm256_srai_epi16::<8>(both));
            let scales = [_mm512_mul_ps(d, _mm512_cvtepi32_ps(first)), _mm512_mul_ps(d, _mm512_cvtepi32_ps(second))];
            (moved(words, quarter / 2 * 4, 0), high, scales)
        }
    }

    #[inline(always)]
    unsafe fn number<const I: usize>((words, high, scales): &Self::Group) -> __m512 {
        // SAFETY: as above.
        unsafe {
            let q = with_bits(nibble32(words, I), nibble32(high, I), 0x30);
            let q = _mm512_cvtepi32_ps(_mm512_and_si512(q, _mm512_set1_epi32(63)));
            // Rounded once, as (q - 32) · scale is: 32 times the scale is exact.
            _mm512_fmsub_ps(q, scales[I / 16], _mm512_mul_ps(scales[I / 16], _mm512_set1_ps(32.0)))
        }
    }
}

pub(super) struct Iq4Nl;
impl Format for Iq4Nl {
    const KIND: QuantType = QuantType::Iq4Nl;
    type Group = ([__m512i; 4], __m512);

    #[inline(always)]
    unsafe fn group(blocks: Blocks, _: usize, _: __m512) -> Self::Group {
        // SAFETY: as above.
        unsafe { (words(blocks, 2), halves(blocks, 0)) }
    }

    #[inline(always)]
    unsafe fn number<const I: usize>((words, scale): &Self::Group) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_mul_ps(looked_up(&IQ4_NL_VALUES, nibble16(words, I)), *scale) }
    }
}

pub(super) struct Nf4;
impl Format for Nf4 {
    const KIND: QuantType = QuantType::Nf4;
    type Group = ([__m512i; 8], __m512);

    #[inline(always)]
    unsafe fn group(blocks: Blocks, group: usize, scales: __m512) -> Self::Group {
        // SAFETY: as above.
        unsafe { (moved(words32(blocks, 1), group * 4, 0), scales) }
    }

    #[inline(always)]
    unsafe fn number<const I: usize>((words, scale): &Self::Group) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_mul_ps(looked_up(&CODE, nibble32(words, I)), *scale) }
    }
}
