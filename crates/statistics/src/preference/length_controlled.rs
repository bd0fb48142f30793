//! The win rate of an arm over a baseline, as if both answers of each item were equally long.
//!
//! AlpacaEval 2's regression (Dubois et al. 2024, "Length-controlled AlpacaEval: a simple way to debias automatic
//! evaluators"): P(preferred) = logistic(arm + length × tanh((words - baseline's words) / their standard deviation) +
//! difficulty × the item's difficulty); the win rate is the mean over items with the length's term at 0. There, the
//! item's difficulty comes from a fit over a leaderboard's models, and coefficients are held by L1 and
//! cross-validation; here it is given by the caller, centred, or left out, and length and difficulty have a ridge,
//! which the caller states: the precision of a normal prior around 0. The arm's own term has none. Interval by
//! [`Bootstrap`] over items; the deviation of lengths is taken anew in each draw.

use super::comparison::{Comparison, Orders, by_item, check, over_orders};
use crate::bootstrap::Bootstrap;
use crate::logistic::{Row, fit, logistic};
use crate::marks::is_mark;
use crate::spread::Interval;
use crate::{Error, NoInterval};

/// The two answers of an item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LengthPair {
    pub item: usize,
    /// How far the arm's answer is preferred to the baseline's, 0..1: over both orders, their mean.
    pub preference: f64,
    /// In any unit, the same for all.
    pub length: f64,
    pub baseline_length: f64,
    /// How hard the item is, in any unit; of all items or of none.
    pub difficulty: Option<f64>,
}

/// A length-controlled win rate.
#[derive(Clone, Debug, PartialEq)]
pub struct LengthControlled {
    /// 0..1, at equal length.
    pub win_rate: f64,
    /// Mean preference, as it is.
    pub raw_win_rate: f64,
    /// Log-odds that one standard deviation of length difference brings, times tanh 1 = 0.76: above 0, length is liked.
    pub length_coefficient: f64,
    pub difficulty_coefficient: Option<f64>,
    /// Mean length of the arm's answers minus the baseline's.
    pub mean_length_difference: f64,
    pub items: usize,
    /// As it was asked for.
    pub ridge: f64,
    pub interval: Result<Interval, NoInterval>,
}

impl LengthPair {
    /// Pairs of `arm` with `baseline` from comparisons, both orders averaged; `length` gives that of an arm's answer to
    /// an item. Items without both lengths are left out: second comes how many.
    ///
    /// # Errors
    /// A preference outside 0..1.
    pub fn from_comparisons(
        comparisons: &[Comparison],
        arm: usize,
        baseline: usize,
        length: impl Fn(usize, usize) -> Option<f64>,
    ) -> Result<(Vec<Self>, usize), Error> {
        check(comparisons)?;
        let items = by_item(comparisons, arm, baseline);
        let pair = |(item, orders): (&usize, &Orders)| {
            let (length, baseline_length) = (length(arm, *item)?, length(baseline, *item)?);
            let preference = over_orders(orders)?;
            Some(Self { item: *item, preference, length, baseline_length, difficulty: None })
        };
        let pairs: Vec<Self> = items.iter().filter_map(pair).collect();
        let left_out = items.len() - pairs.len();
        Ok((pairs, left_out))
    }
}

