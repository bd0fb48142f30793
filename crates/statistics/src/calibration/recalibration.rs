//! The line from the judge's marks to people's, and what each label moves in what is estimated from it.
//!
//! Of labels i with weights w_i that sum to 1, in strata s: slope b = Σ w (j - j_s)(h - h_s) / S with S = Σ w (j - j_s)²,
//! within strata; or 1 for the difference estimator. The mean of people's marks, where the judge's is J, is estimated as
//!
//! Σ w h + b (J - Σ w j)
//!
//! (the regression estimator: Cochran 1977, "Sampling techniques", chapter 7; Angelopoulos et al. 2023, "PPI++: efficient
//! prediction-powered inference"). It is a sum of g_i h_i with g_i = w_i (1 + (J - Σ w j)(j_i - j_s) / S). What is left
//! of h varies unevenly where marks end at 0 and 1, so each label's residual counts for itself, divided by 1 - its
//! leverage, which is the jackknife's (HC3: MacKinnon and White 1985, "Some heteroskedasticity-consistent covariance matrix
//! estimators with improved finite sample properties"): variance = Σ (g_i e_i / (1 - l_i))². Labels of one item count as one.

use std::collections::BTreeMap;

use super::label::Tuning;
use crate::mean_squares::{Part, sum};
use crate::{Error, NoInterval};

/// A leverage from which a label's residual says nothing.
const FULL_LEVERAGE: f64 = 1.0 - 1e-9;

/// A label beside what the judge gave the same answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub(crate) judge: f64,
    pub(crate) human: f64,
    /// In proportion to what the answers stand for that could have been drawn in its place.
    pub(crate) weight: f64,
    pub(crate) stratum: usize,
    pub(crate) item: usize,
}

/// The line, and labels in their relation to it.
#[derive(Clone, Debug)]
pub(crate) struct Recalibration {
    pub(crate) slope: f64,
    /// β: of the least-squares line, whatever `slope` is.
    fitted_slope: f64,
    /// Weighted means of the judge's and of people's marks.
    pub(crate) judge_mean: f64,
    pub(crate) human_mean: f64,
    pub(crate) residual_sd: f64,
    labels: Vec<Placed>,
    strata: usize,
    fitted: bool,
}

#[derive(Clone, Copy, Debug)]
struct Placed {
    item: usize,
    stratum: usize,
    weight: f64,
    /// w (j - j_s) / S: what the label adds to the slope; 0 where it is not fitted.
    to_slope: f64,
    /// e / (1 - l).
    residual: f64,
    leverage: f64,
}

/// What labels add to the variance of an estimate.
#[derive(Clone, Debug, Default)]
pub(crate) struct Influences {
    by_item: BTreeMap<usize, f64>,
    parts: Vec<Part>,
    labels: usize,
    residual_squares: f64,
    one_decides: bool,
}

