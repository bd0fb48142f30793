//! What functions about judges say of small cases, and what they refuse to say.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use tunebench_spec::random::Stream;
use tunebench_statistics::agreement::*;
use tunebench_statistics::preference::*;
use tunebench_statistics::*;

const QUICK: Bootstrap = Bootstrap { draws: 300, seed: 1 };

fn comparison(item: usize, shown_first: usize, shown_second: usize, preference: f64) -> Comparison {
    Comparison { item, shown_first, shown_second, preference }
}

fn near(found: f64, want: f64, tolerance: f64) {
    assert!((found - want).abs() <= tolerance, "{found}, wanted {want}");
}

type Pairs = Vec<(f64, f64)>;

/// Everything that takes pairs of marks, as its error or its missing interval.
fn reasons(pairs: &[(f64, f64)]) -> Vec<(&'static str, String)> {
    let bins = Bins::equal(5, 0.0, 1.0).unwrap();
    let items: Vec<Vec<Option<f64>>> = pairs.iter().map(|(a, b)| vec![Some(*a), Some(*b)]).collect();
    let said = |found: Result<Result<Interval, NoInterval>, Error>| match found {
        Ok(Ok(interval)) => {
            assert!(interval.low.is_finite() && interval.high.is_finite(), "{interval:?}");
            "interval".to_owned()
        }
        Ok(Err(reason)) => reason.to_string(),
        Err(error) => error.to_string(),
    };
    let known = |found: Result<Uncertainty, NoInterval>| found.map(|known| known.interval);
    vec![
        ("alpha", said(krippendorff_alpha(&items, MeasurementLevel::Interval, QUICK).map(|found| found.interval))),
        ("kappa", said(cohens_kappa(pairs, &bins, KappaWeights::Linear).map(|found| known(found.uncertainty)))),
        ("pearson", said(correlation(pairs, CorrelationKind::Pearson).map(|found| found.interval))),
        ("spearman", said(correlation(pairs, CorrelationKind::Spearman).map(|found| found.interval))),
        ("concordance", said(concordance(pairs).map(|found| found.interval))),
        ("bias", said(bland_altman(pairs).map(|found| known(found.bias.uncertainty)))),
        ("raw", said(raw_agreement(pairs, 0.1).map(|found| Ok(found.interval)))),
    ]
}

#[test]
fn degenerate_marks_give_a_reason_and_never_nan() {
    let same = "rater gave all answers the same mark";
    let cases: [(&str, Pairs, [&str; 7]); 7] = [
        (
            "none",
            vec![],
            ["no item has two marks", "no scores", "no scores", "no scores", "no scores", "no scores", "no scores"],
        ),
        ("one", vec![(0.2, 0.7)], ["one item", "all 1 values", same, same, same, "one item", "interval"]),
        ("NaN", vec![(0.2, 0.7), (0.1, f64::NAN)], ["gave NaN"; 7]),
        ("infinite", vec![(f64::INFINITY, 0.7)], ["gave inf"; 7]),
        (
            "all the same",
            vec![(0.5, 0.5); 9],
            ["all marks are the same", "into one bin", same, same, same, "all 9 values", "interval"],
        ),
        (
            "one rater always the same",
            (0..9).map(|i| (0.5, f64::from(i) / 9.0)).collect(),
            ["interval", "interval", same, same, same, "interval", "interval"],
        ),
        (
            "shifted",
            (0..9).map(|i| (f64::from(i) / 9.0, f64::from(i) / 9.0 + 0.1)).collect(),
            ["interval", "interval", "on the line", "on the line", "on the line", "all 9 values", "interval"],
        ),
    ];
    for (name, pairs, wanted) in cases {
        for ((what, said), wanted) in reasons(&pairs).into_iter().zip(wanted) {
            assert!(said.contains(wanted), "{name}, {what}: {said}");
        }
    }
}

