//! What the estimates say, and what they refuse to say.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use tunebench_spec::random::Stream;
use tunebench_statistics::simulation::{Arm, ScoreKind, SeedDraws, World};
use tunebench_statistics::*;

fn observation(arm: usize, seed: u64, item: usize, score: f64) -> Observation {
    Observation { arm, seed, item, category: 0, repeat: 0, score }
}

fn names(kind: &str, n: usize) -> Vec<String> {
    (0..n).map(|i| format!("{kind} {i}")).collect()
}

fn scores(arms: usize, observations: Vec<Observation>) -> Result<Scores, Error> {
    Scores::new(names("arm", arms), names("category", 1), observations)
}

/// Arms of these means, in two categories.
fn world(means: &[f64], seeds: usize, items: usize) -> World {
    World {
        category_items: vec![items / 2; 2],
        category_step: 0.1,
        arms: means.iter().map(|mean| Arm { mean: *mean, seeds, seed_sd: 0.01 }).collect(),
        item_sd: 0.2,
        arm_item_sd: 0.05,
        seed_item_sd: 0.05,
        repeat_sd: 0.02,
        repeats: 2,
        seeds: SeedDraws::Independent,
        kind: ScoreKind::Continuous,
    }
}

fn draw(world: &World) -> Scores {
    world.draw(&mut Stream::new(1, &[])).unwrap()
}

#[test]
fn what_is_wrong_with_scores_is_named() {
    let good = observation(0, 1, 7, 0.5);
    let cases = [
        (vec![], "no scores: give at least one observation"),
        (vec![Observation { arm: 2, ..good }], "observation 0 is of arm 2, but only 1 arms are named"),
        (vec![Observation { category: 1, ..good }], "observation 0 is of category 1, but only 1 are named"),
        (vec![good, Observation { score: f64::NAN, seed: 2, ..good }], "observation 1 has the score NaN"),
        (vec![good, good], "arm `arm 0` has two scores of seed 1, item 7, repeat 0"),
    ];
    for (observations, want) in cases {
        let message = scores(1, observations).unwrap_err().to_string();
        assert!(message.starts_with(want), "{message}");
    }
    let two =
        Scores::new(names("arm", 1), names("category", 2), vec![good, Observation { seed: 2, category: 1, ..good }]);
    assert_eq!(
        two.unwrap_err().to_string(),
        "item 7 is in category `category 0` and in `category 1`: an item has one category"
    );
    assert_eq!(scores(2, vec![good]).unwrap_err(), Error::EmptyArm { arm: "arm 1".into() });
    let unused = Scores::new(names("arm", 1), names("category", 2), vec![good]);
    assert_eq!(unused.unwrap_err(), Error::EmptyCategory { category: "category 1".into() });
    let twins = Scores::new(vec!["a\u{1b}".into(), "a\u{1b}".into()], names("category", 1), vec![good]);
    assert_eq!(twins.unwrap_err().to_string(), "two arms are named `a\\u{1b}`: give each a name of its own");
}

#[test]
fn the_order_of_observations_does_not_matter() {
    let world = world(&[0.4, 0.5], 3, 10);
    let mut observations = Vec::new();
    let mut random = Stream::new(3, &[]);
    for arm in 0..2 {
        for seed in 0..3 {
            for item in 0..10 {
                observations.push(observation(arm, seed, item, random.normal()));
            }
        }
    }
    let want = contrast(&scores(2, observations.clone()).unwrap(), 0, 1, Average::Macro, Seeds::Nested).unwrap();
    random.shuffle(&mut observations);
    let found = contrast(&scores(2, observations).unwrap(), 0, 1, Average::Macro, Seeds::Nested).unwrap();
    assert_eq!(found, want);
    assert_eq!(draw(&world).items().len(), 10);
}

#[test]
fn items_that_a_training_lacks_are_left_out_and_counted() {
    let mut observations: Vec<Observation> =
        (0..2).flat_map(|arm| (0..6).map(move |item| observation(arm, 0, item, (arm + item * item) as f64))).collect();
    observations.retain(|o| (o.arm, o.item) != (1, 5));
    observations.push(observation(0, 0, 9, 100.0));
    let scores = scores(2, observations).unwrap();
    let found = contrast(&scores, 1, 0, Average::Macro, Seeds::Nested).unwrap();
    assert_eq!(found.items, ItemCount { used: 5, left_out: 2 });
    assert_eq!(found.difference, 1.0);
    assert_eq!(estimate(&scores, 0, Average::Macro).unwrap().items, ItemCount { used: 7, left_out: 0 });
}

