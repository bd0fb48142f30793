//! One comparison of two answers to an item.

use std::collections::BTreeMap;

use crate::Error;

/// A preference closer to a half than this is a tie: a mean has rounding.
const ROUNDING: f64 = 1e-9;

/// What a judge said of two answers, in the order in which it saw them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    pub item: usize,
    /// The arm whose answer was shown first.
    pub shown_first: usize,
    pub shown_second: usize,
    /// How far the answer shown first is preferred: 1 it wins, 0.5 a tie, 0 the other wins. What lies between is a
    /// probability, as from log-probabilities.
    pub preference: f64,
}

impl Comparison {
    /// How far `arm` is preferred to `other`; none where others are compared.
    pub(crate) fn of(&self, arm: usize, other: usize) -> Option<f64> {
        match (self.shown_first, self.shown_second) {
            (first, second) if first == arm && second == other => Some(self.preference),
            (first, second) if first == other && second == arm => Some(1.0 - self.preference),
            _ => None,
        }
    }

    /// The arm with the lower index, and the other.
    pub(crate) fn arms(&self) -> (usize, usize) {
        (self.shown_first.min(self.shown_second), self.shown_first.max(self.shown_second))
    }
}

/// That there are comparisons, each of two arms, with a preference in 0..1.
pub(crate) fn check(comparisons: &[Comparison]) -> Result<(), Error> {
    if comparisons.is_empty() {
        return Err(Error::Empty);
    }
    for (place, comparison) in comparisons.iter().enumerate() {
        if !(0.0..=1.0).contains(&comparison.preference) {
            let value = comparison.preference;
            return Err(Error::BadValue {
                what: "the preference of comparison",
                place,
                value,
                rule: "between 0 and 1",
            });
        }
        if comparison.shown_first == comparison.shown_second {
            let value = comparison.shown_second as f64;
            return Err(Error::BadValue {
                what: "the second arm of comparison",
                place,
                value,
                rule: "another than the first",
            });
        }
    }
    Ok(())
}

/// Preferences that were given in one order of two answers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    count: f64,
    sum: f64,
}

impl Tally {
    pub(crate) fn add(&mut self, preference: f64) {
        self.count += 1.0;
        self.sum += preference;
    }

    pub(crate) fn mean(self) -> Option<f64> {
        (self.count > 0.0).then(|| self.sum / self.count)
    }
}

/// The preferences of a pair of answers in one order, and in the other.
pub(crate) type Orders = [Tally; 2];

/// By item: how far `arm` is preferred to `other` where it was shown first, and where second.
pub(crate) fn by_item(comparisons: &[Comparison], arm: usize, other: usize) -> BTreeMap<usize, Orders> {
    let mut items: BTreeMap<usize, Orders> = BTreeMap::new();
    for comparison in comparisons {
        if let Some(preference) = comparison.of(arm, other) {
            items.entry(comparison.item).or_default()[usize::from(comparison.shown_first != arm)].add(preference);
        }
    }
    items
}

/// The mean of both orders, or of the one that there is.
pub(crate) fn over_orders(orders: &Orders) -> Option<f64> {
    match orders.map(Tally::mean) {
        [Some(a), Some(b)] => Some(f64::midpoint(a, b)),
        [one, other] => one.or(other),
    }
}

/// 1 where a preference is for the arm that it is counted for, -1 for the other, 0 for a tie.
pub(crate) fn verdict(preference: f64) -> i8 {
    i8::from(preference > 0.5 + ROUNDING) - i8::from(preference < 0.5 - ROUNDING)
}
