//! The judge's error taken out of scores and put into intervals: formulas, fixtures, refusals.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use tunebench_spec::random::Stream;
use tunebench_statistics::calibration::*;
use tunebench_statistics::simulation::{Arm, JudgeWorld, JudgedStudy, ScoreKind, SeedDraws, SimulatedJudge, World};
use tunebench_statistics::{Average, Error, Interval, NoInterval, Scope, Seeds};

fn near(found: f64, want: f64, tolerance: f64) {
    assert!((found - want).abs() <= tolerance, "{found}, wanted {want}");
}

/// Numbers by NumPy from the formulas of arXiv 2511.21140: 700 of 1000 passed, 45 of 50 wrong ones failed, 56 of 70
/// right ones passed.
#[test]
fn a_share_is_corrected_by_the_judges_rates() {
    let share = |count, of| Share { count, of };
    let judged = JudgedShare { judged_right: share(700, 1000), specificity: share(45, 50), sensitivity: share(56, 70) };
    let found = rogan_gladen(&judged).unwrap();
    near(found.estimate, 0.6 / 0.7, 1e-12);
    near(found.standard_error.clone().unwrap(), 0.06535485661450761, 1e-12);
    let interval = found.interval.clone().unwrap();
    near(interval.low, 0.7483627723754283, 1e-12);
    near(interval.high, 1.0045491027338567, 1e-12);
    near(found.shown().1.unwrap().high, 1.0, 0.0);
    let chance = JudgedShare { specificity: share(25, 50), sensitivity: share(35, 70), ..judged };
    assert!(matches!(rogan_gladen(&chance), Err(Error::Undefined { .. })));
    let nearly = JudgedShare { specificity: share(3, 5), sensitivity: share(4, 7), ..judged };
    assert_eq!(rogan_gladen(&nearly).unwrap().interval, Err(NoInterval::JudgeLikeChance { labels: 12 }));
}

#[test]
fn shares_that_cannot_be_are_refused() {
    let share = |count, of| Share { count, of };
    let good = JudgedShare { judged_right: share(7, 10), specificity: share(9, 10), sensitivity: share(8, 10) };
    let cases = [
        JudgedShare { judged_right: share(0, 0), ..good },
        JudgedShare { specificity: share(0, 0), ..good },
        JudgedShare { sensitivity: share(3, 2), ..good },
    ];
    for judged in cases {
        assert!(matches!(rogan_gladen(&judged), Err(Error::OutOfRange { .. })), "{judged:?}");
    }
    // A judge that is always right, on everything: the share is its own, and the interval is not of no width.
    let perfect =
        JudgedShare { judged_right: share(1000, 1000), specificity: share(30, 30), sensitivity: share(30, 30) };
    let found = rogan_gladen(&perfect).unwrap();
    assert_eq!(found.estimate, 1.0);
    let interval = found.interval.unwrap();
    assert!(interval.high - interval.low > 0.01 && interval.low > 0.8, "{interval:?}");
}

/// Two arms at 0.6 and 0.5, two trainings, 60 items in two categories, a judge that presses the scale and is too high.
fn world(labels_per_arm: usize, arm_bias: Vec<f64>) -> JudgeWorld {
    let judge =
        SimulatedJudge { level: 0.1, scale: 0.6, item_sd: 0.0, arm_bias, noise_sd: 0.05, flips: None, steps: None };
    let world = World {
        category_items: vec![40, 20],
        category_step: 0.05,
        arms: [0.6, 0.5].map(|mean| Arm { mean, seeds: 3, seed_sd: 0.01 }).to_vec(),
        item_sd: 0.12,
        arm_item_sd: 0.08,
        seed_item_sd: 0.08,
        repeat_sd: 0.0,
        repeats: 1,
        seeds: SeedDraws::Independent,
        kind: ScoreKind::Continuous,
    };
    JudgeWorld { world, judge, labels_per_arm, sampling: Sampling::Equal }
}

fn draw(world: &JudgeWorld, run: u64) -> JudgedStudy {
    world.draw(&mut Stream::new(7, &[run])).unwrap()
}

