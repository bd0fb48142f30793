//! The elementwise work of attention on a tile of scores: `[keys, queries]`, a query a lane.

use super::score_tile::{OnlineSoftmax, ScoreTile};
use crate::simd::lanes::total;
use crate::simd::multiversion::{LANES, multiversion};

/// Lanes of a group of queries that is worked on in registers.
const GROUP: usize = 16;

/// The polynomial of degree 5 with the least relative error, 7.5e-8, from `2^x` for `x` in `-1/2..=1/2`; the highest
/// power first.
pub const EXP2: [f32; 6] = [0.001_327_647_2, 0.009_675_541, 0.055_507_133, 0.240_221_2, 0.693_146_97, 1.000_000_1];

/// `2^x` with a relative error below 3e-7 while `|x| < 2`; beyond, the rounding of `x` itself is larger. Not below
/// `2^-126`; NaN stays NaN.
#[inline(always)]
fn exp2(x: f32) -> f32 {
    // Adding 1.5 * 2^23 rounds to a whole number, which then stands in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let x = if -126.0 > x { -126.0 } else { x };
    let shifted = x + ROUND;
    let f = x - (shifted - ROUND);
    let p = EXP2[1..].iter().fold(EXP2[0], |p, factor| p * f + factor);
    f32::from_bits(p.to_bits().wrapping_add(shifted.to_bits() << 23))
}

multiversion! {
    /// Scores to probabilities, not yet divided by their sum, in place. Those of keys that a query does not see become
    /// 0.
    pub fn online_softmax(width: usize, scores: &mut [f32], tile: ScoreTile, state: OnlineSoftmax<'_>) {
        match (width, tile.outside_window(width) > 0) {
            (8, false) => online_softmax_groups::<8, false>(width, scores, tile, state),
            (8, true) => online_softmax_groups::<8, true>(width, scores, tile, state),
            (_, false) => online_softmax_groups::<GROUP, false>(width, scores, tile, state),
            (_, true) => online_softmax_groups::<GROUP, true>(width, scores, tile, state),
        }
    }
}

/// `WINDOWED` where a window ends within the tile.
#[inline(always)]
fn online_softmax_groups<const W: usize, const WINDOWED: bool>(
    width: usize,
    scores: &mut [f32],
    tile: ScoreTile,
    state: OnlineSoftmax<'_>,
) {
    let factor = tile.factor;
    for at in (0..width).step_by(W) {
        let rows = scores.chunks_exact_mut(width).map(|row| lanes_mut::<W>(row, at));
        let (max, sum) = (lanes_mut::<W>(state.max, at), lanes_mut::<W>(state.sum, at));
        let rescale = lanes_mut::<W>(state.rescale, at);
        let mut top = *max;
        for (r, row) in rows.enumerate() {
            let [from, to] = lanes_that_see(tile, at, r);
            for l in 0..W {
                let is_seen = l as i32 >= from && (!WINDOWED || (l as i32) < to);
                let x = if is_seen { row[l] } else { f32::NEG_INFINITY };
                top[l] = if x > top[l] { x } else { top[l] };
            }
        }
        for l in 0..W {
            let shrink = exp2((max[l] - top[l]) * factor);
            // A query that has seen no key has no largest score, and nothing to rescale.
            rescale[l] = if WINDOWED && top[l] == f32::NEG_INFINITY { 1.0 } else { shrink };
        }
        *max = top;
        let base = top.map(|x| x * factor);
        let mut added = [0f32; W];
        for (r, row) in scores.chunks_exact_mut(width).map(|row| lanes_mut::<W>(row, at)).enumerate() {
            let [from, to] = lanes_that_see(tile, at, r);
            for l in 0..W {
                let p = exp2(row[l] * factor - base[l]);
                let is_seen = l as i32 >= from && (!WINDOWED || (l as i32) < to);
                let p = if is_seen { p } else { 0.0 };
                added[l] += p;
                row[l] = p;
            }
        }
        for l in 0..W {
            sum[l] = sum[l] * rescale[l] + added[l];
        }
    }
}