#[test]
fn a_category_that_nobody_shares_ends_the_macro_average() {
    let of =
        |arm: usize, item: usize, category: usize| Observation { category, ..observation(arm, 0, item, item as f64) };
    let observations = vec![of(0, 0, 0), of(0, 1, 0), of(1, 0, 0), of(1, 1, 0), of(0, 2, 1), of(1, 3, 1)];
    let scores = Scores::new(names("arm", 2), names("category", 2), observations).unwrap();
    let error = contrast(&scores, 0, 1, Average::Macro, Seeds::Nested).unwrap_err().to_string();
    assert!(
        error.starts_with("category `category 1` has no item that all trainings of `arm 0`, `arm 1` answered"),
        "{error}"
    );
    let one = contrast(&scores, 0, 1, Average::Category(0), Seeds::Nested).unwrap();
    assert_eq!(one.items, ItemCount { used: 2, left_out: 0 });
    let all = contrast(&scores, 0, 1, Average::Micro, Seeds::Nested).unwrap();
    assert_eq!(all.items, ItemCount { used: 2, left_out: 2 });
    assert!(contrast(&scores, 0, 1, Average::Category(2), Seeds::Nested).is_err());
}

#[test]
fn macro_and_micro_weigh_categories_differently() {
    let of = |item: usize, category: usize, score: f64| Observation { category, ..observation(0, 0, item, score) };
    let observations = vec![of(0, 0, 1.0), of(1, 0, 2.0), of(2, 0, 3.0), of(3, 0, 2.0), of(4, 1, 5.0), of(5, 1, 7.0)];
    let scores = Scores::new(names("arm", 1), names("category", 2), observations).unwrap();
    let mean = |average: Average| estimate(&scores, 0, average).unwrap().mean;
    assert_eq!(mean(Average::Macro), 4.0);
    assert_eq!(mean(Average::Category(1)), 6.0);
    assert!((mean(Average::Micro) - 20.0 / 6.0).abs() < 1e-12);
}

#[test]
fn no_interval_has_no_width() {
    let one = scores(1, vec![observation(0, 0, 0, 0.3), observation(0, 1, 0, 0.4)]).unwrap();
    let found = estimate(&one, 0, Average::Micro).unwrap();
    assert_eq!(found.inference.clone().unwrap_err(), NoInterval::OneItem { category: None });
    let in_category = estimate(&one, 0, Average::Macro).unwrap().inference.unwrap_err().to_string();
    assert_eq!(
        in_category,
        "no interval: category `category 0` has one item, which tells nothing about the spread of items"
    );
    let shifted = (0..2).flat_map(|arm| (0..9).map(move |item| observation(arm, 0, item, 0.1 * (item + arm) as f64)));
    let found = contrast(&scores(2, shifted.collect()).unwrap(), 1, 0, Average::Macro, Seeds::Nested).unwrap();
    assert!((found.difference - 0.1).abs() < 1e-12);
    assert_eq!(found.inference.clone().unwrap_err(), NoInterval::NoVariance { items: 9 });
    assert_eq!((found.test, verdict(&found, None, 0.02, 0.05).unwrap()), (None, Verdict::CannotTell));
}

#[test]
fn scope_says_what_the_interval_is_about() {
    let scope = |seeds: [usize; 2]| {
        let mut world = world(&[0.5, 0.5], 1, 20);
        world.arms.iter_mut().zip(seeds).for_each(|(arm, seeds)| arm.seeds = seeds);
        contrast(&draw(&world), 0, 1, Average::Macro, Seeds::Nested).unwrap().inference.unwrap().scope
    };
    assert_eq!(scope([1, 1]).to_string(), "items only");
    assert_eq!(scope([3, 1]).to_string(), "items only");
    assert_eq!(scope([2, 3]).to_string(), "items and trainings");
}