fn by(labels: &[Label], error_model: ErrorModel) -> Calibration<'_> {
    Calibration { labels, sampling: Sampling::Equal, tuning: Tuning::Regression, error_model }
}

fn holds(interval: Interval, truth: f64) -> u32 {
    u32::from(interval.low <= truth && truth <= interval.high)
}

#[test]
fn corrected_intervals_cover_and_uncorrected_do_not() {
    let world = world(24, vec![]);
    let mut covered = [0; 4];
    let runs = 300;
    for run in 0..runs {
        let study = draw(&world, run);
        let mean =
            corrected_estimate(&study.scores, 0, Average::Macro, &by(&study.labels, ErrorModel::OfEachArm)).unwrap();
        covered[0] += holds(mean.uncorrected.inference.unwrap().interval, 0.6);
        covered[1] += holds(mean.corrected.inference.unwrap().interval, 0.6);
        for (place, model) in [(2, ErrorModel::OfEachArm), (3, ErrorModel::SharedByArms)] {
            let calibration = by(&study.labels, model);
            let found = corrected_contrast(&study.scores, 0, 1, Average::Macro, Seeds::Nested, &calibration).unwrap();
            covered[place] += holds(found.corrected.inference.unwrap().interval, 0.1);
        }
    }
    assert!(covered[0] < 150, "{covered:?}");
    // 300 intervals of 95 % cover fewer than 274 once in 1,000 tries.
    assert!(covered[1..].iter().all(|covered| *covered >= 274), "{covered:?}");
}

#[test]
fn the_judges_part_is_added_to_those_of_items_and_trainings() {
    let study = draw(&world(30, vec![]), 1);
    let found =
        corrected_estimate(&study.scores, 0, Average::Macro, &by(&study.labels, ErrorModel::OfEachArm)).unwrap();
    let (before, after) = (found.uncorrected.inference.unwrap(), found.corrected.inference.unwrap());
    assert_eq!((before.contains(), after.contains()), ("items and trainings", "items, trainings and the judge"));
    assert_eq!(after.scope, Scope::ItemsAndTrainings);
    let stretch = found.judge.slope.powi(2);
    near(after.spread.items.variance, stretch * before.spread.items.variance, 1e-12);
    near(after.spread.seeds.unwrap().variance, stretch * before.spread.seeds.unwrap().variance, 1e-12);
    let without = stretch * before.standard_error.powi(2);
    near(after.standard_error.powi(2), without + after.spread.judge.unwrap().variance, 1e-12);
    // The p-value is the level at which the interval ends at 0.
    let distance = found.corrected.mean - after.spread.interval(found.corrected.mean, 0.9).low;
    near(after.spread.p(distance), 0.1, 1e-6);
    near(found.judge.bias, 0.1, 0.08);
    assert_eq!((found.judge.labels, found.judge.left_out), (30, 0));
}

#[test]
fn a_judge_that_says_nothing_leaves_trainings_unseen() {
    let mut nothing = world(40, vec![]);
    nothing.judge = SimulatedJudge { scale: 0.0, noise_sd: 0.2, ..nothing.judge };
    let study = draw(&nothing, 4);
    for tuning in [Tuning::Regression, Tuning::Difference] {
        let calibration = Calibration { tuning, ..by(&study.labels, ErrorModel::OfEachArm) };
        let found = corrected_estimate(&study.scores, 0, Average::Macro, &calibration).unwrap();
        assert!(found.judge.correlation.unwrap().abs() < 0.3);
        let known = found.corrected.inference.unwrap();
        assert_eq!((known.scope, known.contains()), (Scope::ItemsOnly, "items and the judge"));
        assert_eq!(holds(known.interval, 0.6), 1);
    }
    let shared = by(&study.labels, ErrorModel::SharedByArms);
    match corrected_contrast(&study.scores, 0, 1, Average::Macro, Seeds::Nested, &shared) {
        Ok(found) => assert_eq!(found.corrected.inference, Err(NoInterval::JudgeLikeChance { labels: 80 })),
        Err(error) => assert!(matches!(error, Error::Undefined { .. }), "{error}"),
    }
}