#[test]
fn a_judge_that_is_always_higher_correlates_and_disagrees() {
    let pairs: Vec<(f64, f64)> = (0..30).map(|i| (f64::from(i) / 40.0 + 0.2, f64::from(i) / 40.0)).collect();
    near(correlation(&pairs, CorrelationKind::Pearson).unwrap().r, 1.0, 1e-12);
    assert!(concordance(&pairs).unwrap().rho < 0.75);
    near(bland_altman(&pairs).unwrap().bias.mean, 0.2, 1e-12);
    assert_eq!(raw_agreement(&pairs, 0.1).unwrap().agreeing, 0);
    assert_eq!(raw_agreement(&pairs, 0.2).unwrap().agreeing, 30, "rounding is no disagreement");
}

#[test]
fn bins_are_what_the_caller_says() {
    let bins = Bins::new(vec![0.25, 0.75]).unwrap();
    assert_eq!([-1.0, 0.2, 0.25, 0.7, 0.75, 9.0].map(|mark| bins.bin(mark)), [0, 0, 1, 1, 2, 2]);
    for edges in [vec![], vec![0.5, 0.5], vec![0.6, 0.5], vec![f64::NAN], vec![0.1, f64::INFINITY]] {
        assert!(Bins::new(edges.clone()).is_err(), "{edges:?}");
    }
    assert!(Bins::equal(1, 0.0, 1.0).is_err() && Bins::equal(usize::MAX, 0.0, 1.0).is_err());
    assert!(Bins::equal(3, 1.0, 1.0).is_err());
}

/// Marks of known variances; the mean of many estimates is the truth, however many marks are missing.
#[test]
fn variances_of_answers_judges_and_repeats_are_unbiased() {
    let sds = [0.3_f64, 0.2, 0.15, 0.1];
    let mut sums = [0.0; 4];
    let runs = 400;
    for run in 0..runs {
        let mut random = Stream::new(9, &[run]);
        let judges: Vec<f64> = (0..4).map(|_| sds[1] * random.normal()).collect();
        let mut marks = Vec::new();
        for answer in 0..20 {
            let own = sds[0] * random.normal();
            for (judge, strict) in judges.iter().enumerate() {
                let taste = sds[2] * random.normal();
                for _ in 0..random.below(4) {
                    marks.push(JudgedMark { answer, judge, mark: own + strict + taste + sds[3] * random.normal() });
                }
            }
        }
        let found = generalizability(&marks).unwrap();
        // What is negative is shown as 0, which hardly happens here.
        let parts = [found.answer, found.judge.unwrap(), found.judge_answer.unwrap(), found.repeat.unwrap()];
        sums.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part.variance);
    }
    for (sum, sd) in sums.into_iter().zip(sds) {
        near(sum / runs as f64 / (sd * sd), 1.0, 0.12);
    }
}

#[test]
fn what_cannot_be_told_apart_is_left_out_or_refused() {
    let mark = |answer, judge, mark| JudgedMark { answer, judge, mark };
    let one_judge = [mark(0, 0, 0.1), mark(0, 0, 0.2), mark(1, 0, 0.8), mark(1, 0, 0.9)];
    let found = generalizability(&one_judge).unwrap();
    assert!(found.judge.is_none() && found.judge_answer.is_none());
    near(found.repeat.unwrap().variance, 0.005, 1e-12);
    near(found.answer.variance, 0.245 - 0.0025, 1e-12);
    let design = JudgingDesign { answers: 10, judges: 2, repeats: 1 };
    assert!(found.precision(design).unwrap_err().to_string().contains("second judge"));

    let no_repeats: Vec<JudgedMark> = (0..6).map(|i| mark(i / 2, i % 2, [0.1, 0.3, 0.5, 0.6, 0.8, 0.9][i])).collect();
    let found = generalizability(&no_repeats).unwrap();
    assert!(found.repeat.is_none() && found.judge_answer.is_some());
    let few = found.precision(design).unwrap();
    let many = found.precision(JudgingDesign { judges: 8, ..design }).unwrap();
    assert!(many.answer_standard_error < few.answer_standard_error && many.reliability > few.reliability);
    assert!(found.precision(JudgingDesign { repeats: 0, ..design }).is_err());

    let apart = [mark(0, 0, 0.1), mark(1, 0, 0.4), mark(2, 1, 0.2), mark(3, 1, 0.9)];
    assert!(generalizability(&apart).unwrap_err().to_string().contains("cannot be told apart"));
    assert!(generalizability(&one_judge[..2]).unwrap_err().to_string().contains("one answer"));
    assert_eq!(generalizability(&[]), Err(Error::Empty));
    assert!(matches!(generalizability(&[mark(0, 0, f64::NAN)]), Err(Error::NotFinite { row: 0, .. })));
    let alike: Vec<JudgedMark> = (0..8).map(|i| mark(i / 2, i % 2, 0.5)).collect();
    let found = generalizability(&alike).unwrap();
    assert_eq!((found.answer.variance, found.precision(design).unwrap().reliability), (0.0, None));
}

