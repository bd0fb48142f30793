//! Averages of a study and their differences, corrected by labels, with intervals that hold items, trainings and the
//! judge.
//!
//! An average over people's marks is a line over the judge's average J, with the slope b. So its variance over items
//! and trainings is b² times that of [`crate::spread`], in all its parts; and what a few dozen labels leave open of the
//! line is a third part, [`Spread::judge`]. `recalibration.rs` beside this file says how the line comes about. It need
//! not be true: what is left of people's marks is then larger, and the interval wider.
//!
//! The labels' weights are what an answer weighs in the average over its chance to be labelled, so that categories
//! count as they do in the average. What is assumed: labels are drawn by chance; the judge's error does not depend on
//! the training beyond what its marks show; and, for [`ErrorModel::SharedByArms`], that it is the same in all arms.
//! Where labels do not show that the judge's marks go with people's at all, they show nothing of people's trainings,
//! and the interval's scope is items only.

use std::collections::{BTreeMap, BTreeSet};

use super::label::{Label, Sampling, Tuning};
use super::recalibration::{Influences, Pair, Recalibration, Slope};
use crate::average::{Average, Strata, strata};
use crate::contrast::{Contrast, Test, contrast};
use crate::estimate::{Estimate, estimate};
use crate::marks::is_mark;
use crate::mean_squares::{Part, Seeds, average_of, column_means, mean_squares, rows, sum};
use crate::scores::Scores;
use crate::spread::{Inference, Spread};
use crate::{Error, NoInterval};

/// Labels, and how they are used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration<'a> {
    pub labels: &'a [Label],
    pub sampling: Sampling,
    pub tuning: Tuning,
    pub error_model: ErrorModel,
}

/// Whose labels correct an arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorModel {
    /// Its own. Nothing is assumed of other arms, and each needs its two dozen.
    OfEachArm,
    /// Those of all arms, as if the judge erred alike in all: for a given mark of people, the judge's are the same on
    /// average whatever the arm. A judge that likes long answers, and an arm that writes them, break it;
    /// [`CorrectedContrast::equal_errors`] tests it.
    SharedByArms,
}

/// What labels say of the judge.
#[derive(Clone, Debug, PartialEq)]
pub struct JudgeError {
    /// Labels used.
    pub labels: usize,
    /// Labels of answers that the judge gave no score, or of categories outside the average.
    pub left_out: usize,
    /// Categories of the average without a label, which are corrected by the labels of the others.
    pub unlabelled_categories: usize,
    /// Mean of the judge's mark minus people's, weighted as the average is.
    pub bias: f64,
    /// People's mark = intercept + slope × the judge's.
    pub slope: f64,
    pub intercept: f64,
    /// Of people's marks around the line.
    pub residual_sd: f64,
    /// Of the two marks. Where it cannot be told from 0 at 0.05, the judge's marks do not show what trainings vary by,
    /// and the corrected interval is over items and the judge only ([`crate::Scope::ItemsOnly`]). Null where one of the
    /// marks does not vary.
    pub correlation: Option<f64>,
}

/// An arm's average, as the judge gave it and as people would have.
#[derive(Clone, Debug, PartialEq)]
pub struct CorrectedEstimate {
    pub uncorrected: Estimate,
    /// Its interval's [`Spread`] has the judge's part.
    pub corrected: Estimate,
    pub judge: JudgeError,
}

/// A difference of two arms, as the judge gave it and as people would have.
#[derive(Clone, Debug, PartialEq)]
pub struct CorrectedContrast {
    pub uncorrected: Contrast,
    pub corrected: Contrast,
    /// Of the first and the second arm; or the one of all arms.
    pub judges: Vec<JudgeError>,
    /// Of the shared model: the test that people's marks lie as far from the common line in one arm as in the other
    /// (Welch's); null where an arm has fewer than two labels, or the model is of each arm.
    pub equal_errors: Option<Test>,
}

/// The average of `arm` in people's marks.
///
/// # Errors
/// As [`estimate`]; an arm of a label that there is not; an answer labelled twice, a mark that is not finite; fewer
/// than two labels, or fewer than two in a category with [`Sampling::ByCategory`]; with [`Tuning::Regression`],
/// labelled answers that all have one mark of the judge. With fewer than [`super::LEAST_LABELS`] labels there is an
/// estimate and no interval.
pub fn corrected_estimate(
    scores: &Scores,
    arm: usize,
    average: Average,
    calibration: &Calibration<'_>,
) -> Result<CorrectedEstimate, Error> {
    let uncorrected = estimate(scores, arm, average)?;
    let frame = Frame::new(scores, &[arm], average, calibration)?;
    let (line, judge) = frame.line(arm)?;
    let judged = uncorrected.mean;
    let mean = line.at(judged);
    let mut influences = Influences::default();
    line.add_mean(&mut influences, 1.0, judged);
    let weights = [(arm, line.stretch().sqrt())];
    let inference = frame.inference(mean, &weights, Seeds::Nested, &influences)?;
    let corrected = Estimate { mean, inference, ..uncorrected.clone() };
    Ok(CorrectedEstimate { uncorrected, corrected, judge })
}

