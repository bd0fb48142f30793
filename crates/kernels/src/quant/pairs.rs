//! Groups of 16 rows straight into panels of bf16 pairs, by AVX-512: what [`super::unpack`] and then the packing of a right
//! operand do, without plain numbers between.
//!
//! A register holds one number of each of 16 rows, so nothing is transposed but the few bytes of blocks: 16 rows of 16 bytes
//! become four registers of 32 bits a row. Numbers are the same products and sums as there, rounded to the nearest bf16.
//! Those below the smallest normal number, which no scale of a file reaches, become zero, as the products take them.

use std::arch::x86_64::*;

use half::bf16;

use super::nf4::{ABSMAX_CODE, CODE, SCALES};
use super::types::QuantType;
use super::unpack::{GROUP, IQ4_NL_VALUES, Source};

/// Rows of a register.
const ROWS: usize = 16;

/// Whether a format is unpacked here.
pub fn knows(kind: QuantType) -> bool {
    !matches!(kind, QuantType::F16 | QuantType::Q2K | QuantType::Q3K)
}

/// Groups `groups[0]..groups[1]` of `R` rows from `first` on, to `panel`: `[16 pairs of steps][R][2]` for each group, as
/// [`pack_pairs`](crate::gemm) lays them out.
///
/// # Safety
/// The CPU has AVX-512 (F, BW, VL) with products of bf16.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub unsafe fn pack_groups<const R: usize>(of: Source<'_>, first: usize, groups: [usize; 2], panel: &mut [bf16]) {
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
            QuantType::F16 | QuantType::Q2K | QuantType::Q3K => unreachable!("`knows` says so"),
        }
    }
}

/// The same block in 16 rows.
#[derive(Clone, Copy)]
struct Blocks {
    first: *const u8,
    /// Bytes from a row to the next.
    stride: usize,
}

impl Blocks {
    /// Byte `at` of the block of a row.
    #[inline(always)]
    fn byte(self, row: usize, at: usize) -> *const u8 {
        self.first.wrapping_add(row * self.stride + at)
    }
}

/// A format: what of a block's group is kept in registers, and its numbers.
trait Format {
    const GROUPS: usize;
    const BYTES: usize;
    const HAS_SCALED_SCALE: bool = false;
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
                let scales = if F::HAS_SCALED_SCALE {
                    let mut scales = [0f32; ROWS];
                    for (i, scale) in scales.iter_mut().enumerate() {
                        let second = of.scales[((row + i) * of.blocks + number) / SCALES];
                        *scale = ABSMAX_CODE[usize::from(*blocks.byte(i, 0))] * second + of.offset;
                    }
                    _mm512_loadu_ps(scales.as_ptr())
                } else {
                    _mm512_setzero_ps()
                };
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

/// 16 bytes of every fourth row from `row` on, at `at` of its block.
#[inline(always)]
unsafe fn quads(blocks: Blocks, at: usize, row: usize) -> __m512i {
    // SAFETY: the caller's.
    unsafe {
        let one = _mm_loadu_si128(blocks.byte(row, at).cast());
        let two = _mm_loadu_si128(blocks.byte(row + 4, at).cast());
        let three = _mm_loadu_si128(blocks.byte(row + 8, at).cast());
        let four = _mm_loadu_si128(blocks.byte(row + 12, at).cast());
        let low = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(one), two);
        let high = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(three), four);
        _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
    }
}

/// 16 bytes of each row, at `at` of its block, as four registers of 32 bits a row.
#[inline(always)]
unsafe fn words(blocks: Blocks, at: usize) -> [__m512i; 4] {
    // SAFETY: the caller's.
    unsafe {
        let (a, b, c, d) = (quads(blocks, at, 0), quads(blocks, at, 1), quads(blocks, at, 2), quads(blocks, at, 3));
        let (ab, cd) = (_mm512_unpacklo_epi32(a, b), _mm512_unpacklo_epi32(c, d));
        let (ab_high, cd_high) = (_mm512_unpackhi_epi32(a, b), _mm512_unpackhi_epi32(c, d));
        [
            _mm512_unpacklo_epi64(ab, cd),
            _mm512_unpackhi_epi64(ab, cd),
            _mm512_unpacklo_epi64(ab_high, cd_high),
            _mm512_unpackhi_epi64(ab_high, cd_high),
        ]
    }
}

