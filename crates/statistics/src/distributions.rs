//! The distributions that tests and intervals need: Student's t, its noncentral form, the studentized range.
//!
//! Student's t comes from `statrs`. The other two are integrals over the distribution of a standard deviation's estimate,
//! s = sqrt(chi-square with `df` degrees of freedom / df), whose density is
//!
//! f(s) = 2 (df/2)^(df/2) / Γ(df/2) · s^(df-1) · exp(-df s²/2),
//!
//! taken by Gauss-Legendre quadrature over the root of s, in which it is smooth (nodes: Newton's method on the Legendre
//! polynomials).

use std::sync::LazyLock;

use statrs::distribution::{ChiSquared, Continuous, ContinuousCDF, Normal, StudentsT};
use statrs::function::gamma::ln_gamma;

/// More degrees of freedom than this are taken as infinitely many: t is then normal to seven digits.
pub const MOST_DF: f64 = 1e6;
/// Points of a panel of the quadrature.
const POINTS: usize = 16;
/// Panels over the estimate of a standard deviation, and over a normal variable.
const DEVIATION_PANELS: usize = 6;
const NORMAL_PANELS: usize = 4;
/// How far the quadrature goes from the middle, in standard deviations.
const REACH: f64 = 8.0;

static NORMAL: LazyLock<Normal> = LazyLock::new(Normal::standard);
static LEGENDRE: LazyLock<[(f64, f64); POINTS]> = LazyLock::new(legendre);
/// Points of a normal variable z: z, its weight times its density, P(Z <= z).
static NORMAL_NODES: LazyLock<Vec<(f64, f64, f64)>> = LazyLock::new(|| {
    let density = |z: f64| (-z * z / 2.0).exp() / std::f64::consts::TAU.sqrt();
    nodes(-REACH, REACH, NORMAL_PANELS).map(|(z, weight)| (z, weight * density(z), normal_cdf(z))).collect()
});

/// P(Z <= z) of a standard normal Z.
pub fn normal_cdf(z: f64) -> f64 {
    NORMAL.cdf(z)
}

/// P(T > t) of Student's t with `df > 0`; normal above [`MOST_DF`].
pub fn t_tail(t: f64, df: f64) -> f64 {
    match student(df) {
        Some(distribution) => distribution.sf(t),
        None => NORMAL.sf(t),
    }
}

/// The t >= 0 that is exceeded with probability `tail`, in (0, 0.5].
///
/// Newton's method on the tail, and where the tail is thin on its logarithm against the logarithm of t, which is nearly a
/// line: `statrs`' own quantile is off by a tenth at 1 degree of freedom and 1e-8.
pub fn t_quantile(tail: f64, df: f64) -> f64 {
    let tail = tail.clamp(1e-300, 0.5);
    let z = -NORMAL.inverse_cdf(tail);
    let Some(distribution) = student(df) else { return z };
    // Cornish and Fisher's first term, without which many degrees of freedom would begin far off.
    let mut t = if df > 3.0 { z + (z.powi(3) + z) / (4.0 * df) } else { z };
    for _ in 0..100 {
        let (seen, density) = (distribution.sf(t), distribution.ln_pdf(t).exp());
        let next = match tail < 0.25 {
            true => t * ((seen / tail).ln() * seen / (t * density)).clamp(-3.0, 20.0).exp(),
            false => t + (seen - tail) / density,
        };
        let step = (next - t).abs();
        t = if next.is_finite() { next } else { t * 2.0 };
        // Each step doubles the digits: the next would be below rounding.
        if step <= 1e-8 * t {
            break;
        }
    }
    t
}

/// The estimate of a variance of 1, with `df` degrees of freedom, that is exceeded with probability `tail`.
pub fn variance_quantile(tail: f64, df: f64) -> f64 {
    if df >= MOST_DF {
        return 1.0;
    }
    ChiSquared::new(df.max(1e-3)).map_or(1.0, |distribution| distribution.inverse_cdf(1.0 - tail) / df)
}

fn student(df: f64) -> Option<StudentsT> {
    if df >= MOST_DF { None } else { StudentsT::new(0.0, 1.0, df.max(1e-3)).ok() }
}

/// Power of a two-sided t test at level `alpha` when the true difference is `noncentrality` standard errors:
/// P(|T'| > t) = ∫ f(s) [Φ(λ - t s) + Φ(-λ - t s)] ds, the definition of noncentral t (Johnson, Kotz, Balakrishnan 1995,
/// "Continuous univariate distributions" 2, chapter 31).
pub fn t_test_power(noncentrality: f64, df: f64, alpha: f64) -> f64 {
    let t = t_quantile(alpha / 2.0, df);
    let rejects = |s: f64| normal_cdf(noncentrality - t * s) + normal_cdf(-noncentrality - t * s);
    over_deviation(df, rejects)
}

