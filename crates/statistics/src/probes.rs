//! Probes: answers changed in a way that should not matter, such as padded or shuffled, judged beside the originals.
//!
//! The shift is the mean of changed minus original, by t over items; beside it the sign test, which asks only how often
//! the mark went up (exact binomial, ties left out: Dixon and Mood 1946, "The statistical sign test"). Several probes
//! are several tests, so both p-values are also given by Holm's method over all probes.

use statrs::distribution::{Binomial, DiscreteCDF};

use crate::Error;
use crate::marks::check_pairs;
use crate::pairwise::holm;
use crate::sample_mean::{SampleMean, cluster_mean};
use crate::spread::LEAST_P;

/// Marks closer than this are the same: a mean of repeats has rounding.
const ROUNDING: f64 = 1e-9;

/// An answer's mark as it was, and changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProbePair {
    pub item: usize,
    pub original: f64,
    pub changed: f64,
}

/// What a change did to marks.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeShift {
    /// Changed minus original, in units of the mark; over other items.
    pub shift: SampleMean,
    /// Two-sided, of no shift; null where there is no interval.
    pub p: Option<f64>,
    /// Of all probes that have a p-value, by Holm's method.
    pub p_holm: Option<f64>,
    pub sign: SignTest,
    /// Of all probes whose marks moved at all, by Holm's method.
    pub sign_p_holm: Option<f64>,
}

/// The sign test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SignTest {
    /// Marks that went up, down, and stayed.
    pub up: usize,
    pub down: usize,
    pub same: usize,
    /// Two-sided, of up and down being equally likely; null where none moved.
    pub p: Option<f64>,
}

/// The shift of each probe, in the order given.
///
/// # Errors
/// A probe without a pair; a mark that is not finite.
pub fn probe_shifts(probes: &[Vec<ProbePair>]) -> Result<Vec<ProbeShift>, Error> {
    let mut shifts = probes.iter().map(|pairs| probe_shift(pairs)).collect::<Result<Vec<_>, _>>()?;
    let mean_ps = adjusted(shifts.iter().map(|shift| shift.p));
    let sign_ps = adjusted(shifts.iter().map(|shift| shift.sign.p));
    for ((shift, p), sign_p) in shifts.iter_mut().zip(mean_ps).zip(sign_ps) {
        (shift.p_holm, shift.sign_p_holm) = (p, sign_p);
    }
    Ok(shifts)
}

fn probe_shift(pairs: &[ProbePair]) -> Result<ProbeShift, Error> {
    check_pairs(pairs.iter().map(|pair| (pair.original, pair.changed)))?;
    let differences: Vec<(usize, f64)> = pairs.iter().map(|pair| (pair.item, pair.changed - pair.original)).collect();
    let shift = cluster_mean(&differences)?;
    let p = shift.uncertainty.as_ref().ok().map(|known| known.p(shift.mean));
    let count = |is: fn(f64) -> bool| differences.iter().filter(|(_, value)| is(*value)).count();
    let (up, down) = (count(|value| value > ROUNDING), count(|value| value < -ROUNDING));
    let sign = SignTest { up, down, same: pairs.len() - up - down, p: sign_p(up, down) };
    Ok(ProbeShift { shift, p, p_holm: None, sign, sign_p_holm: None })
}

fn sign_p(up: usize, down: usize) -> Option<f64> {
    if up + down == 0 {
        return None;
    }
    let tail = Binomial::new(0.5, (up + down) as u64).ok()?.cdf(up.min(down) as u64);
    Some((2.0 * tail).clamp(LEAST_P, 1.0))
}

/// Holm's p-values at the places that have one.
fn adjusted(p_values: impl Iterator<Item = Option<f64>>) -> Vec<Option<f64>> {
    let p_values: Vec<Option<f64>> = p_values.collect();
    let mut adjusted = holm(&p_values.iter().flatten().copied().collect::<Vec<_>>()).into_iter();
    p_values.iter().map(|p| p.and_then(|_| adjusted.next())).collect()
}
