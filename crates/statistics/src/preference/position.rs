//! What the order of two answers does to a judge.
//!
//! Of pairs of answers that were judged in both orders: how often the winner changes with the order, and how far the
//! one shown first is preferred, which is a half for a judge that does not mind. Several comparisons in one order count
//! by their mean.

use std::collections::BTreeMap;

use super::comparison::{Comparison, Orders, check, verdict};
use crate::Error;
use crate::sample_mean::{SampleMean, cluster_mean};

/// What the order does.
#[derive(Clone, Debug, PartialEq)]
pub struct PositionEffect {
    /// Pairs of answers judged in both orders, and in one only, which say nothing here.
    pub pairs: usize,
    pub one_order: usize,
    /// Pairs with the same verdict in both orders; with opposite ones; and with a tie in one order only.
    pub consistent: usize,
    pub flipped: usize,
    pub half_flipped: usize,
    /// Share of pairs that flipped, over other items.
    pub flips: SampleMean,
    /// Mean preference for the answer shown first, over other items.
    pub first_shown: SampleMean,
}

/// The effect of the order in all `comparisons`.
///
/// # Errors
/// No pair judged in both orders; a preference outside 0..1.
pub fn position_effect(comparisons: &[Comparison]) -> Result<PositionEffect, Error> {
    check(comparisons)?;
    // Preferences for the answer shown first.
    let mut pairs: BTreeMap<(usize, usize, usize), Orders> = BTreeMap::new();
    for comparison in comparisons {
        let (low, high) = comparison.arms();
        let order = usize::from(comparison.shown_first != low);
        pairs.entry((comparison.item, low, high)).or_default()[order].add(comparison.preference);
    }
    let both: Vec<(usize, f64, f64)> =
        pairs.iter().filter_map(|((item, ..), [a, b])| Some((*item, a.mean()?, b.mean()?))).collect();
    if both.is_empty() {
        let why = "no pair of answers was judged in both orders; judge some both ways";
        return Err(Error::Undefined { what: "the effect of the order", why });
    }
    // Towards the arm of the lower index.
    let verdicts: Vec<(usize, i8, i8)> = both.iter().map(|(item, a, b)| (*item, verdict(*a), -verdict(*b))).collect();
    let count = |is: fn(i8, i8) -> bool| verdicts.iter().filter(|(_, a, b)| is(*a, *b)).count();
    let flips: Vec<(usize, f64)> =
        verdicts.iter().map(|(item, a, b)| (*item, f64::from(u8::from(a * b < 0)))).collect();
    let first_shown: Vec<(usize, f64)> = both.iter().map(|(item, a, b)| (*item, f64::midpoint(*a, *b))).collect();
    let (consistent, flipped) = (count(|a, b| a == b), count(|a, b| a * b < 0));
    Ok(PositionEffect {
        pairs: both.len(),
        one_order: pairs.len() - both.len(),
        consistent,
        flipped,
        half_flipped: both.len() - consistent - flipped,
        flips: cluster_mean(&flips)?,
        first_shown: cluster_mean(&first_shown)?,
    })
}