#[test]
fn win_rates_take_the_order_out() {
    // The first-shown answer wins always: in both orders that is a tie.
    let both: Vec<Comparison> = (0..5).flat_map(|i| [comparison(i, 0, 1, 1.0), comparison(i, 1, 0, 1.0)]).collect();
    let found = win_rate(&both, 0, 1).unwrap();
    assert_eq!((found.rate.mean, found.wins, found.ties, found.losses, found.both_orders), (0.5, 0, 5, 0, 5));
    assert_eq!(found.rate.uncertainty, Err(NoInterval::NoSpread { values: 5 }));
    let effect = position_effect(&both).unwrap();
    assert_eq!((effect.flipped, effect.consistent, effect.half_flipped), (5, 0, 0));
    assert_eq!((effect.flips.mean, effect.first_shown.mean), (1.0, 1.0));

    let mixed = [
        comparison(0, 0, 1, 1.0), // the arm 0 wins both ways
        comparison(0, 1, 0, 0.0),
        comparison(1, 0, 1, 0.5), // a tie, then 0 loses
        comparison(1, 1, 0, 1.0),
        comparison(2, 1, 0, 0.0), // one order only
        comparison(2, 3, 4, 1.0), // others
    ];
    let found = win_rate(&mixed, 0, 1).unwrap();
    assert_eq!((found.wins, found.ties, found.losses), (2, 0, 1));
    assert_eq!((found.both_orders, found.one_order), (2, 1));
    near(found.rate.mean, 2.25 / 3.0, 1e-12);
    near(win_rate(&mixed, 1, 0).unwrap().rate.mean, 0.75 / 3.0, 1e-12);
    let effect = position_effect(&mixed).unwrap();
    assert_eq!((effect.pairs, effect.one_order), (2, 2));
    assert_eq!((effect.consistent, effect.half_flipped, effect.flipped), (1, 1, 0));
    assert!(win_rate(&mixed, 0, 7).unwrap_err().to_string().contains("never compared"));
    assert!(position_effect(&mixed[4..]).unwrap_err().to_string().contains("both orders"));
    for preference in [f64::NAN, -0.1, 1.1] {
        let message = win_rate(&[comparison(0, 0, 1, preference)], 0, 1).unwrap_err().to_string();
        assert!(message.contains("the preference of comparison 0 is"), "{message}");
    }
    assert!(win_rate(&[comparison(0, 1, 1, 0.5)], 0, 1).unwrap_err().to_string().contains("another than the first"));
}

