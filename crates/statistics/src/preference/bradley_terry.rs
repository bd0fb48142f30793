//! Many arms on one scale, from comparisons of two.
//!
//! P(a preferred to b) = 1 / (1 + exp(s_b - s_a)) (Bradley and Terry 1952, "Rank analysis of incomplete block
//! designs"), by maximum likelihood, strengths summing to 0. A tie is half a win of either, and so is any preference
//! between 0 and 1 counted in part. Intervals by the sandwich over items, t with items - 1 degrees of freedom: an
//! item's comparisons, in both orders and of several arms, belong together.
//!
//! Without a prior the maximum exists only if, however arms are put into two groups, one of each group has beaten one
//! of the other (Ford 1957, "Solution of a ranking problem from binary comparisons"). `ridge` is the precision of a
//! normal prior of each strength around 0: 0.1 is a deviation of 3.2, hardly a statement about arms of one study.

use std::collections::{BTreeMap, BTreeSet};

use super::comparison::{Comparison, check};
use crate::inverse::{Matrix, quadratic};
use crate::logistic::{Fit, Row, fit, logistic};
use crate::sample_mean::Uncertainty;
use crate::spread::Interval;
use crate::{Error, NoInterval};

/// Strengths of arms.
#[derive(Clone, Debug, PartialEq)]
pub struct BradleyTerry {
    /// By arm, of those that were compared; the others are null.
    pub strengths: Vec<Option<Strength>>,
    /// Arms, the strongest first; equal ones in the order of their index.
    pub order: Vec<usize>,
    /// As it was asked for; 0 for none.
    pub ridge: f64,
    pub comparisons: usize,
    pub items: usize,
    covariance: Matrix,
}

/// How strong an arm is, in log-odds of being preferred to an arm of strength 0, the mean.
#[derive(Clone, Debug, PartialEq)]
pub struct Strength {
    pub strength: f64,
    pub comparisons: usize,
    pub uncertainty: Result<Uncertainty, NoInterval>,
}

/// Strengths of `arms` arms, by their index.
///
/// # Errors
/// No comparison, one of an arm that there is not or with itself, a preference outside 0..1; a ridge below 0; groups of
/// arms that were never compared; and without a ridge, arms that won or lost everything against the others.
pub fn bradley_terry(arms: usize, comparisons: &[Comparison], ridge: f64) -> Result<BradleyTerry, Error> {
    check(comparisons)?;
    if !(ridge >= 0.0 && ridge.is_finite()) {
        return Err(Error::OutOfRange { what: "the ridge", value: ridge, rule: "at least 0" });
    }
    if let Some(comparison) = comparisons.iter().find(|comparison| comparison.arms().1 >= arms) {
        return Err(Error::NoSuchArm { arm: comparison.arms().1, arms });
    }
    let compared: Vec<usize> =
        comparisons.iter().flat_map(|c| [c.shown_first, c.shown_second]).collect::<BTreeSet<_>>().into_iter().collect();
    check_groups(&compared, comparisons, ridge)?;
    let place = |arm: usize| compared.partition_point(|known| *known < arm);
    let row = |comparison: &Comparison| Row {
        features: vec![(place(comparison.shown_first), 1.0), (place(comparison.shown_second), -1.0)],
        outcome: comparison.preference,
        weight: 1.0,
        cluster: comparison.item,
    };
    let rows: Vec<Row> = comparisons.iter().map(row).collect();
    let found = fit(&rows, &vec![ridge; compared.len()], 1.0)
        .ok_or(Error::NotConverged { what: "the strengths of arms; state a prior (ridge above 0)" })?;
    Ok(result(arms, &compared, comparisons, ridge, &found, found.sandwich(&rows)))
}

