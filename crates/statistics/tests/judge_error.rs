//! The judge's error taken out of scores and put into intervals: formulas, fixtures, refusals.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use tunebench_statistics::calibration::*;
use tunebench_statistics::{Error, NoInterval};

fn near(found: f64, want: f64, tolerance: f64) {
    assert!((found - want).abs() <= tolerance, "{found}, wanted {want}");
}

/// Numbers by NumPy from the formulas of arXiv 2511.21140: 700 of 1000 passed, 45 of 50 wrong ones failed, 56 of 70 right ones
/// passed.
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
