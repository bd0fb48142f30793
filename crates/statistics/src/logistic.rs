//! Logistic regression of shares, with a ridge, by Newton's method.
//!
//! Maximises Σ w [y log p + (1 - y) log(1 - p)] - Σ ridge θ² / 2 - gauge (Σ θ)² / 2, with p = 1 / (1 + exp(-xθ)) and y
//! in 0..1. The gauge holds Σ θ at 0 where only differences of coefficients matter, and changes nothing else.

use std::collections::BTreeMap;

use crate::inverse::{Matrix, inverse, times};

/// Steps of Newton's method, which needs some eight.
const STEPS: usize = 100;

/// One outcome.
pub(crate) struct Row {
    /// Coefficient and value, of those that are not 0.
    pub(crate) features: Vec<(usize, f64)>,
    pub(crate) outcome: f64,
    pub(crate) weight: f64,
    pub(crate) cluster: usize,
}

/// A maximum.
pub(crate) struct Fit {
    pub(crate) coefficients: Vec<f64>,
    /// Inverse of minus the second derivative.
    inverse: Matrix,
}

pub(crate) fn logistic(x: f64) -> f64 {
    if x >= 0.0 { 1.0 / (1.0 + (-x).exp()) } else { x.exp() / (1.0 + x.exp()) }
}

/// log(1 + exp(x)) without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

fn linear(row: &Row, coefficients: &[f64]) -> f64 {
    row.features.iter().map(|(place, value)| coefficients[*place] * value).sum()
}

/// The maximum, if there is one and it is found. `ridge` has one number per coefficient.
pub(crate) fn fit(rows: &[Row], ridge: &[f64], gauge: f64) -> Option<Fit> {
    let n = ridge.len();
    let loss = |coefficients: &[f64]| {
        let data: f64 = rows
            .iter()
            .map(|row| {
                let x = linear(row, coefficients);
                row.weight * (softplus(x) - row.outcome * x)
            })
            .sum();
        let sum: f64 = coefficients.iter().sum();
        let penalty: f64 = ridge.iter().zip(coefficients).map(|(ridge, value)| ridge * value * value).sum();
        data + (penalty + gauge * sum * sum) / 2.0
    };
    let mut coefficients = vec![0.0; n];
    let mut at = loss(&coefficients);
    for _ in 0..STEPS {
        let sum: f64 = coefficients.iter().sum();
        let mut gradient: Vec<f64> =
            ridge.iter().zip(&coefficients).map(|(ridge, value)| -ridge * value - gauge * sum).collect();
        let mut curvature: Matrix = vec![vec![gauge; n]; n];
        ridge.iter().enumerate().for_each(|(place, ridge)| curvature[place][place] += ridge);
        for row in rows {
            let p = logistic(linear(row, &coefficients));
            for (i, x) in &row.features {
                gradient[*i] += row.weight * (row.outcome - p) * x;
                for (j, y) in &row.features {
                    curvature[*i][*j] += row.weight * p * (1.0 - p) * x * y;
                }
            }
        }
        let inverse = inverse(&curvature)?;
        let step = times(&inverse, &gradient);
        let gain: f64 = step.iter().zip(&gradient).map(|(step, slope)| step * slope).sum();
        if gain < 1e-12 * (1.0 + at.abs()) {
            // This near, a step doubles the digits: the last one goes below rounding.
            coefficients.iter_mut().zip(&step).for_each(|(value, step)| *value += step);
            return coefficients.iter().all(|value| value.is_finite()).then_some(Fit { coefficients, inverse });
        }
        let mut share = 1.0;
        loop {
            let next: Vec<f64> = coefficients.iter().zip(&step).map(|(value, step)| value + share * step).collect();
            let value = loss(&next);
            if value <= at - 1e-4 * share * gain || share < 1e-6 {
                (coefficients, at) = (next, value);
                break;
            }
            share /= 2.0;
        }
    }
    None
}

impl Fit {
    /// Covariances that respect clusters: G / (G - 1) A⁻¹ [Σ over clusters s sᵀ] A⁻¹, with the clusters' scores s
    /// (Huber 1967; Liang and Zeger 1986). Also the number of clusters.
    pub(crate) fn sandwich(&self, rows: &[Row]) -> (Matrix, usize) {
        let n = self.coefficients.len();
        let mut scores: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        for row in rows {
            let error = row.weight * (row.outcome - logistic(linear(row, &self.coefficients)));
            let score = scores.entry(row.cluster).or_insert_with(|| vec![0.0; n]);
            row.features.iter().for_each(|(place, value)| score[*place] += error * value);
        }
        let clusters = scores.len();
        let factor = clusters as f64 / (clusters as f64 - 1.0).max(1.0);
        let mut covariance = vec![vec![0.0; n]; n];
        for score in scores.values() {
            let moved = times(&self.inverse, score);
            for (row, a) in covariance.iter_mut().zip(&moved) {
                row.iter_mut().zip(&moved).for_each(|(value, b)| *value += factor * a * b);
            }
        }
        (covariance, clusters)
    }
}
