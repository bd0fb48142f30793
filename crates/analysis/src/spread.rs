//! The mean of a few trainings with its interval.

use tunebench_statistics::Interval;
use tunebench_statistics::distributions::t_quantile;
use tunebench_statistics::spread::CONFIDENCE;

use crate::run::mean;

/// The mean of independent values, with Student's interval; no interval of one value, or of equal ones, which say nothing
/// about their spread. None of no values.
pub fn of(values: &[f64]) -> Option<(f64, Option<Interval>)> {
    let center = mean(values)?;
    let n = values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - center).powi(2)).sum();
    if values.len() < 2 || squares <= (center * 1e-13).powi(2) {
        return Some((center, None));
    }
    let error = (squares / (n - 1.0) / n).sqrt();
    let half = t_quantile((1.0 - CONFIDENCE) / 2.0, n - 1.0) * error;
    Some((center, Some(Interval { low: center - half, high: center + half, confidence: CONFIDENCE })))
}
