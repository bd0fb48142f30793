//! How often one arm is preferred to another.
//!
//! Per item the mean preference in each order, then the mean of both orders, so that what the order does falls out;
//! then the mean over items, by t over items. Ties count half.

use super::comparison::{Comparison, by_item, check, over_orders, verdict};
use crate::Error;
use crate::sample_mean::{SampleMean, cluster_mean};

/// A win rate.
#[derive(Clone, Debug, PartialEq)]
pub struct WinRate {
    /// Share of items that the first arm wins, ties half; over other items.
    pub rate: SampleMean,
    /// Items judged in both orders, and in one only: what the order does is still in these.
    pub both_orders: usize,
    pub one_order: usize,
    /// Items whose mean preference is above a half, a half, and below.
    pub wins: usize,
    pub ties: usize,
    pub losses: usize,
}

/// How often `first` is preferred to `second`. Comparisons of other arms are passed over.
///
/// # Errors
/// No comparison of the two; a preference outside 0..1.
pub fn win_rate(comparisons: &[Comparison], first: usize, second: usize) -> Result<WinRate, Error> {
    check(comparisons)?;
    let items = by_item(comparisons, first, second);
    let values: Vec<(usize, f64)> =
        items.iter().filter_map(|(item, orders)| Some((*item, over_orders(orders)?))).collect();
    if values.is_empty() {
        return Err(Error::Undefined { what: "the win rate", why: "the two arms were never compared" });
    }
    let both_orders = items.values().filter(|orders| orders.iter().all(|tally| tally.mean().is_some())).count();
    let count = |wanted: i8| values.iter().filter(|(_, value)| verdict(*value) == wanted).count();
    Ok(WinRate {
        rate: cluster_mean(&values)?,
        both_orders,
        one_order: items.len() - both_orders,
        wins: count(1),
        ties: count(0),
        losses: count(-1),
    })
}