fn result(
    arms: usize,
    compared: &[usize],
    comparisons: &[Comparison],
    ridge: f64,
    found: &Fit,
    (small, items): (Matrix, usize),
) -> BradleyTerry {
    let mut covariance = vec![vec![0.0; arms]; arms];
    let mut strengths = vec![None; arms];
    for (i, arm) in compared.iter().enumerate() {
        compared.iter().enumerate().for_each(|(j, other)| covariance[*arm][*other] = small[i][j]);
        let is_in = |comparison: &&Comparison| comparison.shown_first == *arm || comparison.shown_second == *arm;
        let strength = found.coefficients[i];
        strengths[*arm] = Some(Strength {
            strength,
            comparisons: comparisons.iter().filter(is_in).count(),
            uncertainty: uncertainty(strength, small[i][i], items),
        });
    }
    let mut order = compared.to_vec();
    let at = |arm: usize| strengths[arm].as_ref().map_or(0.0, |strength: &Strength| strength.strength);
    order.sort_by(|a, b| at(*b).total_cmp(&at(*a)));
    BradleyTerry { strengths, order, ridge, comparisons: comparisons.len(), items, covariance }
}

fn uncertainty(value: f64, variance: f64, items: usize) -> Result<Uncertainty, NoInterval> {
    match items {
        1 => Err(NoInterval::OneItem { category: None }),
        _ if variance <= 1e-18 => Err(NoInterval::NoSpread { values: items }),
        _ => Ok(Uncertainty::new(value, variance.sqrt(), items as f64 - 1.0)),
    }
}

impl BradleyTerry {
    /// Strength of `first` minus that of `second`, in log-odds; null where one of them was not compared.
    pub fn difference(&self, first: usize, second: usize) -> Option<Strength> {
        let (one, other) = (self.strengths.get(first)?.as_ref()?, self.strengths.get(second)?.as_ref()?);
        let mut weights = vec![0.0; self.covariance.len()];
        weights[first] += 1.0;
        weights[second] -= 1.0;
        let strength = one.strength - other.strength;
        Some(Strength {
            strength,
            comparisons: one.comparisons.min(other.comparisons),
            uncertainty: uncertainty(strength, quadratic(&self.covariance, &weights), self.items),
        })
    }

    /// The probability that `first` is preferred to `second`, a tie counting half, and its interval.
    pub fn win_probability(&self, first: usize, second: usize) -> Option<(f64, Result<Interval, NoInterval>)> {
        let difference = self.difference(first, second)?;
        let share = |known: Uncertainty| Interval {
            low: logistic(known.interval.low),
            high: logistic(known.interval.high),
            confidence: known.interval.confidence,
        };
        Some((logistic(difference.strength), difference.uncertainty.map(share)))
    }
}

/// That all arms hang together; and without a ridge, that no group beat all others.
fn check_groups(compared: &[usize], comparisons: &[Comparison], ridge: f64) -> Result<(), Error> {
    let (mut met, mut beaten) = (Arrows::new(), Arrows::new());
    for comparison in comparisons {
        for (arm, other) in [comparison.arms(), (comparison.arms().1, comparison.arms().0)] {
            met.entry(arm).or_default().insert(other);
            if comparison.of(arm, other).is_some_and(|preference| preference > 0.0) {
                beaten.entry(arm).or_default().insert(other);
            }
        }
    }
    let missed = |arm: usize, arrows: &Arrows| -> Vec<usize> {
        let seen = reached(arm, arrows);
        compared.iter().copied().filter(|arm| !seen.contains(arm)).collect()
    };
    let rest = missed(compared[0], &met);
    if !rest.is_empty() {
        let together: Vec<usize> = compared.iter().copied().filter(|arm| !rest.contains(arm)).collect();
        return Err(Error::Disconnected { groups: format!("{} and {}", list(&together), list(&rest)) });
    }
    // Who cannot be reached from an arm by going from winners to losers has lost nothing to those that can.
    let unbeaten = compared.iter().map(|arm| missed(*arm, &beaten)).find(|rest| !rest.is_empty());
    match unbeaten {
        Some(rest) if ridge == 0.0 => Err(Error::Unbounded { arms: list(&rest) }),
        _ => Ok(()),
    }
}

/// From arms to arms.
type Arrows = BTreeMap<usize, BTreeSet<usize>>;

fn reached(start: usize, arrows: &Arrows) -> BTreeSet<usize> {
    let mut seen = BTreeSet::from([start]);
    let mut open = vec![start];
    while let Some(arm) = open.pop() {
        open.extend(arrows.get(&arm).into_iter().flatten().filter(|arm| seen.insert(**arm)));
    }
    seen
}

fn list(arms: &[usize]) -> String {
    arms.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
