//! Numbers of SciPy and statsmodels (`fixtures/make.py`) against ours.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use serde::Deserialize;
use tunebench_statistics::distributions::{studentized_range_tail, t_quantile, t_tail, t_test_power};
use tunebench_statistics::{
    Average, Observation, Scores, Seeds, components, contrast, equivalence, estimate, holm, line_in_log10,
};

#[derive(Deserialize)]
struct Reference {
    t: Vec<TRow>,
    power: Vec<PowerRow>,
    studentized_range: Vec<RangeRow>,
    holm: HolmRow,
    line: LineRow,
    paired: PairedRow,
    crossed: CrossedRow,
    arms: ArmsRow,
    welch: WelchRow,
}

#[derive(Deserialize)]
struct TRow {
    df: f64,
    tail: f64,
    t: f64,
}

#[derive(Deserialize)]
struct PowerRow {
    df: f64,
    noncentrality: f64,
    alpha: f64,
    power: f64,
}

#[derive(Deserialize)]
struct RangeRow {
    q: f64,
    groups: usize,
    df: f64,
    tail: f64,
}

#[derive(Deserialize)]
struct HolmRow {
    p: Vec<f64>,
    adjusted: Vec<f64>,
}

#[derive(Deserialize)]
struct LineRow {
    x: Vec<f64>,
    y: Vec<f64>,
    slope: f64,
    intercept: f64,
    slope_error: f64,
    intercept_error: f64,
    low: f64,
    high: f64,
    p: f64,
    r_squared: f64,
}

#[derive(Deserialize)]
struct PairedRow {
    first: Vec<f64>,
    second: Vec<f64>,
    difference: f64,
    t: f64,
    p: f64,
    df: f64,
    low: f64,
    high: f64,
    margin: f64,
    equivalence_p: f64,
    narrow_low: f64,
    narrow_high: f64,
}

#[derive(Deserialize)]
struct CrossedRow {
    scores: Vec<ScoreRow>,
    item: f64,
    seed: f64,
    seed_item: f64,
    repeat: f64,
    mean: f64,
    standard_error: f64,
}

#[derive(Deserialize)]
struct ArmsRow {
    scores: Vec<ScoreRow>,
    item: f64,
    arm_item: f64,
    repeat: f64,
}

#[derive(Deserialize)]
struct ScoreRow {
    #[serde(default)]
    arm: usize,
    #[serde(default)]
    seed: u64,
    item: usize,
    repeat: u32,
    score: f64,
}

#[derive(Deserialize)]
struct WelchRow {
    first: Vec<f64>,
    second: Vec<f64>,
    t: f64,
    df: f64,
}

fn reference() -> Reference {
    serde_json::from_str(include_str!("fixtures/reference.json")).unwrap()
}

fn close(what: &str, ours: f64, theirs: f64, relative: f64) {
    let scale = theirs.abs().max(f64::MIN_POSITIVE);
    assert!((ours - theirs).abs() <= relative * scale, "{what}: {ours}, by the reference {theirs}");
}

fn scores(arms: usize, rows: &[ScoreRow]) -> Scores {
    let observation = |row: &ScoreRow| {
        let ScoreRow { arm, seed, item, repeat, score } = *row;
        Observation { arm, seed, item, category: 0, repeat, score }
    };
    let names = (0..arms).map(|arm| format!("arm {arm}")).collect();
    Scores::new(names, vec!["all".into()], rows.iter().map(observation).collect()).unwrap()
}

#[test]
fn student_t() {
    for TRow { df, tail, t } in reference().t {
        // Both quantile and tail are iterated to about ten digits.
        close(&format!("t quantile of {tail}, {df} df"), t_quantile(tail, df), t, 1e-8);
        close(&format!("t tail of {t}, {df} df"), t_tail(t, df), tail, 1e-8);
    }
}

#[test]
fn power_of_a_t_test() {
    for PowerRow { df, noncentrality, alpha, power } in reference().power {
        let ours = t_test_power(noncentrality, df, alpha);
        assert!((ours - power).abs() < 1e-7, "{noncentrality}, {df} df: {ours}, by the reference {power}");
    }
}

#[test]
fn studentized_range() {
    for RangeRow { q, groups, df, tail } in reference().studentized_range {
        let ours = studentized_range_tail(q, groups, df);
        // Probabilities: absolute, far below any level.
        assert!((ours - tail).abs() < 1e-6, "{q}, {groups} groups, {df} df: {ours}, by the reference {tail}");
    }
}

#[test]
fn holm_adjustment() {
    let HolmRow { p, adjusted } = reference().holm;
    for (ours, theirs) in holm(&p).into_iter().zip(adjusted) {
        close("Holm", ours, theirs, 1e-12);
    }
}

