//! Blocks to numbers, 32 at a time: what each format means, in the arithmetic of llama.cpp's `dequantize_row_*`.
//!
//! Plain Rust that the compiler turns into vector instructions for each level: products, sums and rounding are the same on
//! all of them, so a weight is the same bytes everywhere.

use super::nf4::{ABSMAX_CODE, CODE, SCALES};
use super::types::QuantType;
use crate::Element;
use crate::simd::multiversion::multiversion;

/// Numbers that are unpacked together, side by side in a row. Blocks of all formats are whole groups.
pub(crate) const GROUP: usize = 32;

/// What the numbers of IQ4_NL stand for: `kvalues_iq4nl` of ggml-common.h.
pub(super) const IQ4_NL_VALUES: [f32; 16] =
    [-127.0, -104.0, -83.0, -65.0, -49.0, -35.0, -22.0, -10.0, 1.0, 13.0, 25.0, 38.0, 53.0, 69.0, 89.0, 113.0];

/// Which rows, and which groups of them.
#[derive(Clone, Copy)]
pub(crate) struct Piece {
    pub rows: [usize; 2],
    pub groups: [usize; 2],
}

/// A quantised matrix in memory.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub kind: QuantType,
    pub data: &'a [u8],
    /// Of a row.
    pub blocks: usize,
    pub scales: &'a [f32],
    pub offset: f32,
}

impl Source<'_> {
    /// The scale of block number `block` of the matrix, whose 8 bits these are.
    #[inline(always)]
    pub fn block_scale(&self, block: usize, bits: u8) -> f32 {
        ABSMAX_CODE[usize::from(bits)] * self.scales[block / SCALES] + self.offset
    }
}

/// A format, with the sizes that its type has: groups and bytes of a block.
trait Format {
    const KIND: QuantType;
    const GROUPS: usize = Self::KIND.elements() / GROUP;
    const BYTES: usize = Self::KIND.block_bytes();

    /// The numbers of a group; `scale` is that of the block, where it is not in the block itself.
    fn group(block: &[u8], group: usize, scale: f32) -> [f32; GROUP];
}

multiversion! {
    /// A piece of a matrix, to rows of `out` that are `stride` apart.
    pub(super) fn unpack_rows<E>(of: Source<'_>, piece: Piece, out: &mut [E], stride: usize) {
        match of.kind {
            QuantType::F16 => rows::<F16, E>(of, piece, out, stride),
            QuantType::Q8_0 => rows::<Q8_0, E>(of, piece, out, stride),
            QuantType::Q4_0 => rows::<Q4_0, E>(of, piece, out, stride),
            QuantType::Q4_1 => rows::<Q4_1, E>(of, piece, out, stride),
            QuantType::Q5_0 => rows::<Q5_0, E>(of, piece, out, stride),
            QuantType::Q5_1 => rows::<Q5_1, E>(of, piece, out, stride),
            QuantType::Q2K => rows::<Q2K, E>(of, piece, out, stride),
            QuantType::Q3K => rows::<Q3K, E>(of, piece, out, stride),
            QuantType::Q4K => rows::<Q4K, E>(of, piece, out, stride),
            QuantType::Q5K => rows::<Q5K, E>(of, piece, out, stride),
            QuantType::Q6K => rows::<Q6K, E>(of, piece, out, stride),
            QuantType::Iq4Nl => rows::<Iq4Nl, E>(of, piece, out, stride),
            QuantType::Nf4 => rows::<Nf4, E>(of, piece, out, stride),
        }
    }
}

#[inline(always)]
fn rows<F: Format, E: Element>(of: Source<'_>, Piece { rows, groups }: Piece, out: &mut [E], stride: usize) {
    for (row, out) in (rows[0]..rows[1]).zip(out.chunks_mut(stride)) {
        let first = row * of.blocks;
        let data = &of.data[first * F::BYTES..][..of.blocks * F::BYTES];
        for (group, out) in (groups[0]..groups[1]).zip(out.as_chunks_mut::<GROUP>().0) {
            let number = group / F::GROUPS;
            let block = &data[number * F::BYTES..][..F::BYTES];
            let scale = if F::KIND.has_scaled_scale() { of.block_scale(first + number, block[0]) } else { 0.0 };
            let numbers = F::group(block, group % F::GROUPS, scale);
            for i in 0..GROUP {
                out[i] = E::from_f32(numbers[i]);
            }
        }
    }
}