#[test]
fn strengths_that_have_no_bound_are_refused_or_held_by_a_stated_prior() {
    let wins = |item, winner, loser| comparison(item, winner, loser, 1.0);
    let always: Vec<Comparison> = (0..6).flat_map(|i| [wins(i, 0, 1), wins(i, 1 + i % 2, 2 - i % 2)]).collect();
    assert_eq!(bradley_terry(3, &always, 0.0).unwrap_err(), Error::Unbounded { arms: "0".into() });
    let held = bradley_terry(3, &always, 0.1).unwrap();
    assert_eq!((held.order[0], held.ridge), (0, 0.1));
    assert!(held.strengths.iter().flatten().all(|strength| strength.strength.is_finite()));

    let apart = [wins(0, 0, 1), wins(1, 1, 0), wins(0, 2, 3), wins(1, 3, 2)];
    for ridge in [0.0, 1.0] {
        assert_eq!(
            bradley_terry(4, &apart, ridge).unwrap_err(),
            Error::Disconnected { groups: "0, 1 and 2, 3".into() }
        );
    }
    let found = bradley_terry(5, &apart[..2], 0.0).unwrap();
    assert!(found.strengths[4].is_none() && found.difference(0, 4).is_none() && found.difference(0, 9).is_none());
    near(found.win_probability(0, 1).unwrap().0, 0.5, 1e-9);
    assert!(matches!(bradley_terry(1, &apart, 0.0), Err(Error::NoSuchArm { arm: 1, arms: 1 })));
    assert!(bradley_terry(4, &apart, f64::NAN).is_err() && bradley_terry(4, &[], 0.0).is_err());

    let one_item = [wins(0, 0, 1), wins(0, 1, 0)];
    let found = bradley_terry(2, &one_item, 0.0).unwrap();
    assert_eq!(found.strengths[0].as_ref().unwrap().uncertainty, Err(NoInterval::OneItem { category: None }));
    let ties: Vec<Comparison> = (0..9).map(|item| comparison(item, 0, 1, 0.5)).collect();
    let found = bradley_terry(2, &ties, 0.0).unwrap();
    assert!(found.win_probability(0, 1).unwrap().1.is_err(), "nothing varies");
}

/// Items that have a taste of their own make comparisons of one item alike: the interval knows.
#[test]
fn intervals_of_strengths_respect_items() {
    let (mut covered, runs) = (0, 300);
    for run in 0..runs {
        let mut random = Stream::new(5, &[run]);
        let mut comparisons = Vec::new();
        for item in 0..40 {
            let likes_first = if random.uniform() < 0.5 { 0.9 } else { 0.1 };
            for repeat in 0..6 {
                let wins = f64::from(u8::from(random.uniform() < likes_first));
                let (first, second, preference) = if repeat % 2 == 0 { (0, 1, wins) } else { (1, 0, 1.0 - wins) };
                comparisons.push(comparison(item, first, second, preference));
            }
        }
        let interval = bradley_terry(2, &comparisons, 0.0).unwrap().win_probability(0, 1).unwrap().1.unwrap();
        covered += u32::from(interval.low <= 0.5 && 0.5 <= interval.high);
    }
    // 300 intervals of 95 % cover fewer than 274 once in 1,000 tries; taken one by one, comparisons cover 65 %.
    assert!(covered >= 274, "{covered}");
}

