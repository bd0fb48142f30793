//! From mean squares to standard errors, intervals and p-values that hold at two to five trainings.
//!
//! An average over n items and S trainings has three mean squares that bear on its variance:
//!
//! - I, the variance of the items' means over n. It expects (item variance + trainings-by-items variance / S) / n;
//! - T, the variance of the trainings' means over S. It expects (seed variance + trainings-by-items variance / n) / S;
//! - X = trainings-by-items mean square / (n S), which is in both, and must be counted once.
//!
//! The variance of the average is I + T - X, and at least I, since no training can take noise away:
//! SE² = max(I, max(I - X, 0) + T).
//!
//! **Why not Satterthwaite's t.** T has S - 1 degrees of freedom, I hundreds. One t for their sum, with Satterthwaite's
//! degrees of freedom, takes a T that came out small by chance as proof that trainings do not matter. Where trainings
//! vary ten times as much as items do, it rejects 13 % at 0.05 with two trainings, 8 % with three, and 34 times too
//! often at 0.002, where multiple comparisons are decided. Pooling T over the arms of a study has more degrees of
//! freedom, and rejects too often for every arm that varies more than the others. Neither is used.
//!
//! **What is used.** Banerjee's interval (1960, "Approximate confidence interval for linear functions of means of k
//! populations when the population variances are not equal", Sankhya 22): with t(α, df) of each part at its own degrees
//! of freedom,
//!
//! half width² = max(t(α, df_I)² I, t(α, df_I)² max(I - X, 0) + t(α, df_T)² T),
//!
//! which covers at least 1 - α for normal parts whatever the ratio of their variances, because P(Z² <= x) is concave in
//! x. X is known far better than T, so that it may be taken away at the factor of I. The p-value is the α whose
//! interval ends at 0. Within T, and over categories within I, parts are added with Welch's degrees of freedom, of
//! whose surplus over the smallest part's half is believed (`sum` in `mean_squares.rs`). The price: with two trainings
//! intervals are wide, and they should be.
//!
//! **The judge's own error.** Where scores are corrected by human marks ([`crate::calibration`]), the correction has a
//! variance J of its own, that of a few dozen labels, independent of the other two; it enters as a third part of
//! Banerjee's interval: t(α, df_J)² J is added to half width².

use crate::distributions::{MOST_DF, root_of_decreasing, t_quantile, t_tail};
use crate::mean_squares::{MeanSquares, Part};
use crate::{NoInterval, Scope};

/// Confidence of the intervals that results hold; [`Spread::interval`] gives any other.
pub const CONFIDENCE: f64 = 0.95;
/// p-values are not computed below this.
pub const LEAST_P: f64 = 1e-15;

/// An interval of confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Not cut off where the score's own range ends.
    pub low: f64,
    pub high: f64,
    /// E.g. 0.95.
    pub confidence: f64,
}

impl Interval {
    /// Whether it says more than a score of 0 to 1 can be; then the approximation is coarse.
    pub fn leaves_unit_range(&self) -> bool {
        self.low < 0.0 || self.high > 1.0
    }
}

/// How far an estimate may be from the truth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Of the items' mean over these trainings (I).
    pub items: Part,
    /// Of the trainings' mean over these items (T); null where one training is all there is.
    pub seeds: Option<Part>,
    /// What is in both (X).
    pub shared: f64,
    /// Of the correction of the judge's error (J); null where scores are taken as the judge gave them.
    pub judge: Option<Part>,
}

impl Spread {
    pub fn scope(&self) -> Scope {
        self.seeds.map_or(Scope::ItemsOnly, |_| Scope::ItemsAndTrainings)
    }

    pub fn standard_error(&self) -> f64 {
        self.squared(1.0, |_| 1.0).sqrt()
    }

    /// Half the width of the interval that misses with probability `alpha`, in (0, 1).
    pub fn half_width(&self, alpha: f64) -> f64 {
        let t = t_quantile(alpha / 2.0, self.items.df);
        self.squared(t * t, |df| t_quantile(alpha / 2.0, df).powi(2)).sqrt()
    }