#[test]
fn line_with_interval() {
    let want = reference().line;
    let line = line_in_log10(&want.x, &want.y).unwrap();
    let known = line.uncertainty.unwrap();
    let pairs = [
        ("slope", line.slope, want.slope),
        ("intercept", line.intercept, want.intercept),
        ("slope's error", known.standard_error, want.slope_error),
        ("intercept's error", known.intercept_standard_error, want.intercept_error),
        ("low", known.interval.low, want.low),
        ("high", known.interval.high, want.high),
        ("R²", line.r_squared.unwrap(), want.r_squared),
        ("p", known.p, want.p),
    ];
    for (what, ours, theirs) in pairs {
        close(what, ours, theirs, 1e-8);
    }
}

#[test]
fn one_training_each_is_the_paired_t_test() {
    let want = reference().paired;
    let row = |arm: usize, item: usize, score: f64| ScoreRow { arm, seed: 0, item, repeat: 0, score };
    let of_arm = |arm: usize, values: &[f64]| -> Vec<ScoreRow> {
        values.iter().enumerate().map(|(item, score)| row(arm, item, *score)).collect()
    };
    let rows: Vec<ScoreRow> = of_arm(0, &want.first).into_iter().chain(of_arm(1, &want.second)).collect();
    for average in [Average::Macro, Average::Micro, Average::Category(0)] {
        let contrast = contrast(&scores(2, &rows), 0, 1, average, Seeds::Nested).unwrap();
        let known = contrast.inference.clone().unwrap();
        let equivalence = equivalence(&contrast, want.margin).unwrap().unwrap();
        let test = contrast.test.unwrap();
        let pairs = [
            ("difference", contrast.difference, want.difference),
            ("t", test.t, want.t),
            ("p", test.p, want.p),
            ("df", known.df, want.df),
            ("low", known.interval.low, want.low),
            ("high", known.interval.high, want.high),
            ("equivalence", equivalence.p, want.equivalence_p),
            ("narrow low", equivalence.interval.low, want.narrow_low),
            ("narrow high", equivalence.interval.high, want.narrow_high),
        ];
        for (what, ours, theirs) in pairs {
            close(what, ours, theirs, 1e-7);
        }
    }
}

/// statsmodels' REML stops where its optimizer does, about four digits of the closed form.
const REML: f64 = 1e-3;

#[test]
fn variances_of_items_trainings_and_repeats() {
    let want = reference().crossed;
    let scores = scores(1, &want.scores);
    let found = components(&scores, Average::Macro).unwrap();
    let of_arm = found.arms[0];
    close("item", of_arm.items.unwrap().variance, want.item, REML);
    close("seed", of_arm.seed.unwrap().variance, want.seed, REML);
    close("seed by item", of_arm.seed_item.unwrap().variance, want.seed_item, REML);
    close("repeat", of_arm.repeat.unwrap().variance, want.repeat, REML);
    assert_eq!(found.seed, of_arm.seed);
    assert_eq!((found.item, found.arm_item), (None, None), "one arm cannot part them");
    let estimate = estimate(&scores, 0, Average::Macro).unwrap();
    close("mean", estimate.mean, want.mean, 1e-6);
    close("standard error", estimate.inference.unwrap().standard_error, want.standard_error, REML);
}

#[test]
fn variances_of_items_and_arms() {
    let want = reference().arms;
    let found = components(&scores(3, &want.scores), Average::Macro).unwrap();
    close("item", found.item.unwrap().variance, want.item, REML);
    close("arm by item", found.arm_item.unwrap().variance, want.arm_item, REML);
    close("repeat", found.repeat.unwrap().variance, want.repeat, REML);
    assert_eq!((found.seed, found.seed_item), (None, None), "one training cannot show them");
}

#[test]
fn trainings_alone_are_welchs_test_with_fewer_degrees_of_freedom() {
    let want = reference().welch;
    let of_arm = |arm: usize, means: &[f64]| -> Vec<ScoreRow> {
        let rows = means.iter().enumerate().flat_map(|(seed, mean)| {
            (0..3).map(move |item| ScoreRow { arm, seed: seed as u64, item, repeat: 0, score: *mean })
        });
        rows.collect()
    };
    let rows: Vec<ScoreRow> = of_arm(0, &want.first).into_iter().chain(of_arm(1, &want.second)).collect();
    let contrast = contrast(&scores(2, &rows), 0, 1, Average::Macro, Seeds::Nested).unwrap();
    close("t", contrast.test.unwrap().t, want.t, 1e-9);
    let df = contrast.inference.unwrap().df;
    // Half of what Welch has beyond the smaller arm's 2.
    close("df", df, 2.0 + 0.5 * (want.df - 2.0), 1e-6);
}
