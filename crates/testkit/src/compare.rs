//! How far apart tensors may be, and why.
//!
//! **f32 against f32 in another order of sums** is compared by its largest difference ([`error`]): each sum is off by a few
//! units of 2⁻²⁴, and a test says how many.
//!
//! **bf16 against f32** is compared as a vector ([`Agreement`]), because single elements may cancel to nothing. bf16 keeps 8
//! bits, so a number is rounded by at most 2⁻⁹ to 2⁻⁸ of itself, and by [`BF16_ROUNDING`] in the root of the mean square. A
//! gradient passes some twenty roundings in each layer on its way forward and back, independent of each other, so their
//! squares add up: `√(20 · layers) · 2⁻⁹`, 0.012 for two layers. A model as ours, in which nothing is normed away, multiplies
//! a rounding by some factor of two to four where scores become probabilities and where sums cancel: [`DISTANCE`] allows four.
//! Rounding has no direction, so it must not scale a gradient or turn it: that is what [`COSINE`] and [`SCALE`] hold, which a
//! wrong factor in a kernel cannot pass.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use candle_core::{DType, Tensor};
use tunebench_spec::Decoder;
use tunebench_spec::decoder::{Activation, NormPlacement};

/// Root of the mean square of what rounding to bf16 takes from a number, relative to it.
pub const BF16_ROUNDING: f64 = 1.0 / 512.0;
/// How far a gradient by bf16 may be from that by f32, relative to its norm.
pub const DISTANCE: f64 = 0.05;
/// The least cosine of the angle between them.
pub const COSINE: f64 = 0.98;
/// What the one may be of the other, along it.
pub const SCALE: RangeInclusive<f64> = 0.97..=1.03;

/// All elements as f32.
pub fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// All elements' bits as f32.
pub fn bits(tensor: &Tensor) -> Vec<u32> {
    flat(tensor).into_iter().map(f32::to_bits).collect()
}

/// Largest difference, relative to the largest expected value (at least 1e-3 of a unit).
pub fn error(found: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(found.dims(), expected.dims());
    let (found, expected) = (flat(found), flat(expected));
    let largest = expected.iter().fold(1e-3, |m, v| f64::from(v.abs()).max(m));
    let apart = found.iter().zip(&expected).map(|(f, e)| f64::from((f - e).abs()));
    apart.fold(0.0, |m, d| if d.is_nan() { f64::INFINITY } else { m.max(d) }) / largest
}

/// Fails unless every tensor of `expected` is in `found`, within the tolerance of its name, and there is no other.
pub fn assert_all_close(
    what: &str,
    found: &BTreeMap<String, Tensor>,
    expected: &BTreeMap<String, Tensor>,
    tolerance: fn(&str) -> f64,
) {
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{what}: names");
    let errors = expected.iter().map(|(name, e)| (error(&found[name], e), name));
    let errors: Vec<_> = errors.filter(|(error, name)| *error > tolerance(name)).collect();
    assert!(errors.is_empty(), "{what}: relative to the largest element off by {errors:?}");
}

/// How one vector is to another, `r`, as which it should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Agreement {
    /// `|g - r| / |r|`.
    pub distance: f64,
    /// `<g, r> / |g| |r|`.
    pub cosine: f64,
    /// `<g, r> / <r, r>`.
    pub scale: f64,
}

impl Agreement {
    pub fn of(found: &Tensor, expected: &Tensor) -> Self {
        assert_eq!(found.dims(), expected.dims());
        let (g, r) = (flat(found), flat(expected));
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let apart: Vec<f32> = g.iter().zip(&r).map(|(g, r)| g - r).collect();
        let (square, along) = (dot(&r, &r), dot(&g, &r));
        Self {
            distance: (dot(&apart, &apart) / square).sqrt(),
            cosine: along / (dot(&g, &g) * square).sqrt(),
            scale: along / square,
        }
    }

    /// Whether the one is the other but for rounding to bf16, which may take `distance` of the norm.
    pub fn is_rounding(self, distance: f64) -> bool {
        self.is_within(distance, &SCALE)
    }

    fn is_within(self, distance: f64, scale: &RangeInclusive<f64>) -> bool {
        self.distance <= distance && self.cosine >= COSINE && scale.contains(&self.scale)
    }
}

