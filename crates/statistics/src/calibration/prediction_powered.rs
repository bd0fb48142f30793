//! People's mean mark of a plain list of answers, all judged and some labelled, drawn with equal chance.
//!
//! estimate = mean of people's marks of the labelled + b (judge's mean of all - judge's mean of the labelled), with b
//! of [`Tuning`] (Angelopoulos et al. 2023, "Prediction-powered inference" and "PPI++"). Its variance has the part of
//! the labels (`recalibration.rs` beside this file), and for other answers than these that of the judge's mean, which
//! is b² s_j² / N. For these answers alone, labels are a sample of a finite population: (1 - n / N) times their part.
//!
//! For b = 1 the judge's mean and the correction are not independent: with β of the least-squares line, they have the
//! covariance (β - 1) s_j² / N, so that 2 β - 1, and at least 1, stands for b². Degrees of freedom are Welch's, of whose
//! surplus half is believed.

use super::label::Tuning;
use super::recalibration::{Influences, Pair, Recalibration, Slope};
use crate::marks::check_pairs;
use crate::mean_squares::{Part, sum};
use crate::sample_mean::{Uncertainty, sample_mean};
use crate::{Error, NoInterval};

/// The marks of one answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MarkPair {
    pub judge: f64,
    pub human: f64,
}

/// Of what answers the mean is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Population {
    /// Those judged are all there are.
    TheseAnswers,
    /// Those judged are a sample of others like them.
    OtherAnswers,
}

/// People's mean mark, in units of the mark.
#[derive(Clone, Debug, PartialEq)]
pub struct PredictionPowered {
    pub estimate: f64,
    /// The judge's mean of all answers.
    pub uncorrected: f64,
    /// People's mean of the labelled alone.
    pub labels_alone: f64,
    /// Mean of the judge's mark minus people's, of the labelled.
    pub bias: f64,
    /// b.
    pub slope: f64,
    pub answers: usize,
    pub labels: usize,
    pub uncertainty: Result<Uncertainty, NoInterval>,
}

/// `judge`: its mark of every answer, the labelled ones included.
///
/// # Errors
/// No answer; fewer than two labels; more labels than answers; a mark that is not finite; with [`Tuning::Regression`],
/// labelled answers that all have one mark of the judge.
pub fn prediction_powered_mean(
    judge: &[f64],
    labels: &[MarkPair],
    tuning: Tuning,
    population: Population,
) -> Result<PredictionPowered, Error> {
    let judged = sample_mean(judge)?;
    if labels.len() > judge.len() {
        let rule = "at most the number of judged answers, of which they are a part";
        return Err(Error::OutOfRange { what: "the number of labels", value: labels.len() as f64, rule });
    }
    check_pairs(labels.iter().map(|pair| (pair.judge, pair.human)))?;
    let pair =
        |(item, pair): (usize, &MarkPair)| Pair { judge: pair.judge, human: pair.human, weight: 1.0, stratum: 0, item };
    let pairs: Vec<Pair> = labels.iter().enumerate().map(pair).collect();
    let line = Recalibration::fit("these answers", &pairs, Slope::within(tuning))?;
    let estimate = line.at(judged.mean);
    Ok(PredictionPowered {
        estimate,
        uncorrected: judged.mean,
        labels_alone: line.human_mean,
        bias: line.judge_mean - line.human_mean,
        slope: line.slope,
        answers: judge.len(),
        labels: labels.len(),
        uncertainty: uncertainty(judge, judged.mean, &line, estimate, population),
    })
}

fn uncertainty(
    judge: &[f64],
    mean: f64,
    line: &Recalibration,
    estimate: f64,
    population: Population,
) -> Result<Uncertainty, NoInterval> {
    let (answers, labels) = (judge.len() as f64, line.labels() as f64);
    if population == Population::TheseAnswers && line.labels() == judge.len() {
        return Err(NoInterval::AllLabelled { labels: line.labels() });
    }
    let mut influences = Influences::default();
    line.add_mean(&mut influences, 1.0, mean);
    let of_labels = influences.part()?;
    let part = match population {
        Population::TheseAnswers => Part { variance: of_labels.variance * (1.0 - labels / answers), ..of_labels },
        Population::OtherAnswers => {
            let squares: f64 = judge.iter().map(|mark| (mark - mean).powi(2)).sum();
            let variance = line.stretch() * squares / (answers - 1.0) / answers;
            sum(&[Part { variance, df: answers - 1.0 }, of_labels])
        }
    };
    Ok(Uncertainty::new(estimate, part.variance.sqrt(), part.df))
}