/// `first` minus `second` in people's marks, paired by item.
///
/// With [`ErrorModel::OfEachArm`], each arm has its own line. With [`ErrorModel::SharedByArms`], the common intercept
/// falls out: the difference is slope × the judge's; with [`Tuning::Difference`] besides, it is the judge's own.
///
/// # Errors
/// As [`contrast`] and [`corrected_estimate`].
pub fn corrected_contrast(
    scores: &Scores,
    first: usize,
    second: usize,
    average: Average,
    seeds: Seeds,
    calibration: &Calibration<'_>,
) -> Result<CorrectedContrast, Error> {
    let uncorrected = contrast(scores, first, second, average, seeds)?;
    let frame = Frame::new(scores, &[first, second], average, calibration)?;
    let judged = [frame.judged(first)?, frame.judged(second)?];
    let mut influences = Influences::default();
    let (difference, stretches, judges, equal_errors);
    match calibration.error_model {
        ErrorModel::OfEachArm => {
            let (one, of_one) = frame.line(first)?;
            let (other, of_other) = frame.line(second)?;
            one.add_mean(&mut influences, 1.0, judged[0]);
            other.add_mean(&mut influences, -1.0, judged[1]);
            difference = one.at(judged[0]) - other.at(judged[1]);
            stretches = [one.stretch(), other.stretch()];
            judges = vec![of_one, of_other];
            equal_errors = None;
        }
        ErrorModel::SharedByArms => {
            let (line, judge) = frame.line(first)?;
            line.add_difference(&mut influences, judged[0] - judged[1]);
            difference = line.slope * (judged[0] - judged[1]);
            stretches = [line.slope * line.slope; 2];
            judges = vec![judge];
            equal_errors = frame.equal_errors(&line, first, second);
        }
    }
    let weights = [(first, stretches[0].sqrt()), (second, -stretches[1].sqrt())];
    let inference = frame.inference(difference, &weights, seeds, &influences)?;
    let test = inference
        .as_ref()
        .ok()
        .map(|known| Test { t: difference / known.standard_error, p: known.spread.p(difference) });
    let corrected = Contrast { difference, items: uncorrected.items, inference, test };
    Ok(CorrectedContrast { uncorrected, corrected, judges, equal_errors })
}

/// What is asked for, and the labels beside the judge's marks.
struct Frame<'a> {
    scores: &'a Scores,
    average: Average,
    calibration: &'a Calibration<'a>,
    strata: Strata,
    /// By category: its share of the average, and its items in it.
    categories: BTreeMap<usize, (f64, usize)>,
    /// Arm and category of each usable label, and its marks.
    usable: Vec<(usize, usize, Pair)>,
}

impl<'a> Frame<'a> {
    fn new(
        scores: &'a Scores,
        arms: &[usize],
        average: Average,
        calibration: &'a Calibration<'a>,
    ) -> Result<Self, Error> {
        let strata = strata(scores, average, arms)?;
        let mut categories: BTreeMap<usize, (f64, usize)> = BTreeMap::new();
        for piece in &strata.pieces {
            for place in &strata.items[piece.range.clone()] {
                let (share, items) = categories.entry(scores.items()[*place].category).or_default();
                *share += piece.weight / piece.n();
                *items += 1;
            }
        }
        let mut usable = Vec::new();
        let mut seen = BTreeSet::new();
        for (row, label) in calibration.labels.iter().enumerate() {
            if !is_mark(label.human) {
                return Err(Error::NotFinite { row, score: label.human });
            }
            let table = scores.table(label.arm)?;
            if !seen.insert((label.arm, label.seed, label.item)) {
                let arm = scores.name(label.arm).to_owned();
                return Err(Error::LabelledTwice { arm, seed: label.seed, item: label.item });
            }
            let Ok(place) = scores.items().binary_search_by_key(&label.item, |item| item.item) else { continue };
            let Ok(training) = table.seeds.binary_search(&label.seed) else { continue };
            let (cell, category) = (table.rows[training][place], scores.items()[place].category);
            if cell.repeats > 0 && categories.contains_key(&category) {
                // Weight and stratum depend on whose labels are taken together.
                let pair = Pair { judge: cell.mean, human: label.human, weight: 1.0, stratum: 0, item: label.item };
                usable.push((label.arm, category, pair));
            }
        }
        Ok(Self { scores, average, calibration, strata, categories, usable })
    }

