//! NF4, 4-bit NormalFloat with double quantisation (QLoRA, Dettmers et al. 2023, sections 3 and appendix E).
//!
//! Blocks of 64 numbers are divided by the largest of them, and each becomes the nearest of 16 values, quantiles of the
//! normal distribution. The blocks' scales, less their mean, are themselves kept in 8 bits, 256 of them to a scale in f32,
//! as the nearest of the 256 values of a dynamic tree (Dettmers 2016, "8-bit approximations for parallelism in deep
//! learning"). Blocks and values are those of bitsandbytes' `quantize_4bit(quant_type="nf4", compress_statistics=True)`;
//! a block's bytes lie here as they are unpacked: its scale, and the 4-bit numbers of its two halves side by side.

use crate::simd::multiversion::multiversion;

/// Numbers of a block, and its bytes.
pub const BLOCK: usize = 64;
pub const BYTES: usize = 1 + BLOCK / 2;
/// Blocks whose scales share one.
pub const SCALES: usize = 256;

/// The 16 values (appendix E).
pub const CODE: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// The 256 values of a scale's 8 bits, from the least to the largest.
pub static ABSMAX_CODE: [f32; 256] = dynamic_tree();

/// For each of seven decades below 1, twice as many values as for the one before, in the middle of equal parts from a tenth of
/// it to all of it; the same below 0; and 0 and 1. Rounded to f32 wherever bitsandbytes' `create_dynamic_map` does.
const fn dynamic_tree() -> [f32; 256] {
    const DECADES: usize = 7;
    const UNITS: [f32; DECADES] = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0];
    let mut values = [0f32; 256];
    let (mut decade, mut at) = (0, 0);
    while decade < DECADES {
        let parts = 1 << decade;
        let mut part = 0;
        while part < parts {
            let middle = (edge(part, parts) + edge(part + 1, parts)) / 2.0;
            // Negative values mirror the positive ones, which are between 0, in the 128th place, and 1, in the last.
            values[128 + at] = UNITS[decade] * middle;
            values[126 - at] = -values[128 + at];
            at += 1;
            part += 1;
        }
        decade += 1;
    }
    values[255] = 1.0;
    values
}

/// Where a part begins, of so many from 0.1 to 1: counted from the nearer end, product and sum rounded once.
const fn edge(part: usize, parts: usize) -> f32 {
    let step = ((1.0 - 0.1f32) / parts as f32) as f64;
    let is_first_half = part < parts.div_ceil(2);
    (if is_first_half { 0.1f32 as f64 + step * part as f64 } else { 1.0 - step * (parts - part) as f64 }) as f32
}

/// Halfway between two of [`CODE`] and the next: what is above becomes that.
const MIDDLES: [f32; 15] = {
    let mut middles = [0.0; 15];
    let mut i = 0;
    while i < 15 {
        middles[i] = f32::midpoint(CODE[i], CODE[i + 1]);
        i += 1;
    }
    middles
};

multiversion! {
    /// The 4-bit numbers of a block; yields the size of its largest.
    pub fn quantise(numbers: &[f32; BLOCK], bytes: &mut [u8; BYTES]) -> f32 {
        let mut largest = 0f32;
        for x in numbers {
            largest = largest.max(x.abs());
        }
        let divisor = if largest == 0.0 { 1.0 } else { largest };
        let mut places = [0u8; BLOCK];
        for middle in MIDDLES {
            for i in 0..BLOCK {
                places[i] += u8::from(numbers[i] / divisor > middle);
            }
        }
        for i in 0..BLOCK / 2 {
            bytes[1 + i] = places[i] | places[BLOCK / 2 + i] << 4;
        }
        largest
    }
}

/// The place of the value nearest to `x`, the lower of two.
pub fn nearest(values: &[f32], x: f32) -> usize {
    let above = values.partition_point(|value| *value < x).min(values.len() - 1);
    let below = above.saturating_sub(1);
    if x - values[below] <= values[above] - x { below } else { above }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_sorted_and_has_the_values_of_bitsandbytes() {
        assert!(ABSMAX_CODE.is_sorted_by(|a, b| a < b));
        // create_dynamic_map() of bitsandbytes 0.45 prints these at these places.
        for (at, value) in
            [(0, -0.992_968_75), (126, -5.5e-7), (127, 0.0), (128, 5.5e-7), (254, 0.992_968_75), (255, 1.0)]
        {
            assert!((ABSMAX_CODE[at] - value).abs() <= 1e-6 * value.abs(), "{at}: {}", ABSMAX_CODE[at]);
        }
    }
}