/// The number that 16 bits of IEEE 754 are, without a branch.
#[inline(always)]
fn from_f16(bits: u16) -> f32 {
    /// What the exponent is too small by when its bits are taken for f32's: 2^(127 - 15).
    const REBIAS: f32 = f32::from_bits((127 + 127 - 15) << 23);
    let magnitude = f32::from_bits(u32::from(bits & 0x7fff) << 13) * REBIAS;
    let endless = if bits & 0x7c00 == 0x7c00 { 0x7f80_0000 } else { 0 };
    f32::from_bits(magnitude.to_bits() | endless | u32::from(bits & 0x8000) << 16)
}

#[inline(always)]
fn f16_at(block: &[u8], at: usize) -> f32 {
    from_f16(u16::from_le_bytes([block[at], block[at + 1]]))
}

/// The 4-bit numbers of 16 bytes: the lower halves, then the upper ones.
#[inline(always)]
fn nibbles16(bytes: &[u8]) -> [u8; GROUP] {
    let mut out = [0; GROUP];
    let bytes: &[u8; 16] = bytes.first_chunk().unwrap_or(&[0; 16]);
    for i in 0..16 {
        out[i] = bytes[i] & 15;
        out[16 + i] = bytes[i] >> 4;
    }
    out
}

/// The lower halves of 32 bytes, or the upper ones.
#[inline(always)]
fn nibbles32(bytes: &[u8], upper: bool) -> [u8; GROUP] {
    let shift = if upper { 4 } else { 0 };
    let mut out = [0; GROUP];
    let bytes: &[u8; GROUP] = bytes.first_chunk().unwrap_or(&[0; GROUP]);
    for i in 0..GROUP {
        out[i] = (bytes[i] >> shift) & 15;
    }
    out
}

/// `(q - zero) · scale`.
#[inline(always)]
fn scaled(q: &[u8; GROUP], zero: i32, scale: f32) -> [f32; GROUP] {
    let mut out = [0.0; GROUP];
    for i in 0..GROUP {
        out[i] = (i32::from(q[i]) - zero) as f32 * scale;
    }
    out
}

/// `q · scale + shift`.
#[inline(always)]
fn shifted(q: &[u8; GROUP], scale: f32, shift: f32) -> [f32; GROUP] {
    let mut out = [0.0; GROUP];
    for i in 0..GROUP {
        out[i] = f32::from(q[i]) * scale + shift;
    }
    out
}

/// The fifth bits of a block's numbers, in place.
#[inline(always)]
fn fifth_bits(block: &[u8], at: usize) -> [u8; GROUP] {
    let bits = u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
    let mut out = [0; GROUP];
    for (i, out) in out.iter_mut().enumerate() {
        *out = ((bits >> i & 1) as u8) << 4;
    }
    out
}

#[inline(always)]
fn joined(mut low: [u8; GROUP], high: [u8; GROUP]) -> [u8; GROUP] {
    for i in 0..GROUP {
        low[i] |= high[i];
    }
    low
}

struct F16;
impl Format for F16 {
    const KIND: QuantType = QuantType::F16;

    #[inline(always)]
    fn group(block: &[u8], _: usize, _: f32) -> [f32; GROUP] {
        let mut out = [0.0; GROUP];
        for (out, bytes) in out.iter_mut().zip(block.as_chunks::<2>().0) {
            *out = from_f16(u16::from_le_bytes(*bytes));
        }
        out
    }
}

/// A scale, and 32 signed bytes.
struct Q8_0;
impl Format for Q8_0 {
    const KIND: QuantType = QuantType::Q8_0;

    #[inline(always)]
    fn group(block: &[u8], _: usize, _: f32) -> [f32; GROUP] {
        let scale = f16_at(block, 0);
        let mut out = [0.0; GROUP];
        for (out, byte) in out.iter_mut().zip(&block[2..]) {
            *out = f32::from(byte.cast_signed()) * scale;
        }
        out
    }
}