/// P(Q > q) of the studentized range of `groups` means with `df` degrees of freedom:
/// P(Q <= q) = ∫ f(s) W(q s) ds, where W(w) = k ∫ φ(z) [Φ(z) - Φ(z - w)]^(k-1) dz is the range of k normals
/// (Copenhaver and Holland 1988, "Computation of the distribution of the maximum studentized range statistic").
pub fn studentized_range_tail(q: f64, groups: usize, df: f64) -> f64 {
    if q <= 0.0 || groups < 2 {
        return 1.0;
    }
    (1.0 - over_deviation(df, |s| normal_range_cdf(q * s, groups))).clamp(0.0, 1.0)
}

fn normal_range_cdf(width: f64, groups: usize) -> f64 {
    let others = i32::try_from(groups - 1).unwrap_or(i32::MAX);
    let inside = |(z, weight, below): &(f64, f64, f64)| weight * (below - normal_cdf(z - width)).powi(others);
    groups as f64 * NORMAL_NODES.iter().map(inside).sum::<f64>()
}

/// ∫ f(s) value(s) ds over the estimate s of a standard deviation of 1.
fn over_deviation(df: f64, value: impl Fn(f64) -> f64) -> f64 {
    if df >= MOST_DF {
        return value(1.0);
    }
    let half = df / 2.0;
    let constant = std::f64::consts::LN_2 + half * half.ln() - ln_gamma(half);
    let density = |s: f64| (constant + (df - 1.0) * s.ln() - half * s * s).exp();
    let reach = REACH / (2.0 * df).sqrt();
    let (low, high) = ((1.0 - reach).max(0.0).sqrt(), (1.0 + reach).sqrt());
    let at = |(root, weight): (f64, f64)| {
        let s = root * root;
        2.0 * root * weight * density(s) * value(s)
    };
    nodes(low, high, DEVIATION_PANELS).map(at).sum()
}

/// Points and weights of the quadrature between two ends.
fn nodes(low: f64, high: f64, panels: usize) -> impl Iterator<Item = (f64, f64)> {
    let half = (high - low) / (2 * panels) as f64;
    let middles = (0..panels).map(move |i| low + (2 * i + 1) as f64 * half);
    middles.flat_map(move |middle| LEGENDRE.iter().map(move |(x, weight)| (middle + half * x, half * weight)))
}

/// Nodes and weights of Gauss-Legendre quadrature on [-1, 1].
fn legendre() -> [(f64, f64); POINTS] {
    std::array::from_fn(|i| {
        let mut x = (std::f64::consts::PI * (i as f64 + 0.75) / (POINTS as f64 + 0.5)).cos();
        let mut slope = 1.0;
        for _ in 0..50 {
            let (value, derivative) = legendre_polynomial(x);
            slope = derivative;
            let step = value / derivative;
            x -= step;
            if step.abs() < 1e-15 {
                break;
            }
        }
        (x, 2.0 / ((1.0 - x * x) * slope * slope))
    })
}

/// Value and derivative of the polynomial of degree [`POINTS`], by its recurrence.
fn legendre_polynomial(x: f64) -> (f64, f64) {
    let (mut before, mut value) = (1.0, x);
    for n in 2..=POINTS {
        let n = n as f64;
        (before, value) = (value, ((2.0 * n - 1.0) * x * value - (n - 1.0) * before) / n);
    }
    (value, POINTS as f64 * (x * value - before) / (x * x - 1.0))
}

/// Where the decreasing `value` crosses zero between `low` and `high`, to a relative 1e-12 of the bracket, by Ridders'
/// method (Ridders 1979); an end of the bracket where it does not cross.
pub(crate) fn root_of_decreasing(mut low: f64, mut high: f64, value: impl Fn(f64) -> f64) -> f64 {
    let (mut at_low, mut at_high) = (value(low), value(high));
    if at_low <= 0.0 {
        return low;
    }
    if at_high >= 0.0 {
        return high;
    }
    let enough = (high - low) * 1e-12;
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        let at_middle = value(middle);
        let scale = (at_middle * at_middle - at_low * at_high).sqrt();
        let next = if scale > 0.0 { middle + (middle - low) * at_middle / scale } else { middle };
        let at_next = value(next);
        for (x, at_x) in [(middle, at_middle), (next, at_next)] {
            if at_x > 0.0 && x > low {
                (low, at_low) = (x, at_x);
            }
            if at_x <= 0.0 && x < high {
                (high, at_high) = (x, at_x);
            }
        }
        if high - low <= enough || at_next == 0.0 {
            break;
        }
    }
    if at_high == 0.0 { high } else { f64::midpoint(low, high) }
}
