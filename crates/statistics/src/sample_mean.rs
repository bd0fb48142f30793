//! A mean of values that come in clusters, such as several of one item, with Student's t over the clusters.
//!
//! variance = G / (G - 1) Σ over clusters (Σ in the cluster (value - mean))² / n², with G clusters and G - 1 degrees of
//! freedom (Liang and Zeger 1986, "Longitudinal data analysis using generalized linear models", of a mean); where each
//! cluster has one value it is the usual s² / n.

use std::collections::BTreeMap;

use crate::distributions::{t_quantile, t_tail};
use crate::marks::is_mark;
use crate::spread::{CONFIDENCE, Interval, LEAST_P};
use crate::{Error, NoInterval};

/// How well a number is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Uncertainty {
    pub standard_error: f64,
    pub df: f64,
    /// Of confidence [`CONFIDENCE`].
    pub interval: Interval,
}

/// A mean.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleMean {
    pub mean: f64,
    pub values: usize,
    /// Items, if one item's values belong together.
    pub clusters: usize,
    pub uncertainty: Result<Uncertainty, NoInterval>,
}

impl Uncertainty {
    pub(crate) fn new(value: f64, standard_error: f64, df: f64) -> Self {
        let half = t_quantile((1.0 - CONFIDENCE) / 2.0, df) * standard_error;
        let interval = Interval { low: value - half, high: value + half, confidence: CONFIDENCE };
        Self { standard_error, df, interval }
    }

    /// Two-sided p-value, at least [`LEAST_P`], of the truth being as far as `distance` from the estimate.
    pub fn p(&self, distance: f64) -> f64 {
        (2.0 * t_tail(distance.abs() / self.standard_error, self.df)).clamp(LEAST_P, 1.0)
    }
}

/// The mean of pairs of a cluster and a value.
pub(crate) fn cluster_mean(values: &[(usize, f64)]) -> Result<SampleMean, Error> {
    if values.is_empty() {
        return Err(Error::Empty);
    }
    if let Some((row, (_, score))) = values.iter().enumerate().find(|(_, (_, value))| !is_mark(*value)) {
        return Err(Error::NotFinite { row, score: *score });
    }
    let n = values.len() as f64;
    let mean = values.iter().map(|(_, value)| value).sum::<f64>() / n;
    let mut sums: BTreeMap<usize, f64> = BTreeMap::new();
    for (cluster, value) in values {
        *sums.entry(*cluster).or_default() += value - mean;
    }
    let clusters = sums.len();
    let largest = values.iter().map(|(_, value)| value.abs()).fold(0.0, f64::max);
    let uncertainty = match clusters {
        1 => Err(NoInterval::OneItem { category: None }),
        _ => {
            let df = clusters as f64 - 1.0;
            let variance = sums.values().map(|sum| sum * sum).sum::<f64>() / (n * n) * clusters as f64 / df;
            // What rounding leaves of values that are all the same.
            if variance <= (largest * 1e-13).powi(2) {
                Err(NoInterval::NoSpread { values: values.len() })
            } else {
                Ok(Uncertainty::new(mean, variance.sqrt(), df))
            }
        }
    };
    Ok(SampleMean { mean, values: values.len(), clusters, uncertainty })
}

/// Each value its own cluster.
pub(crate) fn sample_mean(values: &[f64]) -> Result<SampleMean, Error> {
    cluster_mean(&values.iter().copied().enumerate().collect::<Vec<_>>())
}