#[test]
fn noise_of_trainings_widens_intervals() {
    let width = |seed_sd: f64, seeds: usize| {
        let mut world = world(&[0.5, 0.5], seeds, 200);
        world.arms.iter_mut().for_each(|arm| arm.seed_sd = seed_sd);
        contrast(&draw(&world), 0, 1, Average::Macro, Seeds::Nested).unwrap().inference.unwrap().standard_error
    };
    assert!(width(0.2, 5) > 5.0 * width(0.0, 5), "{} {}", width(0.2, 5), width(0.0, 5));
    // With one training its noise is in no interval: a constant moves nothing.
    assert!((width(0.2, 1) / width(0.0, 1) - 1.0).abs() < 1e-9);
}

#[test]
fn crossed_seeds_take_away_what_trainings_share() {
    let mut shared = world(&[0.5, 0.5], 40, 20);
    shared.seeds = SeedDraws::Shared;
    shared.arms.iter_mut().for_each(|arm| arm.seed_sd = 0.3);
    let scores = draw(&shared);
    let error =
        |seeds: Seeds| contrast(&scores, 0, 1, Average::Macro, seeds).unwrap().inference.unwrap().standard_error;
    assert!(error(Seeds::Crossed) < error(Seeds::Nested));
    shared.arms[1].seeds = 39;
    let refused = contrast(&draw(&shared), 0, 1, Average::Macro, Seeds::Crossed).unwrap_err().to_string();
    assert_eq!(
        refused,
        "crossed seeds need as many trainings in each arm: `arm 0` has 40, `arm 1` has 39; take them as nested"
    );
}

#[test]
fn p_and_interval_agree_at_every_level() {
    let scores = draw(&world(&[0.55, 0.5], 2, 60));
    let found = contrast(&scores, 0, 1, Average::Macro, Seeds::Nested).unwrap();
    let (known, p) = (found.inference.unwrap(), found.test.unwrap().p);
    let end = known.spread.interval(found.difference, 1.0 - p);
    assert!(end.low.abs().min(end.high.abs()) < 1e-9, "{end:?}");
    let half = known.interval.high - found.difference;
    let t = distributions::t_quantile(0.025, known.df);
    assert!((half - t * known.standard_error).abs() < 1e-9 * half, "the degrees of freedom are those of the interval");
}

#[test]
fn quantile_and_tail_of_t_are_inverse() {
    for df in [1.0, 1.01, 1.7, 3.0, 12.0, 400.0, 9e4, 9.9e5, 1e7, f64::INFINITY] {
        for tail in [0.5, 0.49, 0.26, 0.25, 0.2, 1e-3, 1e-9, 5e-16] {
            let t = distributions::t_quantile(tail, df);
            let back = distributions::t_tail(t, df);
            assert!((back / tail - 1.0).abs() < 1e-7, "{tail}, {df} df: t {t} has the tail {back}");
        }
    }
}

#[test]
fn contrasts_are_linear() {
    let scores = draw(&world(&[0.5, 0.6, 0.7], 3, 20));
    let pair = contrast(&scores, 2, 0, Average::Macro, Seeds::Nested).unwrap();
    assert_eq!(linear(&scores, &[-1.0, 0.0, 1.0], Average::Macro, Seeds::Nested).unwrap().difference, pair.difference);
    let half = linear(&scores, &[-0.5, 0.0, 0.5], Average::Macro, Seeds::Nested).unwrap();
    assert!((half.test.unwrap().t - pair.test.unwrap().t).abs() < 1e-9);
    for weights in [&[1.0, -0.5, 0.0][..], &[0.0; 3], &[1.0, f64::NAN, -1.0]] {
        assert!(matches!(linear(&scores, weights, Average::Macro, Seeds::Nested), Err(Error::Weights { .. })));
    }
    assert_eq!(
        linear(&scores, &[1.0, -1.0], Average::Macro, Seeds::Nested).unwrap_err(),
        Error::WeightCount { given: 2, arms: 3 }
    );
}

#[test]
fn components_are_found_again() {
    let mut world = world(&[0.5; 6], 6, 600);
    world.arms.iter_mut().for_each(|arm| arm.seed_sd = 0.1);
    let found = components(&draw(&world), Average::Macro).unwrap();
    let cases = [
        ("item", found.item, 0.2_f64, 0.15),
        ("arm by item", found.arm_item, 0.05, 0.1),
        ("seed", found.seed, 0.1, 0.5),
        ("seed by item", found.seed_item, 0.05, 0.1),
        ("repeat", found.repeat, 0.02, 0.1),
    ];
    for (what, component, sd, within) in cases {
        let variance = component.unwrap().variance;
        assert!((variance / sd.powi(2) - 1.0).abs() < within, "{what}: {variance}, true {}", sd * sd);
    }
    let seen = Variances::seen(&found).unwrap();
    assert_eq!(seen.seed, found.seed.unwrap().variance);
}

