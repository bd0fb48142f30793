//! The line between the judge's marks and people's, and what each label moves in what is estimated from it.
//!
//! Of labels i with weights w_i that sum to 1, in strata s, people's mean where the judge's is J is estimated as
//!
//! Σ w h + b (J - Σ w j).
//!
//! b is 1, or the slope of people's marks on the judge's within strata (the regression estimator: Cochran 1977,
//! "Sampling techniques", chapter 7; Angelopoulos et al. 2023, "PPI++: efficient prediction-powered inference"), or 1
//! over the slope of the judge's on people's (calibration: Eisenhart 1939, "The interpretation of certain regression
//! methods"). The second holds for the answers that labels were drawn from: where marks are noisy, it draws towards the
//! mean of these, and would draw two arms towards each other. The third holds for any answers of which the judge errs
//! alike; of marks 0 and 1 it is Rogan and Gladen's.
//!
//! With x the marks that the slope is on, a label adds r_i w_i (c + k (x_i - x_s) / S) to the error of c Σ w h + k b, S
//! = Σ w (x - x_s)², where r is what is left of people's marks around the line. That varies unevenly where marks end at
//! 0 and 1, so each residual counts for itself, divided by 1 - its leverage, which is the jackknife's (HC3: MacKinnon
//! and White 1985, "Some heteroskedasticity-consistent covariance matrix estimators with improved finite sample
//! properties"): variance = the sum of squares of the terms, labels of one item taken as one.

use std::collections::BTreeMap;

use super::label::{LEAST_LABELS, Tuning};
use crate::distributions::t_quantile;
use crate::mean_squares::{Part, sum};
use crate::spread::CONFIDENCE;
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

/// Where b comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slope {
    One,
    HumanOnJudge,
    JudgeOnHuman,
}

impl Slope {
    /// For the answers that labels were drawn from.
    pub(crate) fn within(tuning: Tuning) -> Self {
        match tuning {
            Tuning::Difference => Self::One,
            Tuning::Regression => Self::HumanOnJudge,
        }
    }

    /// For answers of any arm, of which the judge errs alike.
    pub(crate) fn across(tuning: Tuning) -> Self {
        match tuning {
            Tuning::Difference => Self::One,
            Tuning::Regression => Self::JudgeOnHuman,
        }
    }
}

/// The line, and labels in their relation to it.
#[derive(Clone, Debug)]
pub(crate) struct Recalibration {
    /// b.
    pub(crate) slope: f64,
    kind: Slope,
    /// β: of people's marks on the judge's, whatever `slope` is.
    human_on_judge: f64,
    /// Weighted means of the judge's and of people's marks.
    pub(crate) judge_mean: f64,
    pub(crate) human_mean: f64,
    /// Of people's marks around the line.
    pub(crate) residual_sd: f64,
    /// Of the labels' two marks, within strata; null where one of them does not vary.
    pub(crate) correlation: Option<f64>,
    /// Why no interval can stand on these labels.
    weakness: Option<NoInterval>,
    labels: Vec<Placed>,
    strata: usize,
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
    weakness: Option<NoInterval>,
    /// A line's labels do not show that the judge's marks go with people's, so neither do they show people's trainings.
    pub(crate) trainings_unseen: bool,
}

/// A label's marks less the means of its stratum.
#[derive(Clone, Copy, Debug)]
struct Centred {
    judge: f64,
    human: f64,
    /// Of all labels' weight.
    weight: f64,
    /// The stratum's, of all labels' weight.
    share: f64,
}

/// Labels around the means of their strata; the weighted means of both marks; the number of strata.
fn centred(of: &str, pairs: &[Pair]) -> Result<(Vec<Centred>, [f64; 2], usize), Error> {
    let total: f64 = pairs.iter().map(|pair| pair.weight).sum();
    // By stratum: labels, their weight, and weighted sums of both marks.
    let mut strata: BTreeMap<usize, (usize, [f64; 3])> = BTreeMap::new();
    for pair in pairs {
        let weight = pair.weight / total;
        let (labels, sums) = strata.entry(pair.stratum).or_default();
        *labels += 1;
        sums.iter_mut().zip([1.0, pair.judge, pair.human]).for_each(|(sum, value)| *sum += weight * value);
    }
    if let Some(labels) = strata.values().map(|(labels, _)| *labels).min().or(Some(0)).filter(|labels| *labels < 2) {
        return Err(Error::FewLabels { of: of.to_owned(), labels, least: 2 });
    }
    let centre = |pair: &Pair| {
        let (_, [share, judge, human]) = strata[&pair.stratum];
        let (judge, human) = (pair.judge - judge / share, pair.human - human / share);
        Centred { judge, human, weight: pair.weight / total, share }
    };
    let means = [1, 2].map(|mark| strata.values().map(|(_, sums)| sums[mark]).sum());
    Ok((pairs.iter().map(centre).collect(), means, strata.len()))
}

