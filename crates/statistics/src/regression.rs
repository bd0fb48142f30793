//! Least-squares lines with uncertainty: scores against the logarithm of a size, or against any number.
//!
//! slope = Sxy / Sxx, its standard error sqrt(residual sum of squares / (n - 2) / Sxx), t with n - 2 degrees of freedom.
//! The points count as independent: give one per training, and no two that stand on the same one.

use crate::distributions::{t_quantile, t_tail};
use crate::mean_squares::{mean, squares};
use crate::spread::{CONFIDENCE, Interval};
use crate::{Error, NoInterval};

/// A line y = intercept + slope x.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Points.
    pub n: usize,
    pub slope: f64,
    pub intercept: f64,
    /// Share of y's variance that the line explains; null where y does not vary.
    pub r_squared: Option<f64>,
    pub uncertainty: Result<SlopeUncertainty, NoInterval>,
}

/// How well a slope is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlopeUncertainty {
    pub standard_error: f64,
    pub intercept_standard_error: f64,
    pub df: f64,
    /// Of the slope, of confidence [`CONFIDENCE`].
    pub interval: Interval,
    pub t: f64,
    /// Two-sided, of a slope of 0.
    pub p: f64,
}

/// The line of y on x.
///
/// # Errors
/// Unequal lengths, a number that is not finite, x that is the same in all pairs, fewer than 3 distinct x.
pub fn line(xs: &[f64], ys: &[f64]) -> Result<Line, Error> {
    if xs.len() != ys.len() {
        return Err(Error::Unpaired { xs: xs.len(), ys: ys.len() });
    }
    finite("x", xs)?;
    finite("y", ys)?;
    let mut distinct = xs.to_vec();
    distinct.sort_by(f64::total_cmp);
    distinct.dedup();
    match distinct[..] {
        [x] => return Err(Error::ConstantX { x }),
        [] | [_, _] => return Err(Error::TooFewX { distinct: distinct.len() }),
        _ => {}
    }
    let (mean_x, mean_y, sxx, syy) = (mean(xs), mean(ys), squares(xs), squares(ys));
    if sxx <= 0.0 {
        return Err(Error::ConstantX { x: mean_x });
    }
    let sxy: f64 = xs.iter().zip(ys).map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let slope = sxy / sxx;
    let intercept = mean_y - slope * mean_x;
    let residuals: f64 = xs.iter().zip(ys).map(|(x, y)| (y - mean_y - slope * (x - mean_x)).powi(2)).sum();
    // What is left of y by rounding alone.
    let rounding = ys.iter().map(|y| (y * 1e-13).powi(2)).sum::<f64>();
    let df = (xs.len() - 2) as f64;
    let uncertainty = if residuals <= rounding {
        Err(NoInterval::PerfectLine)
    } else {
        let noise = residuals / df;
        let standard_error = (noise / sxx).sqrt();
        let half = t_quantile((1.0 - CONFIDENCE) / 2.0, df) * standard_error;
        let t = slope / standard_error;
        Ok(SlopeUncertainty {
            standard_error,
            intercept_standard_error: (noise * (1.0 / xs.len() as f64 + mean_x * mean_x / sxx)).sqrt(),
            df,
            interval: Interval { low: slope - half, high: slope + half, confidence: CONFIDENCE },
            t,
            p: (2.0 * t_tail(t.abs(), df)).min(1.0),
        })
    };
    let r_squared = (syy > rounding).then(|| (1.0 - residuals / syy).max(0.0));
    Ok(Line { n: xs.len(), slope, intercept, r_squared, uncertainty })
}

/// The line of y on log10 x: its slope is the change of y when x is ten times as large.
///
/// # Errors
/// As [`line()`]; an x that is not above 0.
pub fn line_in_log10(xs: &[f64], ys: &[f64]) -> Result<Line, Error> {
    if let Some(x) = xs.iter().find(|x| !(**x > 0.0 && x.is_finite())) {
        return Err(Error::OutOfRange { what: "an x of which the logarithm is taken", value: *x, rule: "above 0" });
    }
    if let Some((first, _)) = xs.split_first().filter(|(first, rest)| rest.iter().all(|x| x == *first)) {
        return Err(Error::ConstantX { x: *first });
    }
    line(&xs.iter().map(|x| x.log10()).collect::<Vec<_>>(), ys)
}

fn finite(what: &'static str, values: &[f64]) -> Result<(), Error> {
    match values.iter().find(|value| !value.is_finite()) {
        Some(value) => Err(Error::OutOfRange { what, value: *value, rule: "finite" }),
        None => Ok(()),
    }
}
