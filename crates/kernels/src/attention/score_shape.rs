//! Scores that are more than a product times a scale: under a soft cap (Gemma 2), and falling with the distance of their
//! keys (ALiBi). A tile is shaped in place between its product and its softmax, so that the softmax knows of neither.

use super::heads::AttentionSpec;
use super::score_tile::ScoreTile;
use crate::simd::exp::tanh;
use crate::simd::multiversion::multiversion;

/// How the scores of one head are made: `cap · tanh(scale · product / cap) + slope · (key - query)`.
#[derive(Clone, Copy, Debug)]
pub struct ScoreShape {
    pub scale: f32,
    pub cap: Option<f32>,
    /// Not below 0; 0 where distance counts for nothing.
    pub slope: f32,
}

impl ScoreShape {
    /// That of a head, where its scores are more than products times the scale.
    pub fn of(spec: &AttentionSpec, head: usize) -> Option<Self> {
        let slope = spec.key_bias.slope(head, spec.heads.heads);
        spec.is_shaped().then_some(Self { scale: spec.scale, cap: spec.softcap, slope })
    }
}

/// Queries of a strip, at most.
const LANES: usize = 64;

/// As [`shape_gradients`] leaves nothing to subtract.
pub static NO_DELTA: [f32; LANES] = [0.0; LANES];

multiversion! {
    /// Products `[tile.keys, width]` to scores, in place.
    pub fn shape_scores(width: usize, products: &mut [f32], tile: ScoreTile, shape: ScoreShape) {
        let ScoreShape { scale, cap, slope } = shape;
        for (r, row) in products.chunks_exact_mut(width).enumerate().take(tile.keys) {
            let distance = distance(tile, r);
            match cap {
                Some(cap) => {
                    let inner = scale / cap;
                    for (l, x) in row.iter_mut().enumerate() {
                        *x = cap * tanh(*x * inner) + slope * (distance - l as f32);
                    }
                }
                None => {
                    for (l, x) in row.iter_mut().enumerate() {
                        *x = *x * scale + slope * (distance - l as f32);
                    }
                }
            }
        }
    }
}

multiversion! {
    /// As [`shape_scores`]; and from gradients of probabilities to what the softmax' derivative multiplies with the
    /// probabilities, in place: `(gradient - delta)` times the slope of the cap, with nothing more to subtract.
    pub fn shape_gradients(
        width: usize,
        products: &mut [f32],
        gradients: &mut [f32],
        tile: ScoreTile,
        shape: ScoreShape,
        delta: &[f32],
    ) {
        let ScoreShape { scale, cap, slope } = shape;
        let rows = products.chunks_exact_mut(width).zip(gradients.chunks_exact_mut(width)).enumerate();
        for (r, (row, gradients)) in rows.take(tile.keys) {
            let distance = distance(tile, r);
            let lanes = row.iter_mut().zip(gradients).zip(delta).enumerate();
            match cap {
                Some(cap) => {
                    let inner = scale / cap;
                    for (l, ((x, gradient), delta)) in lanes {
                        let t = tanh(*x * inner);
                        *x = cap * t + slope * (distance - l as f32);
                        *gradient = (*gradient - delta) * (1.0 - t * t);
                    }
                }
                None => {
                    for (l, ((x, gradient), delta)) in lanes {
                        *x = *x * scale + slope * (distance - l as f32);
                        *gradient -= delta;
                    }
                }
            }
        }
    }
}

/// From the strip's first query to key `r`, below 0 for a key before it.
#[inline(always)]
fn distance(tile: ScoreTile, r: usize) -> f32 {
    r as f32 - tile.last as f32
}

multiversion! {
    /// Products of one query with the keys up to its own, the last, to scores, in place.
    pub fn shape_row(products: &mut [f32], shape: ScoreShape) {
        let ScoreShape { scale, cap, slope } = shape;
        let last = products.len() as f32 - 1.0;
        match cap {
            Some(cap) => {
                let inner = scale / cap;
                for (t, x) in products.iter_mut().enumerate() {
                    *x = cap * tanh(*x * inner) + slope * (t as f32 - last);
                }
            }
            None => {
                for (t, x) in products.iter_mut().enumerate() {
                    *x = *x * scale + slope * (t as f32 - last);
                }
            }
        }
    }
}
