//! From one judge to the next: shifts of scores, conclusions that change, marks in each other's units.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use tunebench_spec::random::Stream;
use tunebench_statistics::*;

const SETTINGS: BridgeSettings = BridgeSettings { average: Average::Macro, alpha: 0.05, error_ratio: 1.0 };

/// What the new judge gives an arm's answer to an item.
type NewScore = Box<dyn Fn(usize, usize) -> f64>;

/// Scores of two arms, 40 items, one training, as `score` gives them; nothing where it gives none.
fn scores(arms: [&str; 2], score: impl Fn(usize, usize) -> Option<f64>) -> Scores {
    let cells = (0..2).flat_map(|arm| (0..40).map(move |item| (arm, item)));
    let observation = |(arm, item)| {
        let score = score(arm, item)?;
        Some(Observation { arm, seed: 0, item, category: item % 2, repeat: 0, score })
    };
    Scores::new(
        arms.map(String::from).to_vec(),
        vec!["even".into(), "odd".into()],
        cells.filter_map(observation).collect(),
    )
    .unwrap()
}

fn truth(arm: usize, item: usize) -> f64 {
    let mut random = Stream::new(3, &[item as u64, arm as u64]);
    0.5 + 0.2 * Stream::new(4, &[item as u64]).normal() + 0.03 * random.normal() + 0.05 * arm as f64
}

fn found(new: impl Fn(usize, usize) -> Option<f64>) -> Result<Bridge, Error> {
    let old = scores(["a", "b"], |arm, item| Some(truth(arm, item)));
    bridge(&old, &scores(["a", "b"], new), SETTINGS, |_, _| Seeds::Nested)
}

#[test]
fn a_stricter_judge_shifts_scores_and_no_conclusion() {
    let found = found(|arm, item| {
        (item > 3).then(|| 0.8 * truth(arm, item) + 0.01 * Stream::new(5, &[item as u64, arm as u64]).normal())
    })
    .unwrap();
    assert_eq!((found.answers, found.left_out), (72, 8));
    assert!(found.arms.iter().all(|arm| arm.shift.inference.as_ref().unwrap().interval.high < 0.0));
    let pair = &found.pairs[0];
    assert_eq!(pair.conclusion, Conclusion::Same);
    assert!((pair.shift.difference - (pair.new.difference - pair.old.difference)).abs() < 1e-12);
    let line = found.equating.unwrap();
    let interval = line.slope_uncertainty.clone().unwrap().interval;
    assert!(interval.low <= 0.8 && 0.8 <= interval.high && interval.high - interval.low < 0.1, "{line:?}");
    assert!((line.old_mark(line.new_mark(0.3)).unwrap() - 0.3).abs() < 1e-12);
}

#[test]
fn conclusions_that_change_are_named() {
    let noise = |arm: usize, item: usize, sd: f64| sd * Stream::new(6, &[item as u64, arm as u64]).normal();
    let cases: [(&str, NewScore, Conclusion); 3] = [
        ("the other way round", Box::new(|arm, item| truth(arm, item) - 0.1 * arm as f64), Conclusion::Reversed),
        ("no longer seen", Box::new(move |arm, item| truth(arm, item) + noise(arm, item, 0.6)), Conclusion::Lost),
        ("the same", Box::new(|arm, item| truth(arm, item) + 0.2), Conclusion::Same),
    ];
    for (name, new, want) in cases {
        assert_eq!(found(|arm, item| Some(new(arm, item))).unwrap().pairs[0].conclusion, want, "{name}");
    }
    let flat = scores(["a", "b"], |arm, item| Some(truth(arm, item) - 0.05 * arm as f64));
    let seen = scores(["a", "b"], |arm, item| Some(truth(arm, item)));
    let found = bridge(&flat, &seen, SETTINGS, |_, _| Seeds::Nested).unwrap();
    assert_eq!(found.pairs[0].conclusion, Conclusion::Gained);
}

#[test]
fn judges_of_different_studies_are_refused() {
    let old = scores(["a", "b"], |arm, item| Some(truth(arm, item)));
    let names = scores(["a", "c"], |arm, item| Some(truth(arm, item)));
    let message = bridge(&old, &names, SETTINGS, |_, _| Seeds::Nested).unwrap_err().to_string();
    assert!(message.contains("arms differ"), "{message}");
    let halves = |first: bool| scores(["a", "b"], move |arm, item| ((item < 20) == first).then(|| truth(arm, item)));
    assert_eq!(bridge(&halves(true), &halves(false), SETTINGS, |_, _| Seeds::Nested), Err(Error::NoSharedAnswer));
    let one_arm = scores(["a", "b"], |arm, item| (arm == 0 || item < 2).then(|| truth(arm, item)));
    let other = scores(["a", "b"], |arm, item| (arm == 0 || item > 2).then(|| truth(arm, item)));
    assert!(matches!(bridge(&one_arm, &other, SETTINGS, |_, _| Seeds::Nested), Err(Error::EmptyArm { .. })));
}

#[test]
fn lines_that_there_are_not_are_refused() {
    let answer = |item, old, new| JudgedTwice { item, old, new };
    let cases = [
        (vec![], 1.0, "no scores"),
        (vec![answer(0, 0.5, 0.5), answer(1, 0.5, 0.7)], 1.0, "the same mark"),
        (vec![answer(0, 0.2, 0.5), answer(1, 0.8, 0.5)], 1.0, "the same mark"),
        (vec![answer(0, 0.2, 0.5)], 1.0, "the same mark"),
        (vec![answer(0, 0.2, f64::NAN)], 1.0, "gave NaN"),
        (vec![answer(0, 0.2, 0.5)], 0.0, "above 0"),
        (vec![answer(0, 0.2, 0.5)], f64::NAN, "above 0"),
    ];
    for (answers, ratio, want) in cases {
        let message = equate(&answers, ratio).unwrap_err().to_string();
        assert!(message.contains(want), "{message}");
    }
    let two = equate(&[answer(0, 0.2, 0.4), answer(1, 0.6, 0.5)], 1.0).unwrap();
    assert_eq!(two.slope_uncertainty, Err(NoInterval::TooFew { values: 2, least: 3 }));
    let perfect: Vec<JudgedTwice> = (0..9).map(|i| answer(i, i as f64, 2.0 * i as f64 + 1.0)).collect();
    let found = equate(&perfect, 1.0).unwrap();
    assert!((found.slope - 2.0).abs() < 1e-12 && (found.intercept - 1.0).abs() < 1e-12);
    assert_eq!(found.slope_uncertainty, Err(NoInterval::PerfectLine));
    // All but one item at one mark: that one decides.
    let lever: Vec<JudgedTwice> =
        (0..9).map(|i| answer(i, f64::from(u8::from(i == 3)), f64::from(u8::from(i == 3)))).collect();
    assert!(equate(&lever, 1.0).unwrap().slope_uncertainty.is_err());
}
