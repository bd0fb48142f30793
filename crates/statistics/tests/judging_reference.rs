//! Numbers of SciPy, statsmodels and NumPy about judges (`fixtures/make_judging.py`) against ours.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use serde::Deserialize;
use tunebench_statistics::agreement::{CorrelationKind, bland_altman, concordance, correlation, raw_agreement};
use tunebench_statistics::calibration::{
    Calibration, ErrorModel, Label, MarkPair, Population, Sampling, Tuning, corrected_contrast, corrected_estimate,
    prediction_powered_mean,
};
use tunebench_statistics::preference::{Comparison, LengthPair, bradley_terry, length_controlled_win_rate};
use tunebench_statistics::{
    Average, Bootstrap, Interval, JudgedMark, JudgedTwice, Observation, ProbePair, Scores, Seeds, equate,
    generalizability, probe_shifts,
};

#[derive(Deserialize)]
struct Reference {
    agreement: Agreement,
    variances: Variances,
    corrections: Corrections,
    preferences: Preferences,
    lengths: Lengths,
    deming: Deming,
    probe: Probe,
}

#[derive(Deserialize)]
struct Agreement {
    pairs: Vec<(f64, f64)>,
    pearson: f64,
    pearson_low: f64,
    pearson_high: f64,
    spearman: f64,
    spearman_low: f64,
    spearman_high: f64,
    rho: f64,
    rho_low: f64,
    rho_high: f64,
    bias: f64,
    bias_low: f64,
    bias_high: f64,
    limit: f64,
    limit_low: f64,
    limit_high: f64,
    wilson_low: f64,
    wilson_high: f64,
}

#[derive(Deserialize)]
struct Variances {
    marks: Vec<(usize, usize, f64)>,
    variances: [f64; 4],
}

#[derive(Deserialize)]
struct Corrections {
    judge: Vec<f64>,
    labels: Vec<(f64, f64)>,
    line: f64,
    line_variance: f64,
    line_slope: f64,
    difference: f64,
    difference_variance: f64,
    turned: f64,
    turned_variance: f64,
    judge_variance: f64,
}

#[derive(Deserialize)]
struct Preferences {
    comparisons: Vec<(usize, usize, usize, f64)>,
    difference: f64,
    difference_error: f64,
    strengths: Vec<f64>,
    ridged: Vec<f64>,
}

#[derive(Deserialize)]
struct Lengths {
    pairs: Vec<(f64, f64, f64, f64)>,
    ridge: f64,
    plain: Controlled,
    hard: Controlled,
}

#[derive(Deserialize)]
struct Controlled {
    win_rate: f64,
    coefficients: Vec<f64>,
}

#[derive(Deserialize)]
struct Deming {
    pairs: Vec<(f64, f64)>,
    lines: Vec<DemingLine>,
}

#[derive(Deserialize)]
struct DemingLine {
    ratio: f64,
    intercept: f64,
    slope: f64,
    intercept_error: f64,
    slope_error: f64,
}

#[derive(Deserialize)]
struct Probe {
    pairs: Vec<(f64, f64)>,
    shift: f64,
    p: f64,
    sign_p: f64,
    up: usize,
    down: usize,
}

fn reference() -> Reference {
    serde_json::from_str(include_str!("fixtures/judging.json")).unwrap()
}

fn near(found: f64, want: f64, tolerance: f64) {
    assert!((found - want).abs() <= tolerance * want.abs().max(1.0), "{found}, wanted {want}");
}

fn ends(found: Interval, low: f64, high: f64) {
    near(found.low, low, 1e-9);
    near(found.high, high, 1e-9);
}