/// A scale, and 32 numbers of 4 bits from -8 on.
struct Q4_0;
impl Format for Q4_0 {
    const KIND: QuantType = QuantType::Q4_0;

    #[inline(always)]
    fn group(block: &[u8], _: usize, _: f32) -> [f32; GROUP] {
        scaled(&nibbles16(&block[2..]), 8, f16_at(block, 0))
    }
}

/// A scale, the least number, and 32 numbers of 4 bits.
struct Q4_1;
impl Format for Q4_1 {
    const KIND: QuantType = QuantType::Q4_1;

    #[inline(always)]
    fn group(block: &[u8], _: usize, _: f32) -> [f32; GROUP] {
        shifted(&nibbles16(&block[4..]), f16_at(block, 0), f16_at(block, 2))
    }
}

/// [`Q4_0`] with a fifth bit each.
struct Q5_0;
impl Format for Q5_0 {
    const KIND: QuantType = QuantType::Q5_0;

    #[inline(always)]
    fn group(block: &[u8], _: usize, _: f32) -> [f32; GROUP] {
        scaled(&joined(nibbles16(&block[6..]), fifth_bits(block, 2)), 16, f16_at(block, 0))
    }
}

/// [`Q4_1`] with a fifth bit each.
struct Q5_1;
impl Format for Q5_1 {
    const KIND: QuantType = QuantType::Q5_1;

    #[inline(always)]
    fn group(block: &[u8], _: usize, _: f32) -> [f32; GROUP] {
        shifted(&joined(nibbles16(&block[8..]), fifth_bits(block, 4)), f16_at(block, 0), f16_at(block, 2))
    }
}

/// Scale and least number of a group of Q4_K and Q5_K, 6 bits each, in 12 bytes.
#[inline(always)]
fn scale_and_min(scales: &[u8], group: usize) -> [f32; 2] {
    let s = |i: usize| scales[i];
    let [scale, min] = match group {
        0..4 => [s(group) & 63, s(group + 4) & 63],
        _ => [s(group + 4) & 15 | s(group - 4) >> 6 << 4, s(group + 4) >> 4 | s(group) >> 6 << 4],
    };
    [f32::from(scale), f32::from(min)]
}

/// Scales of halves of a group in 4 bits, and least numbers in as many; 2 bits a number; the scale and the least of all.
struct Q2K;
impl Format for Q2K {
    const KIND: QuantType = QuantType::Q2K;

    #[inline(always)]
    fn group(block: &[u8], group: usize, _: f32) -> [f32; GROUP] {
        let (d, dmin) = (f16_at(block, 80), f16_at(block, 82));
        let (bytes, shift) = (&block[16 + group / 4 * GROUP..][..GROUP], 2 * (group % 4));
        let mut out = [0.0; GROUP];
        for half in 0..2 {
            let scale = block[2 * group + half];
            let (dl, ml) = (d * f32::from(scale & 15), dmin * f32::from(scale >> 4));
            for i in 16 * half..16 * half + 16 {
                out[i] = dl * f32::from(bytes[i] >> shift & 3) - ml;
            }
        }
        out
    }
}

/// 2 bits a number and a third elsewhere; scales of halves of a group in 6 bits; the scale of all.
struct Q3K;
impl Format for Q3K {
    const KIND: QuantType = QuantType::Q3K;

    #[inline(always)]
    fn group(block: &[u8], group: usize, _: f32) -> [f32; GROUP] {
        let d = f16_at(block, 108);
        let (bytes, shift) = (&block[32 + group / 4 * GROUP..][..GROUP], 2 * (group % 4));
        let scales = &block[96..108];
        let mut out = [0.0; GROUP];
        for half in 0..2 {
            let j = 2 * group + half;
            let low = if j < 8 { scales[j] & 15 } else { scales[j - 8] >> 4 };
            let scale = i32::from(low | (scales[8 + j % 4] >> (2 * (j / 4)) & 3) << 4) - 32;
            let dl = d * scale as f32;
            for i in 16 * half..16 * half + 16 {
                let missing = if block[i] >> group & 1 == 0 { 4 } else { 0 };
                out[i] = dl * (i32::from(bytes[i] >> shift & 3) - missing) as f32;
            }
        }
        out
    }
}

