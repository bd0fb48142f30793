//! Whatever numbers come, functions about judges give numbers, reasons or errors: no NaN, no infinity, no panic.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use tunebench_spec::random::Stream;
use tunebench_statistics::agreement::*;
use tunebench_statistics::calibration::*;
use tunebench_statistics::preference::*;
use tunebench_statistics::*;

const VALUES: [f64; 16] =
    [0.0, -0.0, 0.1, 0.5, 0.9, 1.0, 1.0, 1.0, 1e-12, 1e-300, 1e59, -1e59, 1e16, -3.0, f64::NAN, f64::INFINITY];
const BOOTSTRAP: Bootstrap = Bootstrap { draws: 30, seed: 1 };

/// Draws whose values come from the first `reach` of the list, so that most of them are not refused at once.
struct Draws {
    random: Stream,
    reach: u64,
}

impl Draws {
    fn below(&mut self, n: usize) -> usize {
        self.random.below(n as u64) as usize
    }

    fn value(&mut self) -> f64 {
        VALUES[self.random.below(self.reach) as usize]
    }

    fn share(&mut self) -> f64 {
        let reach = self.reach.min(10);
        VALUES[self.random.below(reach) as usize]
    }

    fn list<T>(&mut self, most: usize, each: impl Fn(&mut Self) -> T) -> Vec<T> {
        (0..self.below(most)).map(|_| each(self)).collect()
    }
}

/// That what is shown of a result holds no number that is none; an error may quote one.
fn sound<T: std::fmt::Debug>(what: &str, result: Result<T, Error>) -> usize {
    let Ok(found) = result else { return 0 };
    let text = format!("{found:?}");
    let bad = |token: &str| token == "NaN" || token == "inf";
    assert!(!text.split(|c: char| !c.is_alphanumeric()).any(bad), "{what}: {text}");
    1
}

#[test]
fn nothing_is_nan() {
    let mut found = 0;
    for run in 0..600 {
        let mut draws = Draws { random: Stream::new(2, &[run]), reach: [3, 8, 10, 13, 16][run as usize % 5] };
        found += everything(&mut draws);
    }
    assert!(found > 3200, "most calls must come to a result, not be refused: {found}");
}

fn everything(draws: &mut Draws) -> usize {
    let pairs = draws.list(30, |d| (d.value(), d.value()));
    let gaps = draws.list(20, |d| d.list(4, |d| (d.below(4) > 0).then(|| d.value())));
    let bins = Bins::equal(2 + draws.below(9), 0.0, 1.0).unwrap();
    let mut found = 0;
    for level in [MeasurementLevel::Nominal, MeasurementLevel::Ordinal, MeasurementLevel::Interval] {
        found += sound("alpha", krippendorff_alpha(&gaps, level, BOOTSTRAP));
    }
    for weights in [KappaWeights::Unweighted, KappaWeights::Linear, KappaWeights::Quadratic] {
        found += sound("kappa", cohens_kappa(&pairs, &bins, weights));
    }
    for kind in [CorrelationKind::Pearson, CorrelationKind::Spearman] {
        found += sound("correlation", correlation(&pairs, kind));
    }
    found += sound("concordance", concordance(&pairs));
    found += sound("limits", bland_altman(&pairs));
    found += sound("raw", raw_agreement(&pairs, draws.share()));
    found += marks_of_judges(draws, &pairs);
    found + comparisons(draws) + corrections(draws)
}

fn marks_of_judges(draws: &mut Draws, pairs: &[(f64, f64)]) -> usize {
    let marks = draws.list(30, |d| JudgedMark { answer: d.below(6), judge: d.below(3), mark: d.value() });
    let design = JudgingDesign { answers: 5, judges: 2, repeats: 3 };
    let variances = generalizability(&marks);
    let mut found = sound("precision", variances.clone().and_then(|variances| variances.precision(design)));
    found += sound("variances", variances);
    let twice = |(item, (old, new)): (usize, &(f64, f64))| JudgedTwice { item: item / 2, old: *old, new: *new };
    let twice: Vec<JudgedTwice> = pairs.iter().enumerate().map(twice).collect();
    found += sound("line", equate(&twice, [1.0, 0.3, 1e9][draws.below(3)]));
    let probe =
        |(item, (original, changed)): (usize, &(f64, f64))| ProbePair { item, original: *original, changed: *changed };
    found += sound("probe", probe_shifts(&[pairs.iter().enumerate().map(probe).collect(), vec![]]));
    found + sound("probe", probe_shifts(&[pairs.iter().enumerate().map(probe).collect()]))
}