/// 32 bytes of each row.
#[inline(always)]
unsafe fn words32(blocks: Blocks, at: usize) -> [__m512i; 8] {
    // SAFETY: the caller's.
    let ([a, b, c, d], [e, f, g, h]) = unsafe { (words(blocks, at), words(blocks, at + 16)) };
    [a, b, c, d, e, f, g, h]
}

/// 16 bits of each row, at `at` of its block.
#[inline(always)]
unsafe fn sixteens(blocks: Blocks, at: usize) -> __m256i {
    let mut bits = [0u16; ROWS];
    // SAFETY: the caller's.
    unsafe {
        for (row, bits) in bits.iter_mut().enumerate() {
            *bits = blocks.byte(row, at).cast::<u16>().read_unaligned();
        }
        _mm256_loadu_si256(bits.as_ptr().cast())
    }
}

/// 16-bit floating-point numbers of each row, at `at` of its block.
#[inline(always)]
unsafe fn halves(blocks: Blocks, at: usize) -> __m512 {
    // SAFETY: the caller's.
    unsafe { _mm512_cvtph_ps(sixteens(blocks, at)) }
}

/// Each row's 32 bits, moved down by `by`: what lies above the bits that are wanted is left.
#[inline(always)]
unsafe fn down(words: __m512i, by: usize) -> __m512i {
    // SAFETY: the caller's.
    unsafe { _mm512_srlv_epi32(words, _mm512_set1_epi32(by as i32)) }
}

/// All of them moved down by `by`, and then up.
#[inline(always)]
unsafe fn moved<const N: usize>(mut words: [__m512i; N], by: usize, up: usize) -> [__m512i; N] {
    // SAFETY: the caller's.
    unsafe {
        let up = _mm512_set1_epi32(up as i32);
        for words in &mut words {
            *words = _mm512_sllv_epi32(down(*words, by), up);
        }
    }
    words
}

/// `count` bits of each row's 32, from bit `from` on.
#[inline(always)]
unsafe fn bits(words: __m512i, from: usize, count: u32) -> __m512i {
    // SAFETY: the caller's.
    unsafe { _mm512_and_si512(down(words, from), _mm512_set1_epi32((1 << count) - 1)) }
}

/// Number `i` of 32 numbers of 4 bits in 16 bytes, the lower halves and then the upper ones, at the bottom.
#[inline(always)]
unsafe fn nibble16(words: &[__m512i; 4], i: usize) -> __m512i {
    // SAFETY: the caller's.
    unsafe { down(words[i % 16 / 4], i % 4 * 8 + i / 16 * 4) }
}

/// Number `i` of 32 numbers of 4 bits in the lower halves of 32 bytes, at the bottom.
#[inline(always)]
unsafe fn nibble32(words: &[__m512i; 8], i: usize) -> __m512i {
    // SAFETY: the caller's.
    unsafe { down(words[i / 4], i % 4 * 8) }
}

/// The bits of `above` that `mask` has in place of those of `q`.
#[inline(always)]
unsafe fn with_bits(q: __m512i, above: __m512i, mask: i32) -> __m512i {
    // SAFETY: the caller's. The function of three: the mask chooses `above`, else `q`.
    unsafe { _mm512_ternarylogic_epi32::<0xca>(_mm512_set1_epi32(mask), above, q) }
}

/// `values[q]`, by the lowest 4 bits.
#[inline(always)]
unsafe fn looked_up(values: &[f32; 16], q: __m512i) -> __m512 {
    // SAFETY: the caller's.
    unsafe { _mm512_permutexvar_ps(q, _mm512_loadu_ps(values.as_ptr())) }
}

/// `q - zero`, of the lowest 5 bits.
#[inline(always)]
unsafe fn five_bits<const ZERO: i32>(q: __m512i) -> __m512 {
    // SAFETY: the caller's.
    unsafe {
        let [low, high] = [const { counted::<16>(-ZERO) }, const { counted::<16>(16 - ZERO) }];
        _mm512_permutex2var_ps(_mm512_loadu_ps(low.as_ptr()), q, _mm512_loadu_ps(high.as_ptr()))
    }
}

