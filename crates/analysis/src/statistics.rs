//! Statistics of paired differences, and of pairs of values.
//!
//! Differences come in strata. The estimate is the unweighted mean of the strata's means: one stratum of all items gives
//! the micro average, one stratum per category the macro average.

use tunebench_spec::random::Stream;

/// Resamples of the bootstrap, and random sign patterns of the permutation test.
pub const RESAMPLES: usize = 10_000;
/// Up to this many differences the permutation test counts every sign pattern.
const MAX_EXACT: usize = 13;
/// Confidence of the intervals.
pub const CONFIDENCE: f64 = 0.95;
/// Normal quantiles of a two-sided 5 % test (0.975) and of 80 % power (0.8).
const Z_TEST: f64 = 1.959_963_984_540_054;
const Z_POWER: f64 = 0.841_621_233_572_914_3;

/// What paired differences say.
#[derive(Clone, Debug, PartialEq)]
pub struct Paired {
    /// Pairs, all strata together.
    pub n: usize,
    /// Mean over strata of the mean difference.
    pub mean: f64,
    /// 95 % percentile bootstrap interval; pairs are drawn within their stratum.
    pub low: f64,
    pub high: f64,
    /// Two-sided: how often random signs give a mean at least as far from zero.
    pub p: f64,
    /// The true difference that a two-sided 5 % test of this many pairs would find 4 times in 5 (normal approximation);
    /// null when a stratum has a single pair, which tells nothing about its spread.
    pub detectable: Option<f64>,
}

/// Paired statistics of `strata`, none of which may be empty; `None` when there are none or one is.
pub fn paired(strata: &[Vec<f64>], seed: u64) -> Option<Paired> {
    if strata.is_empty() || strata.iter().any(Vec::is_empty) {
        return None;
    }
    let mean = mean_of_means(strata);
    let (low, high) = bootstrap_interval(strata, &mut Stream::named(seed, "paired bootstrap"));
    Some(Paired {
        n: strata.iter().map(Vec::len).sum(),
        mean,
        low,
        high,
        p: permutation_p(strata, mean, &mut Stream::named(seed, "permutation test")),
        detectable: standard_error(strata).map(|error| (Z_TEST + Z_POWER) * error),
    })
}

fn mean_of_means(strata: &[Vec<f64>]) -> f64 {
    strata.iter().map(|values| average(values)).sum::<f64>() / strata.len() as f64
}

fn average(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn bootstrap_interval(strata: &[Vec<f64>], random: &mut Stream) -> (f64, f64) {
    let mut draw = |values: &Vec<f64>| {
        let n = values.len();
        let sum: f64 = (0..n).map(|_| values[random.below(n as u64) as usize]).sum();
        sum / n as f64
    };
    let mut resample = || strata.iter().map(&mut draw).sum::<f64>() / strata.len() as f64;
    let mut means: Vec<f64> = (0..RESAMPLES).map(|_| resample()).collect();
    means.sort_by(f64::total_cmp);
    let tail = (1.0 - CONFIDENCE) / 2.0;
    (quantile(&means, tail), quantile(&means, 1.0 - tail))
}

/// Of sorted values, linear between neighbours.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let place = q * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    below + (above - below) * place.fract()
}

/// Under the null hypothesis each difference could as well have had the other sign.
fn permutation_p(strata: &[Vec<f64>], mean: f64, random: &mut Stream) -> f64 {
    // Each difference with its weight in the estimate; zeros have no sign to flip.
    let weighted = strata.iter().flat_map(|values| values.iter().map(|value| value / values.len() as f64));
    let terms: Vec<f64> = weighted.map(|value| value / strata.len() as f64).filter(|value| *value != 0.0).collect();
    // Sums in another order differ in their last bits, which must not make a tie a miss.
    let at_least = mean.abs() * (1.0 - 1e-12);
    let signed_sum = |signs: &mut dyn FnMut(usize) -> bool| {
        let signed = terms.iter().enumerate().map(|(i, term)| if signs(i) { -term } else { *term });
        signed.sum::<f64>().abs() >= at_least
    };
    if terms.len() <= MAX_EXACT {
        let patterns = 1usize << terms.len();
        let extreme = (0..patterns).filter(|pattern| signed_sum(&mut |i| pattern >> i & 1 == 1)).count();
        return extreme as f64 / patterns as f64;
    }
    let extreme = (0..RESAMPLES).filter(|_| {
        let mut bits = 0;
        signed_sum(&mut |i| {
            if i.is_multiple_of(64) {
                bits = random.next_u64();
            }
            bits >> (i % 64) & 1 == 1
        })
    });
    // The observed signs are one of the patterns, so p is never 0.
    (extreme.count() + 1) as f64 / (RESAMPLES + 1) as f64
}

fn standard_error(strata: &[Vec<f64>]) -> Option<f64> {
    let squares: Option<Vec<f64>> = strata.iter().map(|values| Some(variance(values)? / values.len() as f64)).collect();
    Some(squares?.iter().sum::<f64>().sqrt() / strata.len() as f64)
}

/// Sample variance; needs two values.
fn variance(values: &[f64]) -> Option<f64> {
    let mean = average(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (values.len() > 1).then(|| squares / (values.len() - 1) as f64)
}

/// Holm's adjustment of p-values: the chance of any false claim among them stays below the level.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let mut adjusted = vec![0.0; p_values.len()];
    let mut least: f64 = 0.0;
    for (rank, i) in order.into_iter().enumerate() {
        least = least.max(p_values[i] * (p_values.len() - rank) as f64).min(1.0);
        adjusted[i] = least;
    }
    adjusted
}

/// The least-squares line through pairs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// Change of y per unit of x.
    pub slope: f64,
    /// Pearson's correlation; null when y does not vary.
    pub correlation: Option<f64>,
}

/// Fits y = slope·x + constant; `None` with fewer than 3 pairs or when x does not vary.
pub fn line(pairs: &[(f64, f64)]) -> Option<Line> {
    if pairs.len() < 3 {
        return None;
    }
    let (xs, ys): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
    let (mean_x, mean_y) = (average(&xs), average(&ys));
    let product: f64 = pairs.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let (var_x, var_y) = (variance(&xs)?, variance(&ys)?);
    let n = (pairs.len() - 1) as f64;
    let slope = (var_x > 0.0).then(|| product / n / var_x)?;
    let correlation = (var_y > 0.0).then(|| product / n / (var_x * var_y).sqrt());
    Some(Line { slope, correlation })
}
