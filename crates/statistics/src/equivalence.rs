//! Whether a difference is there, is too small to matter, or cannot be told.

use crate::contrast::Contrast;
use crate::spread::Interval;
use crate::{Error, NoInterval};

/// Two one-sided tests (Schuirmann 1987): that the difference is above -margin, and below +margin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Equivalence {
    /// The larger of both p-values: below the level, the difference is within the margin.
    pub p: f64,
    /// Of confidence 0.9: within the margin exactly when `p` is below 0.05.
    pub interval: Interval,
}

/// What a pair's difference comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not zero.
    Different {
        /// The one that is higher.
        higher: Side,
        /// The difference is also surely smaller than the margin: there, and of no matter.
        within_margin: bool,
    },
    /// Within the margin, and not told apart from zero.
    Equivalent,
    /// Neither.
    CannotTell,
}

/// The first or the second arm of a contrast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    First,
    Second,
}

/// Tests that the difference is smaller than `margin`, in units of the score.
///
/// # Errors
/// A margin that is not above 0.
pub fn equivalence(contrast: &Contrast, margin: f64) -> Result<Result<Equivalence, NoInterval>, Error> {
    if !(margin > 0.0 && margin.is_finite()) {
        return Err(Error::OutOfRange { what: "the margin of equivalence", value: margin, rule: "above 0" });
    }
    Ok(contrast.inference.as_ref().map_err(Clone::clone).map(|known| {
        let above = known.spread.p_greater(contrast.difference + margin);
        let below = known.spread.p_greater(margin - contrast.difference);
        Equivalence { p: above.max(below), interval: known.spread.interval(contrast.difference, 0.9) }
    }))
}

/// The verdict at level `alpha`. `p` is the p-value of no difference: the contrast's own, or adjusted for many pairs.
/// A contrast without an interval cannot tell.
///
/// # Errors
/// A margin that is not above 0.
pub fn verdict(contrast: &Contrast, p: Option<f64>, margin: f64, alpha: f64) -> Result<Verdict, Error> {
    let Ok(equivalence) = equivalence(contrast, margin)? else { return Ok(Verdict::CannotTell) };
    let within_margin = equivalence.p < alpha;
    if p.is_some_and(|p| p < alpha) {
        let higher = if contrast.difference > 0.0 { Side::First } else { Side::Second };
        return Ok(Verdict::Different { higher, within_margin });
    }
    Ok(if within_margin { Verdict::Equivalent } else { Verdict::CannotTell })
}