#[test]
fn an_arm_that_the_judge_likes_is_seen_in_the_labels() {
    let study = draw(&world(60, vec![0.15]), 1);
    let contrast = |model| {
        let calibration = by(&study.labels, model);
        corrected_contrast(&study.scores, 0, 1, Average::Macro, Seeds::Nested, &calibration).unwrap()
    };
    let (own, shared) = (contrast(ErrorModel::OfEachArm), contrast(ErrorModel::SharedByArms));
    assert_eq!(holds(own.corrected.inference.unwrap().interval, 0.1), 1);
    assert_eq!(holds(shared.corrected.inference.unwrap().interval, 0.1), 0);
    assert!(shared.equal_errors.unwrap().p < 0.001);
    assert_eq!(own.equal_errors, None);
    let fair = draw(&world(60, vec![]), 2);
    let calibration = by(&fair.labels, ErrorModel::SharedByArms);
    let found = corrected_contrast(&fair.scores, 0, 1, Average::Macro, Seeds::Nested, &calibration).unwrap();
    assert!(found.equal_errors.unwrap().p > 0.01);
}

#[test]
fn labels_that_do_not_suffice_are_named() {
    let study = draw(&world(30, vec![]), 3);
    let estimate = |labels: &[Label], sampling, tuning| {
        let calibration = Calibration { labels, sampling, tuning, error_model: ErrorModel::OfEachArm };
        corrected_estimate(&study.scores, 0, Average::Macro, &calibration)
    };
    let equal = |labels: &[Label]| estimate(labels, Sampling::Equal, Tuning::Regression);
    let labels = &study.labels[..30];
    let few = equal(&labels[..12]).unwrap();
    assert!(few.corrected.mean.is_finite());
    assert_eq!(few.corrected.inference.unwrap_err(), NoInterval::FewLabels { labels: 12, least: LEAST_LABELS });
    // Twenty of two arms together are not twenty of each.
    let halves: Vec<Label> = labels[..12].iter().chain(&study.labels[30..]).copied().collect();
    let own = by(&halves, ErrorModel::OfEachArm);
    let found = corrected_contrast(&study.scores, 0, 1, Average::Macro, Seeds::Nested, &own).unwrap();
    assert_eq!(found.corrected.inference.unwrap_err(), NoInterval::FewLabels { labels: 12, least: LEAST_LABELS });
    assert_eq!(found.corrected.test, None);
    let pooled = by(&halves, ErrorModel::SharedByArms);
    let found = corrected_contrast(&study.scores, 0, 1, Average::Macro, Seeds::Nested, &pooled).unwrap();
    assert!(found.corrected.inference.is_ok());
    assert!(matches!(equal(&labels[..1]), Err(Error::FewLabels { labels: 1, least: 2, .. })));
    assert!(matches!(equal(&[]), Err(Error::FewLabels { labels: 0, .. })));

    let twice: Vec<Label> = labels.iter().chain(&labels[..1]).copied().collect();
    assert!(matches!(equal(&twice), Err(Error::LabelledTwice { .. })));
    let with = |change: fn(&mut Label)| {
        let mut labels = labels.to_vec();
        change(&mut labels[2]);
        equal(&labels)
    };
    assert!(matches!(with(|label| label.human = f64::NAN), Err(Error::NotFinite { row: 2, .. })));
    assert!(matches!(with(|label| label.arm = 9), Err(Error::NoSuchArm { arm: 9, arms: 2 })));
    for change in [(|label| label.item = 999) as fn(&mut Label), |label| label.seed = 999] {
        let found = with(change).unwrap();
        assert_eq!((found.judge.labels, found.judge.left_out), (29, 1), "counted, and left out");
    }
    let one_category: Vec<Label> = labels.iter().filter(|label| label.item < 40).copied().collect();
    let message = estimate(&one_category, Sampling::ByCategory, Tuning::Regression).unwrap_err().to_string();
    assert!(message.contains("category `category 1`") && message.contains("0 labels"), "{message}");
    assert_eq!(equal(&one_category).unwrap().judge.unlabelled_categories, 1);

    // People who say always the same of marks that vary; and a judge that is off by the same everywhere.
    let flat: Vec<Label> = labels.iter().map(|label| Label { human: 0.5, ..*label }).collect();
    let found = equal(&flat).unwrap();
    near(found.corrected.mean, 0.5, 1e-12);
    assert_eq!(found.corrected.inference.unwrap_err(), NoInterval::PeopleAllTheSame { labels: 30 });
    let found = estimate(&flat, Sampling::Equal, Tuning::Difference).unwrap();
    assert_eq!(found.corrected.inference.unwrap_err(), NoInterval::PeopleAllTheSame { labels: 30 });
    let shared = Calibration { error_model: ErrorModel::SharedByArms, ..by(&flat, ErrorModel::OfEachArm) };
    let refused = corrected_contrast(&study.scores, 0, 1, Average::Macro, Seeds::Nested, &shared);
    assert!(matches!(refused, Err(Error::OneMark { who: "people", .. })));
}