impl Recalibration {
    /// `of` names whose labels they are.
    pub(crate) fn fit(of: &str, pairs: &[Pair], kind: Slope) -> Result<Self, Error> {
        let (labels, [judge_mean, human_mean], strata) = centred(of, pairs)?;
        let sum = |value: fn(&Centred) -> f64| labels.iter().map(|label| label.weight * value(label)).sum::<f64>();
        let (judge_spread, human_spread) = (sum(|label| label.judge.powi(2)), sum(|label| label.human.powi(2)));
        let products = sum(|label| label.judge * label.human);
        let both = (judge_spread * human_spread).sqrt();
        let human_on_judge = if judge_spread > 0.0 { products / judge_spread } else { 1.0 };
        let slope = match kind {
            Slope::One => 1.0,
            Slope::HumanOnJudge => {
                check_varies("the judge", of, judge_spread, pairs, |pair| pair.judge)?;
                human_on_judge
            }
            Slope::JudgeOnHuman => {
                check_varies("people", of, human_spread, pairs, |pair| pair.human)?;
                if products <= 1e-9 * both {
                    let why =
                        "the judge does not mark higher what people mark higher, in these labels; take another judge";
                    return Err(Error::Undefined { what: "the correction of the judge's marks", why });
                }
                human_spread / products
            }
        };
        let mut squares = 0.0;
        let place = |(pair, label): (&Pair, &Centred)| {
            let (x, spread) = match kind {
                Slope::One => (0.0, 1.0),
                Slope::HumanOnJudge => (label.judge, judge_spread),
                Slope::JudgeOnHuman => (label.human, human_spread),
            };
            let to_slope = label.weight * x / spread;
            let leverage = label.weight / label.share + to_slope * x;
            let residual = label.human - slope * label.judge;
            squares += residual * residual;
            let residual = residual / (1.0 - leverage.min(FULL_LEVERAGE));
            Placed { item: pair.item, stratum: pair.stratum, weight: label.weight, to_slope, residual, leverage }
        };
        let placed: Vec<Placed> = pairs.iter().zip(&labels).map(place).collect();
        let df = pairs.len() as f64 - strata as f64 - f64::from(u8::from(kind != Slope::One));
        let mut line = Self {
            slope,
            kind,
            human_on_judge,
            judge_mean,
            human_mean,
            residual_sd: (squares / df.max(1.0)).sqrt(),
            correlation: (both > 0.0).then(|| (products / both).clamp(-1.0, 1.0)),
            weakness: None,
            labels: placed,
            strata,
        };
        line.weakness = line.find_weakness(pairs);
        Ok(line)
    }

    fn find_weakness(&self, pairs: &[Pair]) -> Option<NoInterval> {
        let labels = pairs.len();
        let largest = pairs.iter().map(|pair| pair.judge.abs().max(pair.human.abs())).fold(0.0, f64::max);
        let squares: f64 = self.labels.iter().map(|label| label.residual * label.residual).sum();
        if labels < LEAST_LABELS {
            return Some(NoInterval::FewLabels { labels, least: LEAST_LABELS });
        }
        if pairs.iter().all(|pair| pair.human == pairs[0].human) {
            return Some(NoInterval::PeopleAllTheSame { labels });
        }
        if self.labels.iter().any(|label| label.leverage > FULL_LEVERAGE) {
            return Some(NoInterval::OneLabelDecides { labels });
        }
        // What rounding leaves of residuals.
        if squares <= (largest * 1e-12).powi(2) * labels as f64 {
            return Some(NoInterval::JudgeNeverWrong { labels });
        }
        (!self.is_shown()).then_some(NoInterval::JudgeLikeChance { labels })
    }