#[test]
fn what_one_training_cannot_show_must_be_stated() {
    let found = components(&draw(&world(&[0.5, 0.5], 1, 20)), Average::Macro).unwrap();
    assert_eq!((found.seed, found.seed_item), (None, None));
    assert!(found.repeat.is_some() && found.arm_item.is_some());
    assert_eq!(
        Variances::seen(&found).unwrap_err().to_string(),
        "the variance of seeds was not estimated: state a guess of it"
    );
}

#[test]
fn negative_moments_become_zero_and_say_so() {
    // Trainings whose means agree better than their items allow.
    let rows = [(0, [0.0, 1.0, 0.0, 1.0]), (1, [1.0, 0.0, 1.0, 0.0])];
    let observations = rows.iter().flat_map(|(seed, row)| (0..4).map(move |i| observation(0, *seed, i, row[i])));
    let seed = components(&scores(1, observations.collect()).unwrap(), Average::Macro).unwrap().seed.unwrap();
    assert_eq!((seed.variance, seed.was_negative), (0.0, true));
}

#[test]
fn letters_join_exactly_those_that_cannot_be_told_apart() {
    let mut random = Stream::new(9, &[]);
    for arms in 0..9_usize {
        for _ in 0..20 {
            let differ: Vec<bool> = (0..arms * arms).map(|_| random.below(3) == 0).collect();
            let told_apart = |a: usize, b: usize| differ[a.min(b) * arms + a.max(b)];
            let mut order: Vec<usize> = (0..arms).collect();
            random.shuffle(&mut order);
            let found = letters(&order, told_apart);
            for a in 0..arms {
                assert!(!found.letters[a].is_empty());
                for b in 0..arms {
                    let share = found.groups.iter().any(|group| group.contains(&a) && group.contains(&b));
                    let by_letter = found.letters[a].chars().any(|letter| found.letters[b].contains(letter));
                    assert_eq!(share, a == b || !told_apart(a, b));
                    assert_eq!(share, by_letter);
                }
            }
        }
    }
}

#[test]
fn letters_begin_with_the_best() {
    // 2 is best, then 0, 1, 3; neighbours cannot be told apart.
    let order = [2, 0, 1, 3];
    let rank = |arm: usize| order.iter().position(|a| *a == arm).unwrap();
    let found = letters(&order, |a, b| rank(a).abs_diff(rank(b)) > 1);
    assert_eq!(found.letters, ["ab", "bc", "a", "c"]);
    assert_eq!(found.groups, [vec![2, 0], vec![0, 1], vec![1, 3]]);
}

#[test]
fn all_pairs_are_told_apart_where_they_are() {
    let found = pairwise(&draw(&world(&[0.3, 0.8, 0.8, 0.1], 5, 400)), Average::Macro, |_, _| Seeds::Nested).unwrap();
    for adjustment in [Adjustment::Holm, Adjustment::Tukey] {
        let letters = found.letters(adjustment, 0.05).letters;
        assert_eq!((letters[0].as_str(), letters[3].as_str()), ("b", "c"), "{adjustment:?}");
        assert_eq!((letters[1].as_str(), letters[2].as_str()), ("a", "a"), "{adjustment:?}");
    }
    for pair in &found.pairs {
        let p = pair.contrast.test.unwrap().p;
        assert!(pair.p_holm.unwrap() >= p && pair.p_tukey.unwrap() >= p);
    }
    assert_eq!(found.order[3], 3);
}

#[test]
fn two_arms_are_one_test() {
    for (mean, seeds) in [(0.5, 1), (0.5, 2), (0.55, 3), (0.6, 5)] {
        let found = pairwise(&draw(&world(&[0.5, mean], seeds, 60)), Average::Macro, |_, _| Seeds::Nested).unwrap();
        let pair = &found.pairs[0];
        let p = pair.contrast.test.unwrap().p;
        assert_eq!(pair.p_holm, Some(p));
        assert!((pair.p_tukey.unwrap() - p).abs() < 1e-5, "{p} {:?}", pair.p_tukey);
    }
}