/// Scale and least number of all, of each group in 6 bits, and 4 bits a number.
struct Q4K;
impl Format for Q4K {
    const KIND: QuantType = QuantType::Q4K;

    #[inline(always)]
    fn group(block: &[u8], group: usize, _: f32) -> [f32; GROUP] {
        let [scale, min] = scale_and_min(&block[4..16], group);
        let q = nibbles32(&block[16 + group / 2 * GROUP..][..GROUP], group % 2 == 1);
        shifted(&q, f16_at(block, 0) * scale, -(f16_at(block, 2) * min))
    }
}

/// [`Q4K`] with a fifth bit each.
struct Q5K;
impl Format for Q5K {
    const KIND: QuantType = QuantType::Q5K;

    #[inline(always)]
    fn group(block: &[u8], group: usize, _: f32) -> [f32; GROUP] {
        let [scale, min] = scale_and_min(&block[4..16], group);
        let mut q = nibbles32(&block[48 + group / 2 * GROUP..][..GROUP], group % 2 == 1);
        let high = &block[16..16 + GROUP];
        for i in 0..GROUP {
            q[i] |= (high[i] >> group & 1) << 4;
        }
        shifted(&q, f16_at(block, 0) * scale, -(f16_at(block, 2) * min))
    }
}

/// 4 bits a number and two elsewhere; scales of halves of a group in 8 bits; the scale of all.
struct Q6K;
impl Format for Q6K {
    const KIND: QuantType = QuantType::Q6K;

    #[inline(always)]
    fn group(block: &[u8], group: usize, _: f32) -> [f32; GROUP] {
        let (half, quarter) = (group / 4, group % 4);
        let mut q = nibbles32(&block[64 * half + quarter % 2 * GROUP..][..GROUP], quarter >= 2);
        let high = &block[128 + GROUP * half..][..GROUP];
        for i in 0..GROUP {
            q[i] |= (high[i] >> (2 * quarter) & 3) << 4;
        }
        let d = f16_at(block, 208);
        let scales: [f32; 2] = std::array::from_fn(|i| d * f32::from(block[192 + 2 * group + i].cast_signed()));
        let mut out = [0.0; GROUP];
        for i in 0..GROUP {
            out[i] = scales[i / 16] * (i32::from(q[i]) - 32) as f32;
        }
        out
    }
}

/// A scale, and 32 numbers of 4 bits that stand for values of a table.
struct Iq4Nl;
impl Format for Iq4Nl {
    const KIND: QuantType = QuantType::Iq4Nl;

    #[inline(always)]
    fn group(block: &[u8], _: usize, _: f32) -> [f32; GROUP] {
        looked_up(&IQ4_NL_VALUES, &nibbles16(&block[2..]), f16_at(block, 0))
    }
}

/// A scale in 8 bits, and 64 numbers of 4 bits that stand for values of a table: those of the first group in the lower
/// halves of bytes.
struct Nf4;
impl Format for Nf4 {
    const KIND: QuantType = QuantType::Nf4;

    #[inline(always)]
    fn group(block: &[u8], group: usize, scale: f32) -> [f32; GROUP] {
        looked_up(&CODE, &nibbles32(&block[1..], group == 1), scale)
    }
}

/// `table[q] · scale`.
#[inline(always)]
fn looked_up(table: &[f32; 16], q: &[u8; GROUP], scale: f32) -> [f32; GROUP] {
    let mut scaled = [0.0; 16];
    for i in 0..16 {
        scaled[i] = table[i] * scale;
    }
    let mut out = [0.0; GROUP];
    for i in 0..GROUP {
        out[i] = scaled[usize::from(q[i] & 15)];
    }
    out
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::from_f16;

    #[test]
    fn every_f16_is_its_number() {
        for bits in 0..=u16::MAX {
            let (ours, theirs) = (from_f16(bits), f16::from_bits(bits).to_f32());
            assert!(ours.to_bits() == theirs.to_bits() || ours.is_nan() && theirs.is_nan(), "{bits:04x}");
        }
    }
}