#[test]
fn a_judge_that_likes_length_is_seen_through() {
    let mut random = Stream::new(6, &[]);
    let pair = |item: usize| {
        let (length, baseline_length) = (200.0 + 80.0 * random.normal(), 120.0 + 20.0 * random.normal());
        let odds = 1.5 * ((length - baseline_length) / 82.0_f64).tanh();
        let preference = f64::from(u8::from(random.uniform() < 1.0 / (1.0 + (-odds).exp())));
        LengthPair { item, preference, length, baseline_length, difficulty: None }
    };
    let pairs: Vec<LengthPair> = (0..400).map(pair).collect();
    let found = length_controlled_win_rate(&pairs, 0.1, QUICK).unwrap();
    assert!(found.raw_win_rate > 0.6 && found.length_coefficient > 1.0, "{found:?}");
    let interval = found.interval.clone().unwrap();
    assert!(interval.low <= 0.5 && 0.5 <= interval.high && interval.high < found.raw_win_rate + 0.1, "{found:?}");
    assert_eq!(found, length_controlled_win_rate(&pairs, 0.1, QUICK).unwrap());

    let with = |change: fn(&mut LengthPair)| {
        let mut pairs = pairs[..40].to_vec();
        change(&mut pairs[1]);
        length_controlled_win_rate(&pairs, 0.1, QUICK)
    };
    for change in [
        (|pair| pair.preference = f64::NAN) as fn(&mut LengthPair),
        |pair| pair.length = f64::INFINITY,
        |pair| pair.difficulty = Some(1.0),
    ] {
        assert!(matches!(with(change), Err(Error::BadValue { place: 1, .. })));
    }
    assert!(length_controlled_win_rate(&pairs, 0.0, QUICK).is_err());
    assert!(length_controlled_win_rate(&[], 0.1, QUICK).is_err());
    let all_won: Vec<LengthPair> = pairs.iter().map(|pair| LengthPair { preference: 1.0, ..*pair }).collect();
    assert!(length_controlled_win_rate(&all_won, 0.1, QUICK).unwrap_err().to_string().contains("same arm"));
    // One length everywhere: nothing to control for.
    let equal: Vec<LengthPair> =
        pairs.iter().map(|pair| LengthPair { length: 9.0, baseline_length: 9.0, ..*pair }).collect();
    let found = length_controlled_win_rate(&equal, 0.1, QUICK).unwrap();
    near(found.win_rate, found.raw_win_rate, 1e-9);
    let one = length_controlled_win_rate(&[LengthPair { preference: 0.5, ..pairs[0] }], 0.1, QUICK).unwrap();
    assert_eq!(one.interval, Err(NoInterval::OneItem { category: None }));
}

#[test]
fn lengths_come_from_comparisons_of_the_two_arms() {
    let comparisons =
        [comparison(3, 0, 1, 1.0), comparison(3, 1, 0, 0.5), comparison(4, 0, 1, 1.0), comparison(4, 0, 2, 1.0)];
    let length = |arm: usize, item: usize| (item == 3).then_some(10.0 * (arm as f64 + 1.0));
    let (pairs, left_out) = LengthPair::from_comparisons(&comparisons, 0, 1, length).unwrap();
    assert_eq!(left_out, 1);
    let want = LengthPair { item: 3, preference: 0.75, length: 10.0, baseline_length: 20.0, difficulty: None };
    assert_eq!(pairs, [want]);
}

#[test]
fn probes_hold_their_family() {
    let pairs = |shift: f64| -> Vec<ProbePair> {
        let mut random = Stream::new(8, &[]);
        let pair = |item| {
            let original = random.uniform();
            ProbePair { item, original, changed: original + shift + 0.1 * random.normal() }
        };
        (0..30).map(pair).collect()
    };
    let still: Vec<ProbePair> = (0..30).map(|item| ProbePair { item, original: 0.5, changed: 0.5 }).collect();
    let found = probe_shifts(&[pairs(0.0), pairs(0.1), still]).unwrap();
    assert!(found[1].p_holm.unwrap() < 0.001 && found[1].sign_p_holm.unwrap() < 0.01);
    assert!(found[1].p_holm.unwrap() >= 2.0 * found[1].p.unwrap() - 1e-15, "two probes have a p-value");
    let quiet = &found[2];
    assert_eq!((quiet.p, quiet.p_holm, quiet.sign.p, quiet.sign_p_holm), (None, None, None, None));
    assert_eq!((quiet.sign.same, quiet.shift.uncertainty.is_err()), (30, true));
    assert_eq!(probe_shifts(&[vec![]]), Err(Error::Empty));
    assert_eq!(probe_shifts(&[]), Ok(vec![]));
    let broken = ProbePair { item: 0, original: 0.5, changed: f64::NAN };
    assert!(matches!(probe_shifts(&[vec![broken]]), Err(Error::MarkNotFinite { item: 0, rater: 1, .. })));
}
