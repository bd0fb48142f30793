//! Correlation of two raters' marks: whether they order answers alike, whatever their scales.
//!
//! Pearson's r, or Spearman's, which is Pearson's of the mean ranks. Intervals by Fisher's transformation: atanh r is
//! about normal with variance 1 / (n - 3) (Fisher 1921, "On the 'probable error' of a coefficient of correlation"), and
//! (1 + r² / 2) / (n - 3) for ranks (Bonett and Wright 2000, "Sample size requirements for estimating Pearson, Kendall
//! and Spearman correlations").

use super::pairs::{check, moments};
use crate::distributions::t_quantile;
use crate::spread::{CONFIDENCE, Interval};
use crate::{Error, NoInterval};

/// Of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CorrelationKind {
    /// Of the marks.
    Pearson,
    /// Of their ranks.
    Spearman,
}

/// A correlation.
#[derive(Clone, Debug, PartialEq)]
pub struct Correlation {
    /// -1 to 1.
    pub r: f64,
    pub kind: CorrelationKind,
    pub pairs: usize,
    pub interval: Result<Interval, NoInterval>,
}

/// The correlation of pairs of marks, one pair for each answer.
///
/// # Errors
/// No pair; a mark that is not finite; a rater whose marks are all the same.
pub fn correlation(pairs: &[(f64, f64)], kind: CorrelationKind) -> Result<Correlation, Error> {
    check(pairs)?;
    let ranked: Vec<(f64, f64)>;
    let used = match kind {
        CorrelationKind::Pearson => pairs,
        CorrelationKind::Spearman => {
            let ranks = |pick: fn(&(f64, f64)) -> f64| mean_ranks(&pairs.iter().map(pick).collect::<Vec<_>>());
            ranked = ranks(|pair| pair.0).into_iter().zip(ranks(|pair| pair.1)).collect();
            &ranked
        }
    };
    let moments = moments(used);
    if moments.first_squares == 0.0 || moments.second_squares == 0.0 {
        return Err(Error::Undefined { what: "a correlation", why: "one rater gave all answers the same mark" });
    }
    let r = (moments.products / (moments.first_squares.sqrt() * moments.second_squares.sqrt())).clamp(-1.0, 1.0);
    let factor = match kind {
        CorrelationKind::Pearson => 1.0,
        CorrelationKind::Spearman => 1.0 + r * r / 2.0,
    };
    let interval = if pairs.len() < 4 {
        Err(NoInterval::TooFew { values: pairs.len(), least: 4 })
    } else if 1.0 - r.abs() < 1e-12 {
        Err(NoInterval::PerfectLine)
    } else {
        let half = t_quantile((1.0 - CONFIDENCE) / 2.0, f64::INFINITY) * (factor / (moments.n - 3.0)).sqrt();
        Ok(Interval { low: (r.atanh() - half).tanh(), high: (r.atanh() + half).tanh(), confidence: CONFIDENCE })
    };
    Ok(Correlation { r, kind, pairs: pairs.len(), interval })
}

/// The rank of each value from 1; equal ones share the mean of theirs.
fn mean_ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for run in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let rank = before as f64 + (run.len() as f64 + 1.0) / 2.0;
        run.iter().for_each(|place| ranks[*place] = rank);
        before += run.len();
    }
    ranks
}
