//! Differences of two arms, and any weighted sum of arms whose weights sum to zero, paired by item.

use crate::average::Average;
use crate::mean_squares::{Seeds, mean_squares};
use crate::scores::{ItemCount, Scores};
use crate::spread::{Inference, inference};
use crate::{Error, NoInterval};

/// What is known of a difference.
#[derive(Clone, Debug, PartialEq)]
pub struct Contrast {
    pub difference: f64,
    /// Items that all trainings of all arms concerned answered, and items of the study that one of them lacks.
    pub items: ItemCount,
    pub inference: Result<Inference, NoInterval>,
    pub test: Option<Test>,
}

/// The test of no difference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Test {
    /// Difference over its standard error.
    pub t: f64,
    /// Two-sided: the level at which the interval would end at 0. See [`crate::Spread::p`].
    pub p: f64,
}

/// `first` minus `second`: item by item, so that what makes an item hard for both is no noise.
///
/// With nested seeds, the trainings' part is each arm's own, added up (Welch), never pooled: an arm that varies more than
/// the other is not lent the other's steadiness. With crossed seeds, it is that of the differences of the pairs.
///
/// # Errors
/// An arm or category that there is not; an arm against itself; a category without an item that all trainings answered;
/// crossed seeds of unequal number.
pub fn contrast(
    scores: &Scores,
    first: usize,
    second: usize,
    average: Average,
    seeds: Seeds,
) -> Result<Contrast, Error> {
    if first == second {
        return Err(Error::SameArm { arm: scores.name(first).to_owned() });
    }
    weighted(scores, &[(first, 1.0), (second, -1.0)], average, seeds)
}

/// The sum of `weights[arm]` times each arm's average. Arms of weight 0 take no part: items that only they lack stay in.
///
/// # Errors
/// As [`contrast`]; weights that are not finite, all 0, or do not sum to 0 (to 1e-9 of their size).
pub fn linear(scores: &Scores, weights: &[f64], average: Average, seeds: Seeds) -> Result<Contrast, Error> {
    let arms = scores.arms().len();
    if weights.len() != arms {
        return Err(Error::WeightCount { given: weights.len(), arms });
    }
    let (sum, size): (f64, f64) = (weights.iter().sum(), weights.iter().map(|weight| weight.abs()).sum());
    let balanced = size > 0.0 && size.is_finite() && sum.abs() <= 1e-9 * size;
    if !balanced {
        return Err(Error::Weights { sum });
    }
    let used: Vec<(usize, f64)> = weights.iter().copied().enumerate().filter(|(_, weight)| *weight != 0.0).collect();
    weighted(scores, &used, average, seeds)
}

fn weighted(scores: &Scores, weights: &[(usize, f64)], average: Average, seeds: Seeds) -> Result<Contrast, Error> {
    let squares = mean_squares(scores, weights, average, seeds)?;
    let difference = squares.value;
    let inference = inference(&squares);
    let test = inference
        .as_ref()
        .ok()
        .map(|known| Test { t: difference / known.standard_error, p: known.spread.p(difference) });
    Ok(Contrast { difference, items: squares.items, inference, test })
}