    /// Whether the correlation of the two marks is told from 0 at 0.05, by t = r √(df / (1 - r²)).
    fn goes_with_people(&self) -> bool {
        let df = (self.labels.len() as f64 - self.strata as f64 - 1.0).max(1.0);
        let t = t_quantile((1.0 - CONFIDENCE) / 2.0, df);
        self.correlation.is_some_and(|r| r * r * df > t * t * (1.0 - r * r))
    }

    pub(crate) fn labels(&self) -> usize {
        self.labels.len()
    }

    /// People's mean, where the judge's is `judge`.
    pub(crate) fn at(&self, judge: f64) -> f64 {
        self.human_mean + self.slope * (judge - self.judge_mean)
    }

    /// What the variance of the judge's mean is multiplied with in that of [`Recalibration::at`]: b², and for the
    /// difference estimator, whose correction goes with the judge's marks, 2 β - 1; at least 1, as β is known badly.
    pub(crate) fn stretch(&self) -> f64 {
        match self.kind {
            Slope::One => (2.0 * self.human_on_judge - 1.0).max(1.0),
            Slope::HumanOnJudge | Slope::JudgeOnHuman => self.slope * self.slope,
        }
    }

    /// Adds what the labels bear on `times` × people's mean where the judge's is `judge`.
    pub(crate) fn add_mean(&self, influences: &mut Influences, times: f64, judge: f64) {
        self.add(influences, times, times * self.moved(judge - self.judge_mean));
    }

    /// Adds what they bear on people's difference where the judge's is `judge`.
    pub(crate) fn add_difference(&self, influences: &mut Influences, judge: f64) {
        self.add(influences, 0.0, self.moved(judge));
    }

    /// By how much an error of the slope of the marks that it is on moves b × `distance`.
    fn moved(&self, distance: f64) -> f64 {
        if self.kind == Slope::JudgeOnHuman { self.slope * distance } else { distance }
    }

    /// Whether labels show that the judge's marks rise with people's: only then has 1 / slope an interval with two ends
    /// (Fieller 1954, "Some problems in interval estimation").
    fn is_shown(&self) -> bool {
        let of_slope: f64 = self.labels.iter().map(|label| (label.to_slope * label.residual).powi(2)).sum();
        let df = (self.labels.len() as f64 - self.strata as f64 - 1.0).max(1.0);
        // The relative error of 1 / slope is that of the slope, of which a residual of people's marks is 1 / b.
        self.kind != Slope::JudgeOnHuman || of_slope.sqrt() * t_quantile((1.0 - CONFIDENCE) / 2.0, df) < 1.0
    }

    fn add(&self, influences: &mut Influences, of_mean: f64, of_slope: f64) {
        let mut strata: BTreeMap<usize, BTreeMap<usize, f64>> = BTreeMap::new();
        for label in &self.labels {
            let influence = (of_mean * label.weight + of_slope * label.to_slope) * label.residual;
            *influences.by_item.entry(label.item).or_default() += influence;
            *strata.entry(label.stratum).or_default().entry(label.item).or_default() += influence;
        }
        influences.trainings_unseen |= !self.goes_with_people();
        // The slope is fitted to all strata, which share the degree of freedom that it takes.
        let of_slope = f64::from(u8::from(self.kind != Slope::One)) / self.strata as f64;
        for items in strata.values() {
            let variance = items.values().map(|influence| influence * influence).sum();
            influences.parts.push(Part { variance, df: (items.len() as f64 - 1.0 - of_slope).max(0.5) });
        }
        influences.weakness = influences.weakness.take().or_else(|| self.weakness.clone());
    }
}

impl Influences {
    /// The variance that labels leave, and how well it is known; or the first reason of a line why it is not.
    pub(crate) fn part(&self) -> Result<Part, NoInterval> {
        match &self.weakness {
            Some(reason) => Err(reason.clone()),
            None => {
                let variance = self.by_item.values().map(|influence| influence * influence).sum();
                Ok(Part { variance, df: sum(&self.parts).df })
            }
        }
    }
}

fn check_varies(who: &'static str, of: &str, spread: f64, pairs: &[Pair], mark: fn(&Pair) -> f64) -> Result<(), Error> {
    let largest = pairs.iter().map(|pair| mark(pair).abs()).fold(0.0, f64::max);
    if spread > (largest * 1e-12).powi(2) {
        return Ok(());
    }
    let first = pairs.first().map_or(0.0, mark);
    Err(Error::OneMark { who, of: of.to_owned(), labels: pairs.len(), mark: first })
}
