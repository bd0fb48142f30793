//! Cohen's kappa of two raters whose marks are put into bins; and how often two marks come within a tolerance.
//!
//! kappa = (p_o - p_e) / (1 - p_e), with the weighted agreement p_o = Σ w_ij p_ij seen, and p_e = Σ w_ij p_i. p_.j
//! expected (Cohen 1960, "A coefficient of agreement for nominal scales"; 1968, "Weighted kappa"). Weights of bins i
//! and j of k: 1 if they are the same, else 0; 1 - |i - j| / (k - 1); 1 - (i - j)² / (k - 1)². Its variance (Fleiss,
//! Cohen, Everitt 1969, "Large sample standard errors of kappa and weighted kappa") is
//!
//! (Σ p_ij [w_ij (1 - p_e) - (w_i + w_j)(1 - p_o)]² - [p_o p_e - 2 p_e + p_o]²) / (n (1 - p_e)⁴),
//!
//! where w_i = Σ_j p_.j w_ij and w_j = Σ_i p_i. w_ij. It holds for large samples: from some 50 pairs.

use super::pairs::check;
use crate::distributions::{MOST_DF, t_quantile};
use crate::marks::is_mark;
use crate::sample_mean::Uncertainty;
use crate::spread::{CONFIDENCE, Interval};
use crate::{Error, NoInterval};

/// Bins of marks by the edges between them: a mark that is an edge lies in the bin above it.
#[derive(Clone, Debug, PartialEq)]
pub struct Bins {
    edges: Vec<f64>,
}

/// How much two bins agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KappaWeights {
    Unweighted,
    Linear,
    Quadratic,
}

/// Cohen's kappa.
#[derive(Clone, Debug, PartialEq)]
pub struct Kappa {
    /// 1 for perfect agreement, 0 for that of chance.
    pub kappa: f64,
    pub weights: KappaWeights,
    /// p_o and p_e.
    pub observed: f64,
    pub expected: f64,
    pub pairs: usize,
    /// Pairs by the first rater's bin, then the second's.
    pub table: Vec<Vec<usize>>,
    /// Normal.
    pub uncertainty: Result<Uncertainty, NoInterval>,
}

/// How often two raters agree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RawAgreement {
    pub share: f64,
    /// Largest difference that counts as agreement, in units of the mark.
    pub tolerance: f64,
    pub agreeing: usize,
    pub pairs: usize,
    /// Wilson's (1927, "Probable inference, the law of succession, and statistical inference").
    pub interval: Interval,
}

impl Bins {
    /// One bin more than there are edges, which ascend.
    ///
    /// # Errors
    /// No edge; one that is not finite, or not above the one before.
    pub fn new(edges: Vec<f64>) -> Result<Self, Error> {
        if edges.is_empty() {
            return Err(Error::OutOfRange { what: "the number of edges between bins", value: 0.0, rule: "at least 1" });
        }
        let rises = |place: usize| is_mark(edges[place]) && (place == 0 || edges[place - 1] < edges[place]);
        match (0..edges.len()).find(|place| !rises(*place)) {
            Some(place) => Err(Error::Bins { place, edge: edges[place] }),
            None => Ok(Self { edges }),
        }
    }

    /// `count` bins of equal width between `low` and `high`; marks outside lie in the outermost.
    ///
    /// # Errors
    /// Fewer than two bins; ends that are not finite and in order.
    pub fn equal(count: usize, low: f64, high: f64) -> Result<Self, Error> {
        if !(2..=10_000).contains(&count) {
            let rule = "between 2 and 10000";
            return Err(Error::OutOfRange { what: "the number of bins", value: count as f64, rule });
        }
        Self::new((1..count).map(|i| low + (high - low) * i as f64 / count as f64).collect())
    }

    pub fn count(&self) -> usize {
        self.edges.len() + 1
    }

    /// The bin of a mark, from 0.
    pub fn bin(&self, mark: f64) -> usize {
        self.edges.partition_point(|edge| *edge <= mark)
    }
}