/// Whole numbers from `first` on.
const fn counted<const N: usize>(first: i32) -> [f32; N] {
    let mut values = [0.0; N];
    let mut i = 0;
    while i < N {
        values[i] = (first + i as i32) as f32;
        i += 1;
    }
    values
}

/// From 0 and from -8 on.
const FROM_0: [f32; 16] = counted(0);
const FROM_8_BELOW: [f32; 16] = counted(-8);

/// `q · scale + shift`, rounded twice.
#[inline(always)]
unsafe fn shifted(q: __m512, scale: __m512, shift: __m512) -> __m512 {
    // SAFETY: the caller's.
    unsafe { _mm512_add_ps(_mm512_mul_ps(q, scale), shift) }
}

struct Q8_0;
impl Format for Q8_0 {
    const GROUPS: usize = 1;
    const BYTES: usize = 34;
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

struct Q4_0;
impl Format for Q4_0 {
    const GROUPS: usize = 1;
    const BYTES: usize = 18;
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

struct Q4_1;
impl Format for Q4_1 {
    const GROUPS: usize = 1;
    const BYTES: usize = 20;
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

/// Number `i` of [`nibble16`] with a fifth bit, one of 32, above.
#[inline(always)]
unsafe fn five16(words: &[__m512i; 4], fifth: __m512i, i: usize) -> __m512i {
    // SAFETY: the caller's.
    unsafe {
        let up = _mm512_set1_epi32(4usize.saturating_sub(i) as i32);
        let above = _mm512_sllv_epi32(down(fifth, i.saturating_sub(4)), up);
        with_bits(nibble16(words, i), above, 16)
    }
}

/// 32 bits of each row, at `at` of its block.
#[inline(always)]
unsafe fn word(blocks: Blocks, at: usize) -> __m512i {
    // SAFETY: the caller's.
    unsafe {
        let mut bits = [0u32; ROWS];
        for (row, bits) in bits.iter_mut().enumerate() {
            *bits = blocks.byte(row, at).cast::<u32>().read_unaligned();
        }
        _mm512_loadu_si512(bits.as_ptr().cast())
    }
}

struct Q5_0;
impl Format for Q5_0 {
    const GROUPS: usize = 1;
    const BYTES: usize = 22;
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

struct Q5_1;
impl Format for Q5_1 {
    const GROUPS: usize = 1;
    const BYTES: usize = 24;
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
unsafe fn scale_and_min(blocks: Blocks, group: usize) -> [__m512; 2] {
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
                (_mm512_or_si512(scale, _mm512_slli_epi32::<4>(low)), _mm512_or_si512(min, _mm512_slli_epi32::<4>(high)))
            }
        };
        let min = _mm512_mul_ps(dmin, _mm512_cvtepi32_ps(min));
        [_mm512_mul_ps(d, _mm512_cvtepi32_ps(scale)), _mm512_sub_ps(_mm512_set1_ps(-0.0), min)]
    }
}

struct Q4K;
impl Format for Q4K {
    const GROUPS: usize = 8;
    const BYTES: usize = 144;
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

struct Q5K;
impl Format for Q5K {
    const GROUPS: usize = 8;
    const BYTES: usize = 176;
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

struct Q6K;
impl Format for Q6K {
    const GROUPS: usize = 8;
    const BYTES: usize = 210;
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

struct Iq4Nl;
impl Format for Iq4Nl {
    const GROUPS: usize = 1;
    const BYTES: usize = 18;
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

struct Nf4;
impl Format for Nf4 {
    const GROUPS: usize = 2;
    const BYTES: usize = 33;
    const HAS_SCALED_SCALE: bool = true;
    type Group = ([__m512i; 8], __m512);

    #[inline(always)]
    unsafe fn group(blocks: Blocks, group: usize, scales: __m512) -> Self::Group {
        // SAFETY: as above.
        unsafe {
            (moved(words32(blocks, 1), group * 4, 0), scales)
        }
    }

    #[inline(always)]
    unsafe fn number<const I: usize>((words, scale): &Self::Group) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_mul_ps(looked_up(&CODE, nibble32(words, I)), *scale) }
    }
}
