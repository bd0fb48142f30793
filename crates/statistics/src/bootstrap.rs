//! Intervals by drawing items again, for estimates that have no formula for their spread.
//!
//! Percentile interval of Efron (1979, "Bootstrap methods: another look at the jackknife"), at percentiles that are
//! moved outwards for few items: Φ(-√(n / (n - 1)) t) in place of α / 2, with t of n - 1 degrees of freedom (Hesterberg
//! 2015, "What teachers should know about the bootstrap", section 5.3); without it the interval is as much too narrow
//! as a normal one with the divisor n.

use tunebench_spec::random::Stream;

use crate::NoInterval;
use crate::distributions::{normal_cdf, t_quantile};
use crate::spread::{CONFIDENCE, Interval};

/// Share of draws that may be without an estimate.
const MOST_UNDEFINED: f64 = 0.05;

/// How many samples are drawn, and from which random numbers: the same ones give the same interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bootstrap {
    pub draws: usize,
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { draws: 2000, seed: 0 }
    }
}

impl Bootstrap {
    /// The interval of confidence [`CONFIDENCE`] of what `estimate` makes of `n` items drawn with replacement, given by
    /// their places. `purpose` keeps the draws of different estimates apart.
    pub(crate) fn interval(
        self,
        purpose: &str,
        n: usize,
        mut estimate: impl FnMut(&[usize]) -> Option<f64>,
    ) -> Result<Interval, NoInterval> {
        if n < 2 {
            return Err(NoInterval::OneItem { category: None });
        }
        let key = Stream::named(self.seed, purpose).next_u64();
        let mut places = vec![0; n];
        let mut found = Vec::with_capacity(self.draws);
        for draw in 0..self.draws {
            let mut random = Stream::new(key, &[draw as u64]);
            places.iter_mut().for_each(|place| *place = random.below(n as u64) as usize);
            found.extend(estimate(&places).filter(|value| value.is_finite()));
        }
        let undefined = self.draws - found.len();
        if found.is_empty() || undefined as f64 > MOST_UNDEFINED * self.draws as f64 {
            return Err(NoInterval::BootstrapUndefined { undefined, draws: self.draws });
        }
        found.sort_by(f64::total_cmp);
        let tail = percentile(n);
        let (low, high) = (quantile(&found, tail), quantile(&found, 1.0 - tail));
        if high - low <= 1e-13 * low.abs().max(high.abs()) {
            return Err(NoInterval::NoSpread { values: n });
        }
        Ok(Interval { low, high, confidence: CONFIDENCE })
    }
}

fn percentile(n: usize) -> f64 {
    let n = n as f64;
    normal_cdf(-(n / (n - 1.0)).sqrt() * t_quantile((1.0 - CONFIDENCE) / 2.0, n - 1.0))
}

/// Between the two nearest of `sorted`, which is not empty (Hyndman and Fan 1996, number 7).
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (place - place.floor()) * (sorted[above] - sorted[below])
}