#[test]
fn agreement_is_scipys() {
    let want = reference().agreement;
    let pearson = correlation(&want.pairs, CorrelationKind::Pearson).unwrap();
    near(pearson.r, want.pearson, 1e-12);
    ends(pearson.interval.unwrap(), want.pearson_low, want.pearson_high);
    let spearman = correlation(&want.pairs, CorrelationKind::Spearman).unwrap();
    near(spearman.r, want.spearman, 1e-12);
    ends(spearman.interval.unwrap(), want.spearman_low, want.spearman_high);
    let lin = concordance(&want.pairs).unwrap();
    near(lin.rho, want.rho, 1e-12);
    ends(lin.interval.unwrap(), want.rho_low, want.rho_high);
    let differences = bland_altman(&want.pairs).unwrap();
    near(differences.bias.mean, want.bias, 1e-12);
    ends(differences.bias.uncertainty.unwrap().interval, want.bias_low, want.bias_high);
    let limits = differences.limits.unwrap();
    near(limits.low, want.limit, 1e-12);
    ends(limits.low_interval, want.limit_low, want.limit_high);
    ends(raw_agreement(&want.pairs, 0.1).unwrap().interval, want.wilson_low, want.wilson_high);
}

#[test]
fn variances_are_those_of_the_quadratic_forms() {
    let want = reference().variances;
    let marks: Vec<JudgedMark> = want
        .marks
        .iter()
        .map(|(answer, judge, mark)| JudgedMark { answer: *answer, judge: *judge, mark: *mark })
        .collect();
    let found = generalizability(&marks).unwrap();
    let parts = [Some(found.answer), found.judge, found.judge_answer, found.repeat];
    for (part, want) in parts.into_iter().zip(want.variances) {
        near(part.unwrap().variance, want, 1e-9);
    }
}

#[test]
fn corrections_are_least_squares_with_hc3() {
    let want = reference().corrections;
    let labels: Vec<MarkPair> =
        want.labels.iter().map(|(judge, human)| MarkPair { judge: *judge, human: *human }).collect();
    let share = 1.0 - want.labels.len() as f64 / want.judge.len() as f64;
    let cases = [
        (Tuning::Regression, want.line, want.line_variance, want.line_slope),
        (Tuning::Difference, want.difference, want.difference_variance, 1.0),
    ];
    for (tuning, estimate, variance, slope) in cases {
        let these = prediction_powered_mean(&want.judge, &labels, tuning, Population::TheseAnswers).unwrap();
        near(these.estimate, estimate, 1e-12);
        near(these.slope, slope, 1e-12);
        near(these.uncertainty.unwrap().standard_error.powi(2), variance * share, 1e-9);
        let others = prediction_powered_mean(&want.judge, &labels, tuning, Population::OtherAnswers).unwrap();
        let stretch = if tuning == Tuning::Regression { slope * slope } else { 1.0 };
        near(others.uncertainty.unwrap().standard_error.powi(2), variance + stretch * want.judge_variance, 1e-9);
    }
}

/// The judge's marks as scores of one arm, and of a second one that is 0.1 below it.
#[test]
fn corrected_averages_have_the_same_parts() {
    let want = reference().corrections;
    let row = |arm: usize| {
        want.judge.iter().enumerate().map(move |(item, score)| Observation {
            arm,
            seed: 1,
            item,
            category: 0,
            repeat: 0,
            score: score - 0.1 * arm as f64,
        })
    };
    let scores = Scores::new(vec!["a".into(), "b".into()], vec!["all".into()], row(0).chain(row(1)).collect()).unwrap();
    let label = |(item, (_, human)): (usize, &(f64, f64))| Label { arm: 0, seed: 1, item, human: *human };
    let labels: Vec<Label> = want.labels.iter().enumerate().map(label).collect();
    let cases = [
        (ErrorModel::OfEachArm, Tuning::Regression, want.line, want.line_variance, want.line_slope.powi(2)),
        (ErrorModel::OfEachArm, Tuning::Difference, want.difference, want.difference_variance, 1.0),
        (ErrorModel::SharedByArms, Tuning::Regression, want.turned, want.turned_variance, f64::NAN),
    ];
    for (error_model, tuning, mean, variance, stretch) in cases {
        let calibration = Calibration { labels: &labels, sampling: Sampling::Equal, tuning, error_model };
        let found = corrected_estimate(&scores, 0, Average::Macro, &calibration).unwrap();
        near(found.corrected.mean, mean, 1e-12);
        let spread = found.corrected.inference.unwrap().spread;
        near(spread.judge.unwrap().variance, variance, 1e-9);
        let stretch = if stretch.is_nan() { found.judge.slope.powi(2) } else { stretch };
        near(spread.items.variance, stretch * want.judge_variance, 1e-9);
    }
    // A judge that errs alike in both arms: 0.1 of its marks is slope × 0.1 of people's.
    let calibration = Calibration {
        labels: &labels,
        sampling: Sampling::Equal,
        tuning: Tuning::Regression,
        error_model: ErrorModel::SharedByArms,
    };
    let found = corrected_contrast(&scores, 0, 1, Average::Macro, Seeds::Nested, &calibration).unwrap();
    near(found.corrected.difference, found.judges[0].slope * 0.1, 1e-12);
    assert_eq!(found.equal_errors, None, "the second arm has no label");
}