fn comparisons(draws: &mut Draws) -> usize {
    let comparison = |d: &mut Draws| Comparison {
        item: d.below(8),
        shown_first: d.below(2),
        shown_second: 2 + d.below(2),
        preference: d.share(),
    };
    let comparisons = draws.list(40, comparison);
    let mut found = sound("win rate", win_rate(&comparisons, 0, 2));
    found += sound("order", position_effect(&comparisons));
    for ridge in [0.0, 0.1] {
        let strengths = bradley_terry(4, &comparisons, ridge);
        if let Ok(strengths) = &strengths {
            sound("probability", Ok(strengths.win_probability(0, 2)));
        }
        found += sound("strengths", strengths);
    }
    let hard = draws.below(2) == 0;
    let pair = |d: &mut Draws| LengthPair {
        item: d.below(40),
        preference: d.share(),
        length: d.value(),
        baseline_length: d.value(),
        difficulty: hard.then(|| d.value()),
    };
    let pairs = draws.list(30, pair);
    found + sound("length", length_controlled_win_rate(&pairs, 0.5, BOOTSTRAP))
}

fn corrections(draws: &mut Draws) -> usize {
    let share = |d: &mut Draws| Share { count: d.below(30), of: d.below(40) };
    let judged = JudgedShare { judged_right: share(draws), specificity: share(draws), sensitivity: share(draws) };
    let mut found = sound("rates", rogan_gladen(&judged));
    let tuning = [Tuning::Regression, Tuning::Difference][draws.below(2)];
    let population = [Population::TheseAnswers, Population::OtherAnswers][draws.below(2)];
    let labels: Vec<MarkPair> =
        (0..20 + draws.below(10)).map(|_| MarkPair { judge: draws.value(), human: draws.value() }).collect();
    let judge: Vec<f64> = labels.iter().map(|pair| pair.judge).chain(draws.list(30, Draws::value)).collect();
    found += sound("mean", prediction_powered_mean(&judge, &labels, tuning, population));

    let mut observations = Vec::new();
    for arm in 0..2 {
        for seed in 0..1 + draws.below(2) as u64 {
            for item in 0..14 {
                observations.push(Observation { arm, seed, item, category: item % 2, repeat: 0, score: draws.value() });
            }
        }
    }
    let label = |d: &mut Draws, observation: &Observation| Label {
        arm: observation.arm,
        seed: observation.seed,
        item: observation.item,
        human: d.value(),
    };
    let labels: Vec<Label> = observations.iter().map(|observation| label(draws, observation)).collect();
    let names = |kind: &str| vec![format!("{kind} 0"), format!("{kind} 1")];
    let Ok(scores) = Scores::new(names("arm"), names("category"), observations) else { return found };
    for error_model in [ErrorModel::OfEachArm, ErrorModel::SharedByArms] {
        for sampling in [Sampling::Equal, Sampling::ByCategory] {
            let calibration = Calibration { labels: &labels, sampling, tuning, error_model };
            found += sound("estimate", corrected_estimate(&scores, 0, Average::Macro, &calibration));
            let contrast = corrected_contrast(&scores, 0, 1, Average::Macro, Seeds::Nested, &calibration);
            found += sound("contrast", contrast);
        }
    }
    let settings = BridgeSettings { average: Average::Micro, alpha: 0.05, error_ratio: 1.0 };
    found + sound("bridge", bridge(&scores, &scores, settings, |_, _| Seeds::Nested))
}