#[test]
fn verdicts_need_certainty() {
    let of = |means: [f64; 2], items: usize, margin: f64| {
        let found = contrast(&draw(&world(&means, 5, items)), 0, 1, Average::Macro, Seeds::Nested).unwrap();
        verdict(&found, found.test.map(|test| test.p), margin, 0.05).unwrap()
    };
    assert_eq!(of([0.8, 0.5], 400, 0.02), Verdict::Different { higher: Side::First, within_margin: false });
    assert_eq!(of([0.5, 0.8], 400, 0.5), Verdict::Different { higher: Side::Second, within_margin: true });
    assert_eq!(of([0.5, 0.5], 2000, 0.05), Verdict::Equivalent);
    assert_eq!(of([0.5, 0.5], 20, 0.005), Verdict::CannotTell);
    let found = contrast(&draw(&world(&[0.5, 0.5], 2, 20)), 0, 1, Average::Macro, Seeds::Nested).unwrap();
    assert!(equivalence(&found, 0.0).is_err());
}

const GUESS: Variances = Variances { arm_item: 0.04, seed: 0.0001, seed_item: 0.02, repeat: 0.01 };
const DESIGN: Design = Design { items: 1000, categories: 5, seeds: 3, repeats: 1 };

#[test]
fn more_of_anything_shows_smaller_differences() {
    let at = |design: Design| smallest_detectable(&GUESS, &design, Demand::default()).unwrap().difference;
    let base = at(DESIGN);
    for design in [Design { items: 2000, ..DESIGN }, Design { seeds: 5, ..DESIGN }, Design { repeats: 4, ..DESIGN }] {
        assert!(at(design) < base, "{design:?}");
    }
    let one = smallest_detectable(&GUESS, &Design { seeds: 1, ..DESIGN }, Demand::default()).unwrap();
    assert_eq!(one.scope, Scope::ItemsOnly);
    // One training each is a t test of 995 degrees of freedom: (1.962 + 0.842) standard errors.
    let error = (2.0 * (0.04 + 0.03) / 1000.0_f64).sqrt();
    assert!((one.difference / error - 2.804).abs() < 0.002, "{}", one.difference / error);
}

#[test]
fn designs_are_the_smallest_that_show_it() {
    let seeds = [1, 2, 3, 5, 10];
    for enough in designs_that_show(&GUESS, 0.04, &DESIGN, &seeds, Demand::default()).unwrap() {
        let Some(items) = enough.items else {
            assert!(enough.seeds < 5, "{enough:?}");
            continue;
        };
        let at = |items: usize| {
            let design = Design { items, seeds: enough.seeds, ..DESIGN };
            smallest_detectable(&GUESS, &design, Demand::default()).unwrap().difference
        };
        assert!(at(items) <= 0.04 && at(items - 1) > 0.04, "{enough:?}");
    }
    let two = designs_that_show(&GUESS, 0.04, &DESIGN, &[2], Demand::default()).unwrap();
    assert_eq!(two[0].items, None, "two trainings of this noise never show it");
}

#[test]
fn plans_out_of_range_are_refused() {
    let refused = |variances: Variances, design: Design, demand: Demand| {
        smallest_detectable(&variances, &design, demand).unwrap_err().to_string()
    };
    let demand = Demand::default();
    let cases = [
        (
            refused(Variances { seed: -1.0, ..GUESS }, DESIGN, demand),
            "the variance of seeds is -1: it must be at least 0",
        ),
        (refused(GUESS, Design { seeds: 0, ..DESIGN }, demand), "the number of seeds is 0: it must be at least 1"),
        (
            refused(GUESS, Design { items: 9, ..DESIGN }, demand),
            "the number of items is 9: it must be at least 2 in each category",
        ),
        (
            refused(GUESS, DESIGN, Demand { power: 0.01, ..demand }),
            "the power is 0.01: it must be between the level of the test and 1",
        ),
        (
            refused(Variances { arm_item: 0.0, seed: 0.0, seed_item: 0.0, repeat: 0.0 }, DESIGN, demand),
            "the sum of all variances is 0: it must be above 0",
        ),
    ];
    for (found, want) in cases {
        assert_eq!(found, want);
    }
}

