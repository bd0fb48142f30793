//! Bytes of 16 rows' blocks in registers of 32 bits a row, and the numbers in them.

use std::arch::x86_64::*;

/// Rows of a register.
pub(super) const ROWS: usize = 16;

/// The same block in 16 rows.
#[derive(Clone, Copy)]
pub(super) struct Blocks {
    pub first: *const u8,
    /// Bytes from a row to the next.
    pub stride: usize,
}

impl Blocks {
    /// Byte `at` of the block of a row.
    #[inline(always)]
    pub fn byte(self, row: usize, at: usize) -> *const u8 {
        self.first.wrapping_add(row * self.stride + at)
    }
}

/// 16 bytes of every fourth row from `row` on, at `at` of its block.
#[inline(always)]
pub(super) unsafe fn quads(blocks: Blocks, at: usize, row: usize) -> __m512i {
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
pub(super) unsafe fn words(blocks: Blocks, at: usize) -> [__m512i; 4] {
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
pub(super) unsafe fn words32(blocks: Blocks, at: usize) -> [__m512i; 8] {
    // SAFETY: the caller's.
    let ([a, b, c, d], [e, f, g, h]) = unsafe { (words(blocks, at), words(blocks, at + 16)) };
    [a, b, c, d, e, f, g, h]
}

/// 16 bits of each row, at `at` of its block.
#[inline(always)]
pub(super) unsafe fn sixteens(blocks: Blocks, at: usize) -> __m256i {
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
pub(super) unsafe fn halves(blocks: Blocks, at: usize) -> __m512 {
    // SAFETY: the caller's.
    unsafe { _mm512_cvtph_ps(sixteens(blocks, at)) }
}

/// Each row's 32 bits, moved down by `by`: what lies above the bits that are wanted is left.
#[inline(always)]
pub(super) unsafe fn down(words: __m512i, by: usize) -> __m512i {
    // SAFETY: the caller's.
    unsafe { _mm512_srlv_epi32(words, _mm512_set1_epi32(by as i32)) }
}

/// All of them moved down by `by`, and then up.
#[inline(always)]
pub(super) unsafe fn moved<const N: usize>(mut words: [__m512i; N], by: usize, up: usize) -> [__m512i; N] {
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
pub(super) unsafe fn bits(words: __m512i, from: usize, count: u32) -> __m512i {
    // SAFETY: the caller's.
    unsafe { _mm512_and_si512(down(words, from), _mm512_set1_epi32((1 << count) - 1)) }
}

/// Number `i` of 32 numbers of 4 bits in 16 bytes, the lower halves and then the upper ones, at the bottom.
#[inline(always)]
pub(super) unsafe fn nibble16(words: &[__m512i; 4], i: usize) -> __m512i {
    // SAFETY: the caller's.
    unsafe { down(words[i % 16 / 4], i % 4 * 8 + i / 16 * 4) }
}

/// Number `i` of 32 numbers of 4 bits in the lower halves of 32 bytes, at the bottom.
#[inline(always)]
pub(super) unsafe fn nibble32(words: &[__m512i; 8], i: usize) -> __m512i {
    // SAFETY: the caller's.
    unsafe { down(words[i / 4], i % 4 * 8) }
}

/// The bits of `above` that `mask` has in place of those of `q`.
#[inline(always)]
pub(super) unsafe fn with_bits(q: __m512i, above: __m512i, mask: i32) -> __m512i {
    // SAFETY: the caller's. The function of three: the mask chooses `above`, else `q`.
    unsafe { _mm512_ternarylogic_epi32::<0xca>(_mm512_set1_epi32(mask), above, q) }
}

/// `values[q]`, by the lowest 4 bits.
#[inline(always)]
pub(super) unsafe fn looked_up(values: &[f32; 16], q: __m512i) -> __m512 {
    // SAFETY: the caller's.
    unsafe { _mm512_permutexvar_ps(q, _mm512_loadu_ps(values.as_ptr())) }
}

/// `q - zero`, of the lowest 5 bits.
#[inline(always)]
pub(super) unsafe fn five_bits<const ZERO: i32>(q: __m512i) -> __m512 {
    // SAFETY: the caller's.
    unsafe {
        let [low, high] = [const { counted::<16>(-ZERO) }, const { counted::<16>(16 - ZERO) }];
        _mm512_permutex2var_ps(_mm512_loadu_ps(low.as_ptr()), q, _mm512_loadu_ps(high.as_ptr()))
    }
}

/// Whole numbers from `first` on.
pub(super) const fn counted<const N: usize>(first: i32) -> [f32; N] {
    let mut values = [0.0; N];
    let mut i = 0;
    while i < N {
        values[i] = (first + i as i32) as f32;
        i += 1;
    }
    values
}

/// From 0 and from -8 on.
pub(super) const FROM_0: [f32; 16] = counted(0);
pub(super) const FROM_8_BELOW: [f32; 16] = counted(-8);

/// `q · scale + shift`, rounded twice.
#[inline(always)]
pub(super) unsafe fn shifted(q: __m512, scale: __m512, shift: __m512) -> __m512 {
    // SAFETY: the caller's.
    unsafe { _mm512_add_ps(_mm512_mul_ps(q, scale), shift) }
}

/// Number `i` of [`nibble16`] with a fifth bit, one of 32, above.
#[inline(always)]
pub(super) unsafe fn five16(words: &[__m512i; 4], fifth: __m512i, i: usize) -> __m512i {
    // SAFETY: the caller's.
    unsafe {
        let up = _mm512_set1_epi32(4usize.saturating_sub(i) as i32);
        let above = _mm512_sllv_epi32(down(fifth, i.saturating_sub(4)), up);
        with_bits(nibble16(words, i), above, 16)
    }
}

/// 32 bits of each row, at `at` of its block.
#[inline(always)]
pub(super) unsafe fn word(blocks: Blocks, at: usize) -> __m512i {
    // SAFETY: the caller's.
    unsafe {
        let mut bits = [0u32; ROWS];
        for (row, bits) in bits.iter_mut().enumerate() {
            *bits = blocks.byte(row, at).cast::<u32>().read_unaligned();
        }
        _mm512_loadu_si512(bits.as_ptr().cast())
    }
}
