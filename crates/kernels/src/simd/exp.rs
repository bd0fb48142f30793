//! The exponential function, without a branch, so that loops over it become vector instructions.

/// `e^x`, to 2e-7 of its value; infinity above what f32 holds, NaN for NaN. Below the smallest normal number it
/// is 0: subnormal numbers would slow down whatever computes with them.
///
/// `x = n ln 2 + r` with `|r| <= ln 2 / 2`; `e^r` by the polynomial of Cephes' `expf` (Moshier 1989). No fused
/// multiply-add: `ln 2` is split so that `n` times its upper part is exact.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    /// Adding it leaves the nearest integer in the lowest bits; its own lowest nine bits are zero.
    const ROUND: f32 = 12_582_912.0; // 1.5 · 2^23
    const LN2_HIGH: f32 = 355.0 / 512.0;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    /// The numbers whose result is normal lie between, both included.
    const LOWEST: f32 = -87.336_54;
    const HIGHEST: f32 = 88.722_83;
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    let mut p = 1.987_569_1e-4;
    for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = p * r + c;
    }
    let p = p * (r * r) + r + 1.0;
    // Times 2^n, by the exponent's bits. Outside of the two numbers they mean nothing.
    let power = f32::from_bits(p.to_bits().wrapping_add(rounded.to_bits() << 23));
    let power = if x < LOWEST { 0.0 } else { power };
    // NaN is not below either.
    if x <= HIGHEST { power } else { x + f32::INFINITY }
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The hyperbolic tangent, to 2e-7 of its value; NaN for NaN. Near 0 by the polynomial of Cephes' `tanhf` (Moshier 1989),
/// beyond by the exponential, where little cancels.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    const NEAR: f32 = 0.625;
    let (size, square) = (x.abs(), x * x);
    #[allow(clippy::excessive_precision)] // as Cephes prints them
    let (mut p, rest) = (-5.704_988_7e-3, [2.063_908_9e-2, -5.373_971_6e-2, 1.333_144_2e-1, -3.333_328_2e-1]);
    for c in rest {
        p = p * square + c;
    }
    let near = x + x * square * p;
    let far = (1.0 - 2.0 / (exp(2.0 * size) + 1.0)).copysign(x);
    if size < NEAR { near } else { far }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_right_over_all_floats() {
        let edges = [-87.336_54f32, 88.722_83, 1.0].map(f32::to_bits).into_iter();
        for bits in (0..=u32::MAX).step_by(1009).chain(edges.flat_map(|bits| bits - 3..bits + 4)) {
            let x = f32::from_bits(bits);
            let (found, right) = (exp(x), f64::from(x).exp());
            if x.is_nan() {
                assert!(found.is_nan());
            } else if right > f64::from(f32::MAX) {
                assert_eq!(found, f32::INFINITY, "{x}");
            } else if right < f64::from(f32::MIN_POSITIVE) {
                assert_eq!(found, 0.0, "{x}");
            } else {
                assert!((f64::from(found) - right).abs() <= 2e-7 * right, "{x}: {found}, not {right}");
            }
        }
        assert_eq!([exp(0.0), exp(f32::NEG_INFINITY), exp(f32::INFINITY)], [1.0, 0.0, f32::INFINITY]);
    }

    #[test]
    fn tanh_is_right_over_all_floats() {
        let edges = [0.625f32, -0.625, 9.0, 0.0].map(f32::to_bits).into_iter();
        for bits in (0..=u32::MAX).step_by(1009).chain(edges.flat_map(|bits| bits.saturating_sub(3)..bits + 4)) {
            let x = f32::from_bits(bits);
            let (found, right) = (tanh(x), f64::from(x).tanh());
            if x.is_nan() {
                assert!(found.is_nan());
            } else {
                assert!((f64::from(found) - right).abs() <= 2e-7 * right.abs(), "{x}: {found}, not {right}");
            }
        }
    }

    #[test]
    fn sigmoid_stays_within_0_and_1() {
        assert_eq!([-200.0, 0.0, 200.0].map(sigmoid), [0.0, 0.5, 1.0]);
        assert!(sigmoid(f32::NAN).is_nan());
    }
}