multiversion! {
    /// Scores to probabilities `p` in place, and gradients of probabilities to those of scaled scores,
    /// `p (gradient - delta)`, in place. `lse`: log-sum-exp of each query, base 2; the rest as in [`online_softmax`].
    pub fn softmax_backward(
        width: usize,
        scores: &mut [f32],
        gradients: &mut [f32],
        tile: ScoreTile,
        lse: &[f32],
        delta: &[f32],
    ) {
        match (width, tile.outside_window(width) > 0) {
            (8, false) => softmax_backward_groups::<8, false>(width, scores, gradients, tile, lse, delta),
            (8, true) => softmax_backward_groups::<8, true>(width, scores, gradients, tile, lse, delta),
            (_, false) => softmax_backward_groups::<GROUP, false>(width, scores, gradients, tile, lse, delta),
            (_, true) => softmax_backward_groups::<GROUP, true>(width, scores, gradients, tile, lse, delta),
        }
    }
}

/// The lanes `from..to` of the group that begins with lane `at` see key `r`; both may lie outside the group. Where no window
/// ends within the tile, `to` means nothing.
#[inline(always)]
fn lanes_that_see(tile: ScoreTile, at: usize, r: usize) -> [i32; 2] {
    let from = r as i32 - (tile.last + at) as i32;
    [from, from.wrapping_add(tile.window as i32)]
}

#[inline(always)]
fn softmax_backward_groups<const W: usize, const WINDOWED: bool>(
    width: usize,
    scores: &mut [f32],
    gradients: &mut [f32],
    tile: ScoreTile,
    lse: &[f32],
    delta: &[f32],
) {
    let factor = tile.factor;
    for at in (0..width).step_by(W) {
        let lse: [f32; W] = std::array::from_fn(|l| lse[at + l]);
        let delta: [f32; W] = std::array::from_fn(|l| delta[at + l]);
        let rows = scores.chunks_exact_mut(width).zip(gradients.chunks_exact_mut(width));
        for (r, (scores, gradients)) in rows.enumerate() {
            let (scores, gradients) = (lanes_mut::<W>(scores, at), lanes_mut::<W>(gradients, at));
            let [from, to] = lanes_that_see(tile, at, r);
            for l in 0..W {
                let p = exp2(scores[l] * factor - lse[l]);
                let is_seen = l as i32 >= from && (!WINDOWED || (l as i32) < to);
                let p = if is_seen { p } else { 0.0 };
                scores[l] = p;
                gradients[l] = p * (gradients[l] - delta[l]);
            }
        }
    }
}

#[inline(always)]
fn lanes_mut<const W: usize>(row: &mut [f32], at: usize) -> &mut [f32; W] {
    match row[at..].first_chunk_mut::<W>() {
        Some(lanes) => lanes,
        None => unreachable!("a tile is a whole number of groups wide"),
    }
}

multiversion! {
    /// Multiplies each row of `sums [rows, width]` by `factors [width]`.
    pub fn scale_columns(sums: &mut [f32], factors: &[f32]) {
        for row in sums.chunks_exact_mut(factors.len()) {
            row.iter_mut().zip(factors).for_each(|(sum, factor)| *sum *= factor);
        }
    }
}

multiversion! {
    /// The softmax of scores times `factor / log2(e)`, in place.
    pub fn softmax_in_place(scores: &mut [f32], factor: f32) {
        let mut top = [f32::NEG_INFINITY; LANES];
        let (whole, rest) = scores.as_chunks_mut::<LANES>();
        for scores in &*whole {
            for l in 0..LANES {
                top[l] = if scores[l] > top[l] { scores[l] } else { top[l] };
            }
        }
        let top = top.iter().chain(&*rest).fold(f32::NEG_INFINITY, |top, x| if *x > top { *x } else { top });
        let mut sums = [0f32; LANES];
        for scores in &mut *whole {
            for l in 0..LANES {
                scores[l] = exp2((scores[l] - top) * factor);
                sums[l] += scores[l];
            }
        }
        for (score, sum) in rest.iter_mut().zip(&mut sums) {
            *score = exp2((*score - top) * factor);
            *sum += *score;
        }
        let by = 1.0 / total(sums);
        scores.iter_mut().for_each(|score| *score *= by);
    }
}

#[cfg(test)]
mod tests {
    use super::exp2;

    #[test]
    fn powers_of_two_are_exact_enough() {
        for i in -2000..=2000 {
            let x = i as f32 / 1000.0;
            let (found, right) = (f64::from(exp2(x)), f64::from(x).exp2());
            assert!((found - right).abs() <= 3e-7 * right, "2^{x}: {found}, not {right}");
        }
        assert!(exp2(f32::NEG_INFINITY) < 2e-38 && exp2(-1e30) < 2e-38 && exp2(f32::NAN).is_nan());
        assert!((f64::from(exp2(-100.3)) / (-100.3f64).exp2() - 1.0).abs() < 1e-5);
    }
}
