//! All pairs of arms, with p-values that hold for all of them together, and groups that cannot be told apart.

use crate::Error;
use crate::average::Average;
use crate::contrast::{Contrast, contrast};
use crate::distributions::studentized_range_tail;
use crate::estimate::{Estimate, estimate};
use crate::letters::{Letters, letters};
use crate::mean_squares::Seeds;
use crate::scores::Scores;
use crate::spread::df_of;

/// How p-values are adjusted for there being many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adjustment {
    /// Holm (1979): for any set of tests.
    Holm,
    /// Tukey and Kramer, in the form of Games and Howell (1976): each pair by its own standard error and degrees of
    /// freedom, since arms need not vary alike.
    Tukey,
}

/// Two arms compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// The arm with the lower index.
    pub first: usize,
    pub second: usize,
    /// First minus second.
    pub contrast: Contrast,
    /// Adjusted over all pairs that have a p-value; null where there is none.
    pub p_holm: Option<f64>,
    pub p_tukey: Option<f64>,
}

/// All arms and all pairs of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Pairwise {
    /// By arm.
    pub estimates: Vec<Estimate>,
    /// By first arm, then second.
    pub pairs: Vec<Pair>,
    /// Arms, the highest mean first; equal means in the order of their index.
    pub order: Vec<usize>,
}

/// Compares every arm with every other. `seeds` says for each pair how its trainings belong together.
///
/// A pair's Tukey p-value is P(Q > √2 t) of the studentized range of as many means as there are arms, at the degrees of
/// freedom at which Student's t gives the pair's own p-value.
///
/// # Errors
/// As [`contrast`] and [`estimate`].
pub fn pairwise(scores: &Scores, average: Average, seeds: impl Fn(usize, usize) -> Seeds) -> Result<Pairwise, Error> {
    let arms = scores.arms().len();
    let estimates: Vec<Estimate> = (0..arms).map(|arm| estimate(scores, arm, average)).collect::<Result<_, _>>()?;
    let mut pairs = Vec::new();
    for first in 0..arms {
        for second in first + 1..arms {
            let contrast = contrast(scores, first, second, average, seeds(first, second))?;
            let p_tukey = contrast.test.map(|test| tukey(test.t, test.p, arms));
            pairs.push(Pair { first, second, contrast, p_holm: None, p_tukey });
        }
    }
    let tested: Vec<usize> = (0..pairs.len()).filter(|i| pairs[*i].contrast.test.is_some()).collect();
    let p_values: Vec<f64> = tested.iter().filter_map(|i| pairs[*i].contrast.test).map(|test| test.p).collect();
    for (i, p) in tested.into_iter().zip(holm(&p_values)) {
        pairs[i].p_holm = Some(p);
    }
    let mut order: Vec<usize> = (0..arms).collect();
    order.sort_by(|a, b| estimates[*b].mean.total_cmp(&estimates[*a].mean));
    Ok(Pairwise { estimates, pairs, order })
}

impl Pairwise {
    /// Letters at level `alpha`: two arms that share one cannot be told apart, nor can a pair without a p-value.
    pub fn letters(&self, adjustment: Adjustment, alpha: f64) -> Letters {
        let p = |pair: &Pair| match adjustment {
            Adjustment::Holm => pair.p_holm,
            Adjustment::Tukey => pair.p_tukey,
        };
        let told_apart = |a: usize, b: usize| {
            let is_it = |pair: &&Pair| pair.first == a.min(b) && pair.second == a.max(b);
            self.pairs.iter().find(is_it).and_then(p).is_some_and(|p| p < alpha)
        };
        letters(&self.order, told_apart)
    }
}

fn tukey(t: f64, p: f64, arms: usize) -> f64 {
    let t = t.abs();
    studentized_range_tail(t * std::f64::consts::SQRT_2, arms, df_of(t, p)).max(p).min(1.0)
}

/// Holm's adjustment (1979, "A simple sequentially rejective multiple test procedure"): the chance of any false claim
/// among them stays below the level. In the order given.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let mut adjusted = vec![0.0; p_values.len()];
    let mut least: f64 = 0.0;
    for (rank, i) in order.into_iter().enumerate() {
        least = least.max(p_values[i] * (p_values.len() - rank) as f64).min(1.0);
        adjusted[i] = least;
    }
    adjusted
}