impl KappaWeights {
    fn weight(self, i: usize, j: usize, bins: usize) -> f64 {
        let apart = i.abs_diff(j) as f64 / (bins as f64 - 1.0);
        match self {
            Self::Unweighted => f64::from(u8::from(i == j)),
            Self::Linear => 1.0 - apart,
            Self::Quadratic => 1.0 - apart * apart,
        }
    }
}

/// Kappa of pairs of marks of the same answers, one pair for each.
///
/// # Errors
/// No pair; a mark that is not finite; both raters with all marks in one bin, the same, so that chance agrees
/// perfectly.
pub fn cohens_kappa(pairs: &[(f64, f64)], bins: &Bins, weights: KappaWeights) -> Result<Kappa, Error> {
    check(pairs)?;
    let k = bins.count();
    let mut table = vec![vec![0_usize; k]; k];
    for (first, second) in pairs {
        table[bins.bin(*first)][bins.bin(*second)] += 1;
    }
    let n = pairs.len() as f64;
    let share = |i: usize, j: usize| table[i][j] as f64 / n;
    let firsts: Vec<f64> = (0..k).map(|i| (0..k).map(|j| share(i, j)).sum()).collect();
    let seconds: Vec<f64> = (0..k).map(|j| (0..k).map(|i| share(i, j)).sum()).collect();
    let weight = |i: usize, j: usize| weights.weight(i, j, k);
    let cells = || (0..k).flat_map(|i| (0..k).map(move |j| (i, j)));
    let observed: f64 = cells().map(|(i, j)| weight(i, j) * share(i, j)).sum();
    let expected: f64 = cells().map(|(i, j)| weight(i, j) * firsts[i] * seconds[j]).sum();
    if 1.0 - expected <= 1e-12 {
        let why = "both raters put everything into one bin, so that they would agree by chance too";
        return Err(Error::Undefined { what: "Cohen's kappa", why });
    }
    let kappa = (observed - expected) / (1.0 - expected);
    let of_first: Vec<f64> = (0..k).map(|i| (0..k).map(|j| seconds[j] * weight(i, j)).sum()).collect();
    let of_second: Vec<f64> = (0..k).map(|j| (0..k).map(|i| firsts[i] * weight(i, j)).sum()).collect();
    let term = |(i, j): (usize, usize)| {
        let inner = weight(i, j) * (1.0 - expected) - (of_first[i] + of_second[j]) * (1.0 - observed);
        share(i, j) * inner * inner
    };
    let centre = observed * expected - 2.0 * expected + observed;
    let variance = (cells().map(term).sum::<f64>() - centre * centre) / (n * (1.0 - expected).powi(4));
    let uncertainty = match variance > 1e-13 {
        true => Ok(Uncertainty::new(kappa, variance.sqrt(), MOST_DF)),
        false => Err(NoInterval::NoSpread { values: pairs.len() }),
    };
    Ok(Kappa { kappa, weights, observed, expected, pairs: pairs.len(), table, uncertainty })
}

/// The share of pairs whose marks differ by at most `tolerance` (and rounding, 1e-9).
///
/// # Errors
/// No pair; a mark or a tolerance that is not finite; a tolerance below 0.
pub fn raw_agreement(pairs: &[(f64, f64)], tolerance: f64) -> Result<RawAgreement, Error> {
    check(pairs)?;
    if !(tolerance >= 0.0 && tolerance.is_finite()) {
        return Err(Error::OutOfRange { what: "the tolerance", value: tolerance, rule: "at least 0" });
    }
    let agreeing = pairs.iter().filter(|(first, second)| (first - second).abs() <= tolerance + 1e-9).count();
    let n = pairs.len() as f64;
    let share = agreeing as f64 / n;
    let z = t_quantile((1.0 - CONFIDENCE) / 2.0, f64::INFINITY);
    let centre = (share + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt() / (1.0 + z * z / n);
    let interval = Interval { low: (centre - half).max(0.0), high: (centre + half).min(1.0), confidence: CONFIDENCE };
    Ok(RawAgreement { share, tolerance, agreeing, pairs: pairs.len(), interval })
}