#[test]
fn strengths_are_those_of_a_logistic_regression() {
    let want = reference().preferences;
    let comparison = |(item, first, second, preference): &(usize, usize, usize, f64)| Comparison {
        item: *item,
        shown_first: *first,
        shown_second: *second,
        preference: *preference,
    };
    let comparisons: Vec<Comparison> = want.comparisons.iter().map(comparison).collect();
    let found = bradley_terry(4, &comparisons, 0.0).unwrap();
    for (strength, want) in found.strengths.iter().zip(&want.strengths) {
        near(strength.as_ref().unwrap().strength, *want, 1e-7);
    }
    let difference = found.difference(0, 1).unwrap();
    near(difference.strength, want.difference, 1e-7);
    near(difference.uncertainty.unwrap().standard_error, want.difference_error, 1e-6);
    let ridged = bradley_terry(4, &comparisons, 0.5).unwrap();
    for (strength, want) in ridged.strengths.iter().zip(&want.ridged) {
        near(strength.as_ref().unwrap().strength, *want, 1e-6);
    }
}

#[test]
fn length_controlled_win_rates_are_those_of_the_regression() {
    let want = reference().lengths;
    let pairs = |with_difficulty: bool| -> Vec<LengthPair> {
        let pair = |(item, (preference, length, baseline_length, hard)): (usize, &(f64, f64, f64, f64))| LengthPair {
            item,
            preference: *preference,
            length: *length,
            baseline_length: *baseline_length,
            difficulty: with_difficulty.then_some(*hard),
        };
        want.pairs.iter().enumerate().map(pair).collect()
    };
    for (with_difficulty, want_fit) in [(false, &want.plain), (true, &want.hard)] {
        let bootstrap = Bootstrap { draws: 200, seed: 1 };
        let found = length_controlled_win_rate(&pairs(with_difficulty), want.ridge, bootstrap).unwrap();
        near(found.win_rate, want_fit.win_rate, 1e-6);
        near(found.length_coefficient, want_fit.coefficients[1], 1e-5);
        assert_eq!(found.difficulty_coefficient.is_some(), with_difficulty);
        let interval = found.interval.unwrap();
        assert!(interval.low < found.win_rate && found.win_rate < interval.high);
    }
}

#[test]
fn demings_line_is_that_of_the_least_distance() {
    let want = reference().deming;
    let answer = |(item, (old, new)): (usize, &(f64, f64))| JudgedTwice { item, old: *old, new: *new };
    let answers: Vec<JudgedTwice> = want.pairs.iter().enumerate().map(answer).collect();
    for line in &want.lines {
        let found = equate(&answers, line.ratio).unwrap();
        near(found.slope, line.slope, 1e-6);
        near(found.intercept, line.intercept, 1e-6);
        near(found.slope_uncertainty.unwrap().standard_error, line.slope_error, 1e-5);
        near(found.intercept_uncertainty.unwrap().standard_error, line.intercept_error, 1e-5);
    }
}

#[test]
fn a_probe_is_tested_as_scipy_does() {
    let want = reference().probe;
    let pair =
        |(item, (original, changed)): (usize, &(f64, f64))| ProbePair { item, original: *original, changed: *changed };
    let found = probe_shifts(&[want.pairs.iter().enumerate().map(pair).collect()]).unwrap().remove(0);
    near(found.shift.mean, want.shift, 1e-12);
    near(found.p.unwrap(), want.p, 1e-12);
    near(found.sign.p.unwrap(), want.sign_p, 1e-12);
    assert_eq!((found.sign.up, found.sign.down), (want.up, want.down));
    assert_eq!(found.p_holm, found.p, "of one test there is nothing to adjust");
}
