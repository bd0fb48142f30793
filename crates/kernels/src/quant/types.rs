//! The formats of quantised weights: names, and sizes of blocks.

use super::nf4;

/// How numbers are kept. All but [`QuantType::Nf4`] are GGML's, byte by byte (ggml-quants.c).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QuantType {
    /// IEEE 754's 16 bits: no block, but held and unpacked as one of 32.
    F16,
    Q8_0,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q2K,
    Q3K,
    Q4K,
    Q5K,
    Q6K,
    Iq4Nl,
    /// 4-bit NormalFloat, 64 numbers a block, whose scales are kept in 8 bits (QLoRA, Dettmers et al. 2023).
    Nf4,
}

impl QuantType {
    pub const ALL: [Self; 13] = [
        Self::F16,
        Self::Q8_0,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q2K,
        Self::Q3K,
        Self::Q4K,
        Self::Q5K,
        Self::Q6K,
        Self::Iq4Nl,
        Self::Nf4,
    ];

    /// As llama.cpp spells it, and bitsandbytes for NF4.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F16 => "F16",
            Self::Q8_0 => "Q8_0",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q2K => "Q2_K",
            Self::Q3K => "Q3_K",
            Self::Q4K => "Q4_K",
            Self::Q5K => "Q5_K",
            Self::Q6K => "Q6_K",
            Self::Iq4Nl => "IQ4_NL",
            Self::Nf4 => "NF4",
        }
    }

    /// Numbers of a block.
    pub const fn elements(self) -> usize {
        match self {
            Self::Q2K | Self::Q3K | Self::Q4K | Self::Q5K | Self::Q6K => 256,
            Self::Nf4 => nf4::BLOCK,
            _ => 32,
        }
    }

    /// Bytes of a block.
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::F16 => 64,
            Self::Q8_0 => 34,
            Self::Q4_0 | Self::Iq4Nl => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q2K => 84,
            Self::Q3K => 110,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
            Self::Nf4 => nf4::BYTES,
        }
    }

    /// Whether a block begins with its scale in 8 bits, and many scales share one of their own.
    pub const fn has_scaled_scale(self) -> bool {
        matches!(self, Self::Nf4)
    }

    /// Bytes of a matrix `[rows, cols]`; none where a row is not a number of whole blocks.
    pub fn bytes(self, rows: usize, cols: usize) -> Option<usize> {
        let blocks = cols.is_multiple_of(self.elements()).then(|| rows.checked_mul(cols / self.elements()))??;
        let second = if self.has_scaled_scale() { blocks.div_ceil(nf4::SCALES) * size_of::<f32>() } else { 0 };
        blocks.checked_mul(self.block_bytes())?.checked_add(second)
    }
}