fn levels(rows: &[[&str; 2]]) -> Vec<Levels> {
    let of_row = |[method, size]: &[&str; 2]| {
        Levels::from([("method".to_owned(), (*method).to_owned()), ("size".to_owned(), (*size).to_owned())])
    };
    rows.iter().map(of_row).collect()
}

#[test]
fn factor_effects_come_from_matched_pairs() {
    let table = levels(&[["ft", "7b"], ["lora", "7b"], ["ft", "13b"], ["lora", "13b"], ["lora", "70b"]]);
    let found = matched_pairs(&names("arm", 5), &table, "method", "ft", "lora").unwrap();
    assert_eq!(found.weights, [0.5, -0.5, 0.5, -0.5, 0.0]);
    assert_eq!((found.pairs, found.unmatched), (vec![(0, 1), (2, 3)], vec![4]));
    let scores = draw(&world(&[0.6, 0.5, 0.7, 0.6, 0.1], 3, 200));
    let effect = linear(&scores, &found.weights, Average::Macro, Seeds::Nested).unwrap();
    let interval = effect.inference.unwrap().interval;
    assert!(interval.low < 0.1 && 0.1 < interval.high, "{interval:?}");
}

#[test]
fn factors_without_a_matched_pair_say_what_is_in_the_way() {
    let arms = names("arm", 2);
    let table = levels(&[["ft", "7b"], ["lora", "13b"]]);
    assert_eq!(
        matched_pairs(&arms, &table, "size", "7b", "7b").unwrap_err().to_string(),
        "an effect needs two levels of `size`, and `7b` was given twice"
    );
    let message = |factor: &str, first: &str, second: &str| {
        matched_pairs(&arms, &table, factor, first, second).unwrap_err().to_string()
    };
    assert_eq!(
        message("method", "ft", "lora"),
        "no two arms differ in `method` alone, `ft` in one and `lora` in the other; the nearest two, `arm 0` and `arm 1`, \
         also differ in `size`"
    );
    assert_eq!(
        message("method", "ft", "none"),
        "no arm has the factor `method` at level `none`; there are: `ft`, `lora`"
    );
    assert_eq!(levels_of(&table, "size").into_iter().collect::<Vec<_>>(), ["13b", "7b"]);
}

#[test]
fn lines_refuse_what_they_cannot_say() {
    let cases: [(&[f64], &[f64], &str); 5] = [
        (
            &[5.0, 5.0, 5.0],
            &[1.0, 2.0, 3.0],
            "x is 5 in every pair: nothing can be said about a slope against a constant",
        ),
        (&[1.0, 2.0, 2.0], &[1.0, 2.0, 3.0], "only 2 distinct values of x: a line with uncertainty needs 3"),
        (&[1.0, 2.0], &[1.0], "2 values of x and 1 of y: a line needs pairs"),
        (&[1.0, 0.0, 3.0], &[1.0, 2.0, 3.0], "an x of which the logarithm is taken is 0: it must be above 0"),
        (&[1.0, 2.0, 3.0], &[1.0, f64::INFINITY, 3.0], "y is inf: it must be finite"),
    ];
    for (xs, ys, want) in cases {
        assert_eq!(line_in_log10(xs, ys).unwrap_err().to_string(), want);
    }
    let perfect = line_in_log10(&[10.0, 100.0, 1000.0], &[0.1, 0.2, 0.3]).unwrap();
    assert!((perfect.slope - 0.1).abs() < 1e-12 && perfect.r_squared.unwrap() > 1.0 - 1e-12);
    assert_eq!(perfect.uncertainty, Err(NoInterval::PerfectLine));
    let flat = line(&[1.0, 2.0, 3.0], &[0.5; 3]).unwrap();
    assert_eq!((flat.slope, flat.r_squared), (0.0, None));
}

#[test]
fn intervals_may_leave_the_range_of_scores_and_say_so() {
    let observations = (0..4).map(|item| observation(0, 0, item, if item == 0 { 0.0 } else { 1.0 })).collect();
    let interval = estimate(&scores(1, observations).unwrap(), 0, Average::Macro).unwrap().inference.unwrap().interval;
    assert!(interval.high > 1.0 && interval.leaves_unit_range());
}
