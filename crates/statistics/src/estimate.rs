//! An arm's average score, with an interval that contains the noise of items and of trainings.

use crate::average::Average;
use crate::mean_squares::{Seeds, mean_squares};
use crate::scores::{ItemCount, Scores};
use crate::spread::{Inference, inference};
use crate::{Error, NoInterval};

/// What is known of an arm's average.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    pub arm: usize,
    pub mean: f64,
    /// Trainings.
    pub seeds: usize,
    /// Items that all its trainings answered, and items of the study that one of them lacks.
    pub items: ItemCount,
    pub inference: Result<Inference, NoInterval>,
}

/// The average of `arm`; the variance is that of [`crate::spread`] with one arm of weight 1.
///
/// # Errors
/// An arm or category that there is not; a category without an item that all trainings answered.
pub fn estimate(scores: &Scores, arm: usize, average: Average) -> Result<Estimate, Error> {
    let squares = mean_squares(scores, &[(arm, 1.0)], average, Seeds::Nested)?;
    let seeds = scores.seeds(arm).len();
    Ok(Estimate { arm, mean: squares.value, seeds, items: squares.items, inference: inference(&squares) })
}