impl Recalibration {
    /// `of` names whose labels they are.
    pub(crate) fn fit(of: &str, pairs: &[Pair], tuning: Tuning) -> Result<Self, Error> {
        let numbers: BTreeMap<usize, usize> = pairs.iter().fold(BTreeMap::new(), |mut numbers, pair| {
            *numbers.entry(pair.stratum).or_default() += 1;
            numbers
        });
        if let Some(labels) = numbers.values().copied().find(|number| *number < 2).or(numbers.is_empty().then_some(0)) {
            return Err(Error::FewLabels { of: of.to_owned(), labels, least: 2 });
        }
        let total: f64 = pairs.iter().map(|pair| pair.weight).sum();
        let mut sums: BTreeMap<usize, [f64; 3]> = BTreeMap::new();
        for pair in pairs {
            let weight = pair.weight / total;
            let sum = sums.entry(pair.stratum).or_default();
            *sum = [sum[0] + weight, sum[1] + weight * pair.judge, sum[2] + weight * pair.human];
        }
        let means = |stratum: usize| sums.get(&stratum).map_or([1.0, 0.0, 0.0], |[w, j, h]| [*w, j / w, h / w]);
        let (mut spread, mut products) = (0.0, 0.0);
        for pair in pairs {
            let [_, judge, human] = means(pair.stratum);
            spread += pair.weight / total * (pair.judge - judge).powi(2);
            products += pair.weight / total * (pair.judge - judge) * (pair.human - human);
        }
        let largest = pairs.iter().map(|pair| pair.judge.abs()).fold(0.0, f64::max);
        let varies = spread > (largest * 1e-12).powi(2);
        let fitted = tuning == Tuning::Regression;
        if fitted && !varies {
            let mark = pairs.first().map_or(0.0, |pair| pair.judge);
            return Err(Error::OneMark { of: of.to_owned(), labels: pairs.len(), mark });
        }
        let fitted_slope = if varies { products / spread } else { 1.0 };
        let slope = if fitted { fitted_slope } else { 1.0 };
        let mut squares = 0.0;
        let place = |pair: &Pair| {
            let [share, judge, human] = means(pair.stratum);
            let weight = pair.weight / total;
            let to_slope = if fitted { weight * (pair.judge - judge) / spread } else { 0.0 };
            let leverage = weight / share + to_slope * (pair.judge - judge);
            let residual = pair.human - human - slope * (pair.judge - judge);
            squares += residual * residual;
            let residual = residual / (1.0 - leverage.min(FULL_LEVERAGE));
            Placed { item: pair.item, stratum: pair.stratum, weight, to_slope, residual, leverage }
        };
        let labels: Vec<Placed> = pairs.iter().map(place).collect();
        let judge_mean = sums.values().map(|sum| sum[1]).sum();
        let human_mean = sums.values().map(|sum| sum[2]).sum();
        let df = (pairs.len() as f64 - sums.len() as f64 - f64::from(u8::from(fitted))).max(1.0);
        let residual_sd = (squares / df).sqrt();
        Ok(Self { slope, fitted_slope, judge_mean, human_mean, residual_sd, labels, strata: sums.len(), fitted })
    }

    pub(crate) fn labels(&self) -> usize {
        self.labels.len()
    }

    /// People's mean, where the judge's is `judge`.
    pub(crate) fn at(&self, judge: f64) -> f64 {
        self.human_mean + self.slope * (judge - self.judge_mean)
    }

    /// What the variance of the judge's mean is multiplied with in that of [`Recalibration::at`]: b², and for the difference
    /// estimator, whose correction goes with the judge's marks, 2 β - 1; at least 1, as β is known badly.
    pub(crate) fn stretch(&self) -> f64 {
        match self.fitted {
            true => self.slope * self.slope,
            false => (2.0 * self.fitted_slope - 1.0).max(1.0),
        }
    }

    /// Adds what the labels bear on `of_mean` × people's mean of the labels + slope × `of_slope`.
    pub(crate) fn add_to(&self, influences: &mut Influences, of_mean: f64, of_slope: f64) {
        let mut strata: BTreeMap<usize, BTreeMap<usize, f64>> = BTreeMap::new();
        for label in &self.labels {
            let influence = (of_mean * label.weight + of_slope * label.to_slope) * label.residual;
            *influences.by_item.entry(label.item).or_default() += influence;
            *strata.entry(label.stratum).or_default().entry(label.item).or_default() += influence;
            influences.residual_squares += label.residual * label.residual;
            influences.one_decides |= label.leverage > FULL_LEVERAGE;
        }
        // The slope is fitted to all strata, which share the degree of freedom that it takes.
        let of_slope = f64::from(u8::from(self.fitted)) / self.strata as f64;
        for items in strata.values() {
            let variance = items.values().map(|influence| influence * influence).sum();
            influences.parts.push(Part { variance, df: (items.len() as f64 - 1.0 - of_slope).max(0.5) });
        }
        influences.labels += self.labels.len();
    }
}

impl Influences {
    /// The variance that labels leave, and how well it is known. `scale` is the largest mark: residuals below 13 digits
    /// of it are rounding.
    pub(crate) fn part(&self, scale: f64) -> Result<Part, NoInterval> {
        let labels = self.labels;
        if labels < super::label::LEAST_LABELS {
            return Err(NoInterval::FewLabels { labels, least: super::label::LEAST_LABELS });
        }
        if self.one_decides {
            return Err(NoInterval::OneLabelDecides { labels });
        }
        if self.residual_squares <= (scale * 1e-12).powi(2) * labels as f64 {
            return Err(NoInterval::JudgeNeverWrong { labels });
        }
        let variance = self.by_item.values().map(|influence| influence * influence).sum();
        Ok(Part { variance, df: sum(&self.parts).df })
    }
}
