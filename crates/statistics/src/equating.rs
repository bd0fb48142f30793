//! The marks of one judge in those of another, both with errors: a line by Deming's regression.
//!
//! With s_xx, s_yy, s_xy the variances and covariance and λ the variance of the new judge's errors over the old one's,
//! slope = [s_yy - λ s_xx + √((s_yy - λ s_xx)² + 4 λ s_xy²)] / (2 s_xy), intercept = mean y - slope × mean x (Deming
//! 1943, "Statistical adjustment of data"; λ = 1 is orthogonal regression). Least squares would flatten the line by the
//! old judge's noise. Standard errors by the jackknife over items, t with items - 2 degrees of freedom (Linnet 1990,
//! "Estimation of the linear relationship between the measurements of two methods with proportional errors").

use std::collections::BTreeMap;

use crate::marks::check_pairs;
use crate::sample_mean::Uncertainty;
use crate::{Error, NoInterval};

/// What two judges gave one answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JudgedTwice {
    pub item: usize,
    pub old: f64,
    pub new: f64,
}

/// new = intercept + slope × old.
#[derive(Clone, Debug, PartialEq)]
pub struct Equating {
    pub slope: f64,
    pub intercept: f64,
    /// λ, as it was asked for.
    pub error_ratio: f64,
    pub answers: usize,
    pub items: usize,
    pub slope_uncertainty: Result<Uncertainty, NoInterval>,
    pub intercept_uncertainty: Result<Uncertainty, NoInterval>,
}

impl Equating {
    /// The new judge's mark that stands for the old judge's `mark`.
    pub fn new_mark(&self, mark: f64) -> f64 {
        self.intercept + self.slope * mark
    }

    /// The old judge's mark that stands for the new judge's `mark`; null where the slope is 0.
    pub fn old_mark(&self, mark: f64) -> Option<f64> {
        (self.slope != 0.0).then(|| (mark - self.intercept) / self.slope)
    }
}

/// Number and sums of x, y, x², y², xy, of deviations from a common centre.
type Sums = [f64; 6];

/// The line between two judges' marks of the same answers.
///
/// # Errors
/// No answer; a mark that is not finite; an error ratio that is not above 0; a judge whose marks are all the same, or
/// marks that have nothing to do with each other, of which no line can be made.
pub fn equate(answers: &[JudgedTwice], error_ratio: f64) -> Result<Equating, Error> {
    if answers.is_empty() {
        return Err(Error::Empty);
    }
    if !(error_ratio > 0.0 && error_ratio.is_finite()) {
        return Err(Error::OutOfRange { what: "the ratio of error variances", value: error_ratio, rule: "above 0" });
    }
    check_pairs(answers.iter().map(|answer| (answer.old, answer.new)))?;
    let n = answers.len() as f64;
    let centre = (answers.iter().map(|a| a.old).sum::<f64>() / n, answers.iter().map(|a| a.new).sum::<f64>() / n);
    let mut items: BTreeMap<usize, Sums> = BTreeMap::new();
    for answer in answers {
        let (x, y) = (answer.old - centre.0, answer.new - centre.1);
        let sums = items.entry(answer.item).or_default();
        sums.iter_mut().zip([1.0, x, y, x * x, y * y, x * y]).for_each(|(sum, value)| *sum += value);
    }
    let mut total: Sums = [0.0; 6];
    items.values().for_each(|sums| total.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum));
    let why = "one judge gave all answers the same mark, or the two have nothing to do with each other";
    let (slope, shift) =
        line(&total, error_ratio).ok_or(Error::Undefined { what: "the line between two judges", why })?;
    let intercept = |slope: f64, shift: f64| centre.1 + shift - slope * centre.0;
    let less = |sums: &Sums| {
        let mut rest = total;
        rest.iter_mut().zip(sums).for_each(|(rest, sum)| *rest -= sum);
        line(&rest, error_ratio).map(|(slope, shift)| [slope, intercept(slope, shift)])
    };
    let without: Vec<Option<[f64; 2]>> = items.values().map(less).collect();
    let whole = [slope, intercept(slope, shift)];
    let [slope_uncertainty, intercept_uncertainty] = [0, 1].map(|which| jackknife(&without, whole[which], which));
    Ok(Equating {
        slope,
        intercept: whole[1],
        error_ratio,
        answers: answers.len(),
        items: items.len(),
        slope_uncertainty,
        intercept_uncertainty,
    })
}

/// Slope, and intercept over the centre.
fn line([n, x, y, xx, yy, xy]: &Sums, ratio: f64) -> Option<(f64, f64)> {
    if *n < 2.0 {
        return None;
    }
    let (old, new, both) = (xx - x * x / n, yy - y * y / n, xy - x * y / n);
    // A covariance below this share of the deviations is rounding.
    let regular = old > 0.0 && new > 0.0 && both.abs() > 1e-10 * (old * new).sqrt();
    if !regular {
        return None;
    }
    let lead = new - ratio * old;
    // Of the two forms of the root, the one without cancellation.
    let root = (lead * lead + 4.0 * ratio * both * both).sqrt();
    let slope = if lead >= 0.0 { (lead + root) / (2.0 * both) } else { 2.0 * ratio * both / (root - lead) };
    Some((slope, y / n - slope * x / n))
}

fn jackknife(without: &[Option<[f64; 2]>], value: f64, which: usize) -> Result<Uncertainty, NoInterval> {
    let items = without.len();
    if items < 3 {
        return Err(NoInterval::TooFew { values: items, least: 3 });
    }
    let Some(values) = without.iter().map(|found| found.map(|found| found[which])).collect::<Option<Vec<f64>>>() else {
        // Without one of the items there is no line: that item alone decides it.
        return Err(NoInterval::TooFew { values: 1, least: 2 });
    };
    let n = items as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() * (n - 1.0) / n;
    if variance <= 1e-22 {
        return Err(NoInterval::PerfectLine);
    }
    Ok(Uncertainty::new(value, variance.sqrt(), n - 2.0))
}
