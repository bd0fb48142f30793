//! The arithmetic against cases with a known answer.

use tunebench_analysis::statistics::{holm, line, paired};

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-12
}

#[test]
fn equal_differences_are_certain() {
    // Every resample has the same mean; of the 2^5 sign patterns two are as far from zero.
    let paired = paired(&[vec![0.25; 5]], 1).unwrap();
    assert_eq!((paired.n, paired.mean, paired.low, paired.high), (5, 0.25, 0.25, 0.25));
    assert_eq!(paired.p, 2.0 / 32.0);
    assert_eq!(paired.detectable, Some(0.0));
}

#[test]
fn no_difference_has_p_of_one() {
    let none = paired(&[vec![0.0; 40]], 1).unwrap();
    assert_eq!((none.mean, none.low, none.high, none.p), (0.0, 0.0, 0.0, 1.0));
    let balanced = paired(&[vec![0.5, -0.5]], 1).unwrap();
    assert_eq!((balanced.mean, balanced.p), (0.0, 1.0));
}

#[test]
fn the_macro_average_weighs_strata_equally() {
    // Means 0.4 and 0.1; s² = 0.04 over 2 and 0 over 3, so the error is sqrt(0.04 / 2) / 2.
    let spread = 0.2 / 2f64.sqrt();
    let strata = [vec![0.4 - spread, 0.4 + spread], vec![0.1; 3]];
    let paired = paired(&strata, 1).unwrap();
    assert!(close(paired.mean, 0.25));
    assert!(close(paired.detectable.unwrap(), 2.801_585_218_112_968_3 * 0.02f64.sqrt() / 2.0));
}

#[test]
fn a_single_pair_tells_nothing_about_spread() {
    assert_eq!(paired(&[vec![0.5], vec![0.1, 0.2]], 1).unwrap().detectable, None);
    assert_eq!(paired(&[], 1), None);
    assert_eq!(paired(&[vec![0.5], vec![]], 1), None);
}

#[test]
fn the_bootstrap_is_close_to_the_normal_interval_and_repeats() {
    // 200 differences of mean 0.1 and standard deviation 0.2: the error of the mean is 0.2 / sqrt(200) = 0.01414.
    let strata = [(0..200).map(|i| if i % 2 == 0 { 0.3 } else { -0.1 }).collect()];
    let once = paired(&strata, 7).unwrap();
    assert!((once.low - (0.1 - 1.96 * 0.01414)).abs() < 0.002, "{once:?}");
    assert!((once.high - (0.1 + 1.96 * 0.01414)).abs() < 0.002, "{once:?}");
    assert_eq!(once.p, 1.0 / 10_001.0, "no random pattern is as far");
    assert_eq!(once, paired(&strata, 7).unwrap());
    assert_ne!(once.low, paired(&strata, 8).unwrap().low);
}

#[test]
fn exact_and_sampled_permutations_agree() {
    // 13 ones and no other value: exactly 2 of 2^13 patterns. With 16 the patterns are sampled: 2 / 65536 is rarely met.
    assert_eq!(paired(&[vec![1.0; 13]], 1).unwrap().p, 2.0 / 8192.0);
    assert!(paired(&[vec![1.0; 16]], 1).unwrap().p < 0.001);
    // 16 alternating but for one pair: sum 2 of 16 signs; P(|sum| >= 2) = 1 - C(16,8)/2^16 = 0.8036.
    let values: Vec<f64> = (0..16).map(|i| if i < 9 { 1.0 } else { -1.0 }).collect();
    assert!((paired(&[values], 1).unwrap().p - 0.8036).abs() < 0.02);
}

#[test]
fn holm_multiplies_stepwise_and_stays_in_order() {
    let adjusted = holm(&[0.03, 0.01, 0.04, 0.9]);
    for (found, expected) in adjusted.iter().zip([0.09, 0.04, 0.09, 0.9]) {
        assert!(close(*found, expected), "{adjusted:?}");
    }
    assert_eq!(holm(&[0.8, 0.7]), [1.0, 1.0]);
    assert_eq!(holm(&[]), Vec::<f64>::new());
}

#[test]
fn a_line_through_known_points() {
    let fit = line(&[(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)]).unwrap();
    assert!(close(fit.slope, 2.0) && close(fit.correlation.unwrap(), 1.0));
    let flat = line(&[(0.0, 1.0), (1.0, 1.0), (2.0, 1.0)]).unwrap();
    assert_eq!((flat.slope, flat.correlation), (0.0, None));
    assert_eq!(line(&[(1.0, 0.0), (1.0, 1.0), (1.0, 2.0)]), None);
    assert_eq!(line(&[(0.0, 0.0), (1.0, 1.0)]), None);
}
