//! Systematic difference of two raters, and how far apart two marks of one answer may be.
//!
//! Limits of agreement: mean difference ± 1.96 standard deviations of the differences (Bland and Altman 1986,
//! "Statistical methods for assessing agreement between two methods of clinical measurement"). Intervals by t with n -
//! 1 degrees of freedom: of the mean by s / √n, of a limit by s √(1 / n + 1.96² / (2 (n - 1))) (the same, 1999, section
//! 4).

use super::pairs::check;
use crate::Error;
use crate::NoInterval;
use crate::distributions::t_quantile;
use crate::sample_mean::{SampleMean, Uncertainty, sample_mean};
use crate::spread::{CONFIDENCE, Interval};

/// Differences of two raters, in units of the mark.
#[derive(Clone, Debug, PartialEq)]
pub struct BlandAltman {
    /// Mean of the first rater's mark minus the second's.
    pub bias: SampleMean,
    /// Of the differences; null of one pair.
    pub standard_deviation: Option<f64>,
    /// Between which 95 % of differences lie, if they are normal; or why that is not known.
    pub limits: Result<Limits, NoInterval>,
}

/// Limits of agreement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    pub low: f64,
    pub high: f64,
    /// Of either limit: of confidence [`CONFIDENCE`].
    pub low_interval: Interval,
    pub high_interval: Interval,
}

/// Differences of pairs of marks, one pair for each answer.
///
/// # Errors
/// No pair; a mark that is not finite.
pub fn bland_altman(pairs: &[(f64, f64)]) -> Result<BlandAltman, Error> {
    check(pairs)?;
    let differences: Vec<f64> = pairs.iter().map(|(first, second)| first - second).collect();
    let bias = sample_mean(&differences)?;
    let n = differences.len() as f64;
    let squares: f64 = differences.iter().map(|difference| (difference - bias.mean).powi(2)).sum();
    let standard_deviation = (n > 1.0).then(|| (squares / (n - 1.0)).sqrt());
    let limits = bias.uncertainty.clone().map(|known| {
        let deviation = known.standard_error * n.sqrt();
        let z = t_quantile((1.0 - CONFIDENCE) / 2.0, f64::INFINITY);
        let error = deviation * (1.0 / n + z * z / (2.0 * (n - 1.0))).sqrt();
        let (low, high) = (bias.mean - z * deviation, bias.mean + z * deviation);
        let interval = |limit: f64| Uncertainty::new(limit, error, known.df).interval;
        Limits { low, high, low_interval: interval(low), high_interval: interval(high) }
    });
    Ok(BlandAltman { bias, standard_deviation, limits })
}