/// The win rate at equal length, of one pair for each item.
///
/// # Errors
/// No pair; a preference outside 0..1; a length or difficulty that is not finite; difficulties of some items only; a
/// ridge that is not above 0; preferences that are all 1 or all 0, of which no odds can be made.
pub fn length_controlled_win_rate(
    pairs: &[LengthPair],
    ridge: f64,
    bootstrap: Bootstrap,
) -> Result<LengthControlled, Error> {
    check_pairs(pairs, ridge)?;
    let n = pairs.len() as f64;
    let all: Vec<usize> = (0..pairs.len()).collect();
    let raw_win_rate = pairs.iter().map(|pair| pair.preference).sum::<f64>() / n;
    if raw_win_rate <= 0.0 || raw_win_rate >= 1.0 {
        let why = "all preferences are for the same arm, so that length explains nothing";
        return Err(Error::Undefined { what: "the length-controlled win rate", why });
    }
    let found = controlled(pairs, &all, ridge).ok_or(Error::NotConverged { what: "the length-controlled win rate" })?;
    let of_draw = |places: &[usize]| controlled(pairs, places, ridge).map(|(win_rate, _)| win_rate);
    Ok(LengthControlled {
        win_rate: found.0,
        raw_win_rate,
        length_coefficient: found.1[1],
        difficulty_coefficient: found.1.get(2).copied(),
        mean_length_difference: pairs.iter().map(|pair| pair.length - pair.baseline_length).sum::<f64>() / n,
        items: pairs.len(),
        ridge,
        interval: bootstrap.interval("length-controlled win rate", pairs.len(), of_draw),
    })
}

fn check_pairs(pairs: &[LengthPair], ridge: f64) -> Result<(), Error> {
    if pairs.is_empty() {
        return Err(Error::Empty);
    }
    if !(ridge > 0.0 && ridge.is_finite()) {
        return Err(Error::OutOfRange { what: "the ridge", value: ridge, rule: "above 0" });
    }
    let with_difficulty = pairs[0].difficulty.is_some();
    for (place, pair) in pairs.iter().enumerate() {
        if !(0.0..=1.0).contains(&pair.preference) {
            let value = pair.preference;
            return Err(Error::BadValue { what: "the preference of pair", place, value, rule: "between 0 and 1" });
        }
        let numbers = [pair.length, pair.baseline_length, pair.difficulty.unwrap_or(0.0)];
        if let Some(value) = numbers.into_iter().find(|value| !is_mark(*value)) {
            return Err(Error::BadValue {
                what: "a length or difficulty of pair",
                place,
                value,
                rule: "finite, and no larger than 1e60",
            });
        }
        if pair.difficulty.is_some() != with_difficulty {
            let value = pair.difficulty.unwrap_or(0.0);
            return Err(Error::BadValue {
                what: "the difficulty of pair",
                place,
                value,
                rule: "given for all items, or none",
            });
        }
    }
    Ok(())
}

/// The win rate at equal length of the items at `places`, and coefficients of arm, length, difficulty.
fn controlled(pairs: &[LengthPair], places: &[usize], ridge: f64) -> Option<(f64, Vec<f64>)> {
    let chosen = || places.iter().map(|place| &pairs[*place]);
    let n = places.len() as f64;
    let total: f64 = chosen().map(|pair| pair.preference).sum();
    if total <= 0.0 || total >= n {
        return None;
    }
    let difference = |pair: &LengthPair| pair.length - pair.baseline_length;
    let mean = chosen().map(difference).sum::<f64>() / n;
    let deviation = (chosen().map(|pair| (difference(pair) - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0)).sqrt();
    // Lengths that differ by the same everywhere have no scale: their term is then the arm's.
    let scaled = |pair: &LengthPair| if deviation > 0.0 { (difference(pair) / deviation).tanh() } else { 0.0 };
    let hardness = chosen().filter_map(|pair| pair.difficulty).sum::<f64>() / n;
    let hard = |pair: &LengthPair| pair.difficulty.map(|difficulty| difficulty - hardness);
    let row = |pair: &LengthPair| {
        let features = [(0, 1.0), (1, scaled(pair))].into_iter().chain(hard(pair).map(|value| (2, value)));
        Row { features: features.collect(), outcome: pair.preference, weight: 1.0, cluster: pair.item }
    };
    let rows: Vec<Row> = chosen().map(row).collect();
    let coefficients = if pairs[0].difficulty.is_some() { 3 } else { 2 };
    let ridges: Vec<f64> = (0..coefficients).map(|place| if place == 0 { 0.0 } else { ridge }).collect();
    let found = fit(&rows, &ridges, 0.0)?.coefficients;
    let at = |pair: &LengthPair| logistic(found[0] + hard(pair).map_or(0.0, |value| found[2] * value));
    Some((chosen().map(at).sum::<f64>() / n, found))
}