/// Fails unless the gradients of a decoder that were `found` in bf16 are those `expected` but for rounding: as [`DISTANCE`] is
/// derived, for the layers that it has and the norms behind their parts. Where ReLU's input is nearly 0 rounding opens or closes
/// it, which smooth activations do not know: 0.13 of the norm has been seen, and 0.044 along it.
pub fn assert_rounded(
    what: &str,
    shape: &Decoder,
    found: &BTreeMap<String, Tensor>,
    expected: &BTreeMap<String, Tensor>,
) {
    let roundings = if shape.norm_placement == NormPlacement::PreAndPost { 24 } else { 20 };
    let smooth = 4.0 * ((roundings * shape.num_hidden_layers) as f64).sqrt() * BF16_ROUNDING;
    let (distance, scale) = match shape.mlp.activation {
        Activation::Relu => (0.2, 0.93..=1.07),
        Activation::Silu | Activation::Gelu | Activation::GeluTanh => (smooth.max(DISTANCE), SCALE),
    };
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{what}: names");
    let all = expected.iter().map(|(name, expected)| (name, Agreement::of(&found[name], expected)));
    let wrong: Vec<_> = all.filter(|(_, agreement)| !agreement.is_within(distance, &scale)).collect();
    assert!(wrong.is_empty(), "{what}: not the reference's but for rounding: {wrong:?}");
}

/// Fails unless training in bf16 moved all values from `begin` to `found` as f32 moves them to `expected`, but for rounding.
///
/// All values are one vector: AdamW divides every element of a gradient by that element's own size, so where one cancels to
/// nothing (the bias of a key, which adds the same to all scores of a query) the sign of a rounding decides where it moves.
/// Of all elements that is a small part, 0.16 of the norm at the most where it was looked at. [`COSINE`] alone allows 0.2.
pub fn assert_moved_alike(
    what: &str,
    begin: &BTreeMap<String, Tensor>,
    found: &BTreeMap<String, Tensor>,
    expected: &BTreeMap<String, Tensor>,
) {
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{what}: names");
    let update = |end: &BTreeMap<String, Tensor>| {
        let updates: Vec<Tensor> =
            end.iter().map(|(name, end)| (end - &begin[name]).unwrap().flatten_all().unwrap()).collect();
        Tensor::cat(&updates, 0).unwrap()
    };
    let agreement = Agreement::of(&update(found), &update(expected));
    assert!(agreement.is_rounding(0.2), "{what}: what was learnt is not the same but for rounding: {agreement:?}");
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use tunebench_spec::random::Stream;

    use super::*;

    fn normal(name: &str) -> Tensor {
        let mut stream = Stream::named(1, name);
        let data: Vec<f32> = (0..64 * 48).map(|_| stream.normal() as f32).collect();
        Tensor::from_vec(data, (64, 48), &Device::Cpu).unwrap()
    }

    fn verdict(found: &Tensor, expected: &Tensor) -> bool {
        Agreement::of(found, expected).is_rounding(DISTANCE)
    }

    #[test]
    fn a_rounded_gradient_passes_and_a_scaled_or_turned_one_does_not() {
        let (right, noise) = (normal("gradient"), normal("noise"));
        assert!(verdict(&right, &right));
        assert!(verdict(&right.to_dtype(DType::BF16).unwrap().to_dtype(DType::F32).unwrap(), &right));
        for factor in [0.9, 0.96, 1.04, 1.1, -1.0, 0.0, f64::NAN] {
            assert!(!verdict(&(&right * factor).unwrap(), &right), "a factor of {factor}");
        }
        let turned = |by: f64| (&right + (&noise * by).unwrap()).unwrap();
        assert!(verdict(&turned(0.03), &right) && !verdict(&turned(0.3), &right));
        let swapped = right.t().unwrap().contiguous().unwrap().reshape((64, 48)).unwrap();
        assert!(!verdict(&swapped, &right));
    }

    /// Each of the three alone finds something: a distance that allows anything leaves direction and length.
    #[test]
    fn neither_a_factor_nor_a_turn_is_hidden_by_a_wide_distance() {
        let (right, noise) = (normal("gradient"), normal("noise"));
        let agreement = |found: Tensor| Agreement::of(&found, &right);
        let scaled = agreement((&right * 0.9).unwrap());
        assert!(!scaled.is_rounding(f64::INFINITY) && scaled.cosine > 0.9999, "{scaled:?}");
        let turned = agreement((&right + (&noise * 0.3).unwrap()).unwrap());
        assert!(!turned.is_rounding(f64::INFINITY) && SCALE.contains(&turned.scale), "{turned:?}");
    }

    #[test]
    fn rounding_to_bf16_takes_what_is_said() {
        let right = normal("gradient");
        let rounded = right.to_dtype(DType::BF16).unwrap().to_dtype(DType::F32).unwrap();
        let distance = Agreement::of(&rounded, &right).distance;
        assert!((0.5 * BF16_ROUNDING..BF16_ROUNDING).contains(&distance), "{distance}");
    }
}