    /// The interval around `value`.
    pub fn interval(&self, value: f64, confidence: f64) -> Interval {
        let half = self.half_width(1.0 - confidence);
        Interval { low: value - half, high: value + half, confidence }
    }

    /// Two-sided p-value of no difference, at least [`LEAST_P`].
    pub fn p(&self, difference: f64) -> f64 {
        let distance = difference.abs();
        if distance == 0.0 {
            return 1.0;
        }
        if self.seeds.is_none() && self.judge.is_none() {
            return (2.0 * t_tail(distance / self.items.variance.sqrt(), self.items.df)).clamp(LEAST_P, 1.0);
        }
        // Half widths shrink as alpha grows.
        let excess = |log_alpha: f64| self.half_width(log_alpha.exp()).ln() - distance.ln();
        let p = root_of_decreasing(LEAST_P.ln(), -1e-9, excess).exp();
        if p > 1.0 - 1e-8 { 1.0 } else { p }
    }

    /// One-sided p-value of "the true value is at most 0", when `value` was seen.
    pub fn p_greater(&self, value: f64) -> f64 {
        let half = self.p(value) / 2.0;
        if value > 0.0 { half } else { 1.0 - half }
    }

    /// Degrees of freedom of the t whose interval of confidence [`CONFIDENCE`] is this one; at most [`MOST_DF`].
    pub fn df(&self) -> f64 {
        if self.seeds.is_none() && self.judge.is_none() {
            return self.items.df;
        }
        let t = self.half_width(1.0 - CONFIDENCE) / self.standard_error();
        df_of(t, 1.0 - CONFIDENCE)
    }

    fn squared(&self, of_items: f64, of_df: impl Fn(f64) -> f64) -> f64 {
        let items_alone = of_items * self.items.variance;
        let both = self.seeds.map_or(items_alone, |seeds| {
            of_items * (self.items.variance - self.shared).max(0.0) + of_df(seeds.df) * seeds.variance
        });
        items_alone.max(both) + self.judge.map_or(0.0, |judge| of_df(judge.df) * judge.variance)
    }
}

/// Degrees of freedom, at least 1, of Student's t that exceeds `t` in absolute value with probability `p`.
pub(crate) fn df_of(t: f64, p: f64) -> f64 {
    let excess = |log_df: f64| (2.0 * t_tail(t, log_df.exp())).ln() - p.ln();
    root_of_decreasing(0.0, MOST_DF.ln(), excess).exp()
}

/// An estimate's interval and what it rests on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Inference {
    pub scope: Scope,
    pub standard_error: f64,
    /// See [`Spread::df`].
    pub df: f64,
    /// Of confidence [`CONFIDENCE`].
    pub interval: Interval,
    /// For other confidences, and tests.
    pub spread: Spread,
}

/// The inference that mean squares allow; or why there is none.
pub(crate) fn inference(squares: &MeanSquares) -> Result<Inference, NoInterval> {
    let items = squares.by_items.clone()?;
    let spread = Spread { items, seeds: squares.seeds, shared: squares.shared, judge: None };
    Ok(Inference::new(squares.value, spread))
}

impl Inference {
    /// What `spread` says of the estimate `value`.
    pub(crate) fn new(value: f64, spread: Spread) -> Self {
        Self {
            scope: spread.scope(),
            standard_error: spread.standard_error(),
            df: spread.df(),
            interval: spread.interval(value, CONFIDENCE),
            spread,
        }
    }

    /// What the interval contains, in words: items, trainings where there are several, and the judge's error where
    /// scores are corrected.
    pub fn contains(&self) -> &'static str {
        match (self.scope, self.spread.judge.is_some()) {
            (Scope::ItemsAndTrainings, true) => "items, trainings and the judge",
            (Scope::ItemsAndTrainings, false) => "items and trainings",
            (Scope::ItemsOnly, true) => "items and the judge",
            (Scope::ItemsOnly, false) => "items only",
        }
    }
}
