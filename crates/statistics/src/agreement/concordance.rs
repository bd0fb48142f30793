//! Lin's concordance: how near pairs of marks lie to the line on which both are the same.
//!
//! ρ = 2 s_xy / (s_x² + s_y² + (mean x - mean y)²), with the divisor n: the correlation, less what scale and level
//! differ (Lin 1989, "A concordance correlation coefficient to evaluate reproducibility"). Its interval is by Fisher's
//! transformation, with the variance of atanh ρ, as corrected in 2000:
//!
//! [(1 - r²) ρ² / ((1 - ρ²) r²) + 2 ρ³ (1 - ρ) u² / (r (1 - ρ²)²) - ρ⁴ u⁴ / (2 r² (1 - ρ²)²)] / (n - 2),
//!
//! where u² = (mean x - mean y)² / (s_x s_y).

use super::pairs::{check, moments};
use crate::distributions::t_quantile;
use crate::spread::{CONFIDENCE, Interval};
use crate::{Error, NoInterval};

/// Lin's concordance correlation coefficient.
#[derive(Clone, Debug, PartialEq)]
pub struct Concordance {
    /// -1 to 1; at most the correlation in absolute value.
    pub rho: f64,
    /// Pearson's.
    pub correlation: f64,
    /// rho / correlation: 1 where scale and level are the same.
    pub bias_correction: f64,
    pub pairs: usize,
    pub interval: Result<Interval, NoInterval>,
}

/// The concordance of pairs of marks, one pair for each answer.
///
/// # Errors
/// No pair; a mark that is not finite; a rater whose marks are all the same.
pub fn concordance(pairs: &[(f64, f64)]) -> Result<Concordance, Error> {
    check(pairs)?;
    let moments = moments(pairs);
    if moments.first_squares == 0.0 || moments.second_squares == 0.0 {
        return Err(Error::Undefined { what: "Lin's concordance", why: "one rater gave all answers the same mark" });
    }
    let n = moments.n;
    let product_of_deviations = moments.first_squares.sqrt() * moments.second_squares.sqrt() / n;
    let apart = (moments.means.0 - moments.means.1).powi(2);
    let r = (moments.products / n / product_of_deviations).clamp(-1.0, 1.0);
    let bias_correction = 2.0 * product_of_deviations / ((moments.first_squares + moments.second_squares) / n + apart);
    let rho = r * bias_correction;
    let interval = if pairs.len() < 4 {
        Err(NoInterval::TooFew { values: pairs.len(), least: 4 })
    } else if 1.0 - r.abs() < 1e-12 {
        Err(NoInterval::PerfectLine)
    } else {
        // Divided by r where it stands, so that nothing is lost at r = 0.
        let (c, u2, rest) = (bias_correction, apart / product_of_deviations, 1.0 - rho * rho);
        let variance = ((1.0 - r * r) * c * c / rest + 2.0 * rho * rho * c * (1.0 - rho) * u2 / (rest * rest)
            - rho * rho * c * c * u2 * u2 / (2.0 * rest * rest))
            / (n - 2.0);
        let half = t_quantile((1.0 - CONFIDENCE) / 2.0, f64::INFINITY) * variance.max(0.0).sqrt();
        Ok(Interval { low: (rho.atanh() - half).tanh(), high: (rho.atanh() + half).tanh(), confidence: CONFIDENCE })
    };
    Ok(Concordance { rho, correlation: r, bias_correction, pairs: pairs.len(), interval })
}