#[test]
fn plain_lists_are_refused_by_name() {
    let judge: Vec<f64> = (0..50).map(|i| f64::from(i % 10) / 10.0).collect();
    let pair = |i: usize, human: f64| MarkPair { judge: judge[i], human };
    let labels: Vec<MarkPair> = (0..30).map(|i| pair(i, judge[i] * 0.8 + 0.02 * (i % 3) as f64)).collect();
    let mean =
        |labels: &[MarkPair], population| prediction_powered_mean(&judge, labels, Tuning::Regression, population);
    let (these, others) =
        (mean(&labels, Population::TheseAnswers).unwrap(), mean(&labels, Population::OtherAnswers).unwrap());
    assert!(these.uncertainty.unwrap().standard_error < others.uncertainty.unwrap().standard_error);
    assert!((these.slope - 0.8).abs() < 0.02 && these.bias > 0.0);

    let all: Vec<MarkPair> = (0..50).map(|i| pair(i, judge[i] * 0.8 + 0.02 * (i % 3) as f64)).collect();
    assert_eq!(mean(&all, Population::TheseAnswers).unwrap().uncertainty, Err(NoInterval::AllLabelled { labels: 50 }));
    let few = mean(&labels[..5], Population::OtherAnswers).unwrap();
    assert_eq!(few.uncertainty, Err(NoInterval::FewLabels { labels: 5, least: LEAST_LABELS }));
    let exact: Vec<MarkPair> = (0..30).map(|i| pair(i, judge[i])).collect();
    let found = mean(&exact, Population::OtherAnswers).unwrap();
    assert_eq!(found.uncertainty, Err(NoInterval::JudgeNeverWrong { labels: 30 }));
    let one_mark = vec![MarkPair { judge: 0.5, human: 0.2 }, MarkPair { judge: 0.5, human: 0.4 }];
    assert!(matches!(mean(&one_mark, Population::OtherAnswers), Err(Error::OneMark { who: "the judge", .. })));
    let lever: Vec<MarkPair> =
        (0..30).map(|i| MarkPair { judge: f64::from(u8::from(i == 0)), human: f64::from(i) / 30.0 }).collect();
    let found = mean(&lever, Population::OtherAnswers).unwrap();
    assert_eq!(found.uncertainty, Err(NoInterval::OneLabelDecides { labels: 30 }));
    assert!(mean(&[labels[0]], Population::OtherAnswers).is_err());
    assert!(mean(&[MarkPair { judge: 0.1, human: f64::NAN }; 3], Population::OtherAnswers).is_err());
    let more = vec![labels[0]; 51];
    assert!(mean(&more, Population::OtherAnswers).unwrap_err().to_string().contains("at most the number of judged"));
    assert!(prediction_powered_mean(&[], &labels, Tuning::Difference, Population::OtherAnswers).is_err());
}