    /// The line that corrects `arm`.
    fn line(&self, arm: usize) -> Result<(Recalibration, JudgeError), Error> {
        let own = self.calibration.error_model == ErrorModel::OfEachArm;
        let of = if own { format!("arm `{}`", self.scores.name(arm).escape_debug()) } else { "all arms".to_owned() };
        let taken: Vec<&(usize, usize, Pair)> = self.usable.iter().filter(|row| !own || row.0 == arm).collect();
        let given = self.calibration.labels.iter().filter(|label| !own || label.arm == arm).count();
        let labelled = |category: usize| taken.iter().filter(|row| row.1 == category).count();
        let by_category = self.calibration.sampling == Sampling::ByCategory;
        let counts: BTreeMap<usize, usize> =
            self.categories.keys().map(|category| (*category, labelled(*category))).collect();
        if let Some((category, labels)) = counts.iter().find(|(_, labels)| by_category && **labels < 2) {
            let name = self.scores.categories()[*category].escape_debug();
            return Err(Error::FewLabels { of: format!("category `{name}`, {of}"), labels: *labels, least: 2 });
        }
        let place = |(_, category, pair): &&(usize, usize, Pair)| {
            let (share, items) = self.categories[category];
            match by_category {
                true => Pair { weight: share / counts[category] as f64, stratum: *category, ..*pair },
                false => Pair { weight: share / items as f64, ..*pair },
            }
        };
        let pairs: Vec<Pair> = taken.iter().map(place).collect();
        let tuning = self.calibration.tuning;
        let slope = if own { Slope::within(tuning) } else { Slope::across(tuning) };
        let line = Recalibration::fit(&of, &pairs, slope)?;
        let judge = JudgeError {
            labels: line.labels(),
            left_out: given - line.labels(),
            unlabelled_categories: counts.values().filter(|labels| **labels == 0).count(),
            bias: line.judge_mean - line.human_mean,
            slope: line.slope,
            intercept: line.at(0.0),
            residual_sd: line.residual_sd,
            correlation: line.correlation,
        };
        Ok((line, judge))
    }

    /// The judge's average of an arm over the items of all arms asked for.
    fn judged(&self, arm: usize) -> Result<f64, Error> {
        Ok(average_of(&column_means(&rows(self.scores.table(arm)?, &self.strata)), &self.strata))
    }

    fn inference(
        &self,
        value: f64,
        weights: &[(usize, f64)],
        seeds: Seeds,
        influences: &Influences,
    ) -> Result<Result<Inference, NoInterval>, Error> {
        let squares = mean_squares(self.scores, weights, self.average, seeds)?;
        let spread = || {
            let judge = influences.part()?;
            let (seeds, shared) = match influences.trainings_unseen {
                true => (None, 0.0),
                false => (squares.seeds, squares.shared),
            };
            Ok(Spread { items: squares.by_items.clone()?, seeds, shared, judge: Some(judge) })
        };
        Ok(spread().map(|spread| Inference::new(value, spread)))
    }

    fn equal_errors(&self, line: &Recalibration, first: usize, second: usize) -> Option<Test> {
        let residuals = |arm: usize| -> Vec<f64> {
            let of_arm = self.usable.iter().filter(|row| row.0 == arm);
            of_arm.map(|(_, _, pair)| pair.human - line.at(pair.judge)).collect()
        };
        let part = |values: &[f64]| {
            let n = values.len() as f64;
            let mean = values.iter().sum::<f64>() / n;
            let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
            (mean, Part { variance: squares / (n - 1.0) / n, df: n - 1.0 })
        };
        let (one, other) = (residuals(first), residuals(second));
        if one.len() < 2 || other.len() < 2 {
            return None;
        }
        let ((mean, part_one), (other_mean, part_other)) = (part(&one), part(&other));
        let both = sum(&[part_one, part_other]);
        let known = crate::sample_mean::Uncertainty::new(0.0, both.variance.sqrt(), both.df);
        let difference = mean - other_mean;
        (both.variance > 0.0).then(|| Test { t: difference / known.standard_error, p: known.p(difference) })
    }
}
