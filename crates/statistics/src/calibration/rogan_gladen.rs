//! The true share of right answers, from a judge that errs at known rates.
//!
//! θ = (p + q0 - 1) / (q0 + q1 - 1) (Rogan and Gladen 1978, "Estimating prevalence from the results of a screening
//! test"), with p the share that the judge calls right, q0 the share of wrong answers that it calls wrong
//! (specificity), q1 the share of right ones that it calls right (sensitivity). The interval is that of Lee et al.
//! (2025, "How to correctly report LLM-as-a-judge evaluations", arXiv 2511.21140), which is Lang and Reiczigel's (2014,
//! "Confidence limits for prevalence of disease adjusted for estimated sensitivity and specificity"): with z of the
//! confidence, and
//!
//! - p' = (n p + z² / 2) / (n + z²), q' = (m q + 1) / (m + 2) for both rates, and θ' of these;
//! - v0 = q0' (1 - q0') / (m0 + 2), v1 = q1' (1 - q1') / (m1 + 2), shift = 2 z² [θ' v1 - (1 - θ') v0];
//! - SE² = [p' (1 - p') / (n + z²) + (1 - θ')² v0 + θ'² v1] / (q0' + q1' - 1)²,
//!
//! it is θ' + shift ± z SE. Nothing is cut to 0..1 here. Where q0' + q1' - 1 is not z of its own standard errors above
//! 0, the true interval has no end (Fieller 1954), and none is given.

use crate::distributions::t_quantile;
use crate::spread::{CONFIDENCE, Interval};
use crate::{Error, NoInterval};

/// How many of how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    pub count: usize,
    pub of: usize,
}

/// What a judge said, of answers that nobody marked and of those that people marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JudgedShare {
    /// Answers that the judge calls right, of all.
    pub judged_right: Share,
    /// Of the answers that people call wrong, those that the judge calls wrong.
    pub specificity: Share,
    /// Of the answers that people call right, those that the judge calls right.
    pub sensitivity: Share,
}

/// A corrected share.
#[derive(Clone, Debug, PartialEq)]
pub struct RoganGladen {
    /// May lie outside 0..1, which says that the rates do not fit; [`RoganGladen::shown`] cuts it.
    pub estimate: f64,
    /// The judge's own share.
    pub uncorrected: f64,
    pub specificity: f64,
    pub sensitivity: f64,
    pub standard_error: Result<f64, NoInterval>,
    /// Of confidence [`CONFIDENCE`], over other answers and other labels; around θ' + shift, not the estimate.
    pub interval: Result<Interval, NoInterval>,
}

impl Share {
    fn value(self) -> f64 {
        self.count as f64 / self.of as f64
    }

    /// With `added` successes and failures each.
    fn padded(self, added: f64) -> (f64, f64) {
        let n = self.of as f64 + 2.0 * added;
        ((self.count as f64 + added) / n, n)
    }
}

impl RoganGladen {
    /// The estimate and its interval, cut to what a share can be.
    pub fn shown(&self) -> (f64, Result<Interval, NoInterval>) {
        let cut = |interval: Interval| Interval {
            low: interval.low.clamp(0.0, 1.0),
            high: interval.high.clamp(0.0, 1.0),
            ..interval
        };
        (self.estimate.clamp(0.0, 1.0), self.interval.clone().map(cut))
    }
}

/// The true share of right answers.
///
/// # Errors
/// A share of nothing, or of more than all; labels in which the judge is no better than chance (q0 + q1 <= 1).
pub fn rogan_gladen(judged: &JudgedShare) -> Result<RoganGladen, Error> {
    let shares = [
        ("the number of judged answers", judged.judged_right),
        ("the number of answers that people call wrong", judged.specificity),
        ("the number of answers that people call right", judged.sensitivity),
    ];
    for (what, share) in shares {
        if share.of == 0 {
            return Err(Error::OutOfRange { what, value: 0.0, rule: "at least 1" });
        }
        if share.count > share.of {
            let rule = "at least the number that the judge calls so";
            return Err(Error::OutOfRange { what, value: share.of as f64, rule });
        }
    }
    let [p, q0, q1] = shares.map(|(_, share)| share.value());
    if q0 + q1 - 1.0 <= 1e-12 {
        let why = "in the labels the judge tells right from wrong no better than chance; take another judge";
        return Err(Error::Undefined { what: "the corrected share", why });
    }
    let estimate = (p + q0 - 1.0) / (q0 + q1 - 1.0);
    let known = adjusted(judged);
    Ok(RoganGladen {
        estimate,
        uncorrected: p,
        specificity: q0,
        sensitivity: q1,
        standard_error: known.clone().map(|(error, _)| error),
        interval: known.map(|(_, interval)| interval),
    })
}

fn adjusted(judged: &JudgedShare) -> Result<(f64, Interval), NoInterval> {
    let z = t_quantile((1.0 - CONFIDENCE) / 2.0, f64::INFINITY);
    let (p, n) = judged.judged_right.padded(z * z / 2.0);
    let (q0, m0) = judged.specificity.padded(1.0);
    let (q1, m1) = judged.sensitivity.padded(1.0);
    let (of_p, of_q0, of_q1) = (p * (1.0 - p) / n, q0 * (1.0 - q0) / m0, q1 * (1.0 - q1) / m1);
    let better = q0 + q1 - 1.0;
    if better <= z * (of_q0 + of_q1).sqrt() {
        return Err(NoInterval::JudgeLikeChance { labels: judged.specificity.of + judged.sensitivity.of });
    }
    let share = (p + q0 - 1.0) / better;
    let shift = 2.0 * z * z * (share * of_q1 - (1.0 - share) * of_q0);
    let error = (of_p + (1.0 - share).powi(2) * of_q0 + share.powi(2) * of_q1).sqrt() / better;
    let middle = share + shift;
    Ok((error, Interval { low: middle - z * error, high: middle + z * error, confidence: CONFIDENCE }))
}
