//! Two raters' marks of the same answers, checked.

use crate::Error;
use crate::marks::check_pairs;

/// That there are pairs, and that each mark is a number.
pub(crate) fn check(pairs: &[(f64, f64)]) -> Result<(), Error> {
    if pairs.is_empty() {
        return Err(Error::Empty);
    }
    check_pairs(pairs.iter().copied())
}

/// Sums of squares and products of deviations from the means.
pub(crate) struct Moments {
    pub(crate) n: f64,
    pub(crate) means: (f64, f64),
    pub(crate) first_squares: f64,
    pub(crate) second_squares: f64,
    pub(crate) products: f64,
}

pub(crate) fn moments(pairs: &[(f64, f64)]) -> Moments {
    let n = pairs.len() as f64;
    let mean = |pick: fn(&(f64, f64)) -> f64| pairs.iter().map(pick).sum::<f64>() / n;
    let means = (mean(|pair| pair.0), mean(|pair| pair.1));
    let sum = |value: &dyn Fn(f64, f64) -> f64| pairs.iter().map(|(x, y)| value(x - means.0, y - means.1)).sum::<f64>();
    // Below this, what is left of equal marks is rounding.
    let seen = |squares: f64, pick: fn(&(f64, f64)) -> f64| {
        let largest = pairs.iter().map(|pair| pick(pair).abs()).fold(0.0, f64::max);
        if squares <= n * (largest * 1e-13).powi(2) { 0.0 } else { squares }
    };
    Moments {
        n,
        means,
        first_squares: seen(sum(&|x, _| x * x), |pair| pair.0),
        second_squares: seen(sum(&|_, y| y * y), |pair| pair.1),
        products: sum(&|x, y| x * y),
    }
}
