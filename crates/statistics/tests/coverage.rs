//! A small piece of `docs/coverage.md`: tests reject, and intervals cover, as often as they say.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use tunebench_spec::random::Stream;
use tunebench_statistics::simulation::{Arm, ScoreKind, SeedDraws, World};
use tunebench_statistics::{Average, Seeds, contrast, estimate};

const SIMULATIONS: usize = 400;
/// 400 fair tests at 0.05 reject more often than this once in 1,000 tries.
const MOST: f64 = 0.0875;

#[test]
fn tests_reject_and_intervals_cover() {
    // Standard deviations of the seeds of both arms.
    for seed_sds in [[0.0, 0.0], [0.1, 0.1], [0.1, 0.0]] {
        for seeds in [2, 3, 5] {
            for kind in [ScoreKind::Continuous, ScoreKind::Binary] {
                let world = World {
                    category_items: vec![12, 8],
                    category_step: 0.1,
                    arms: seed_sds.iter().map(|seed_sd| Arm { mean: 0.5, seeds, seed_sd: *seed_sd }).collect(),
                    item_sd: 0.2,
                    arm_item_sd: 0.1,
                    seed_item_sd: 0.1,
                    repeat_sd: 0.0,
                    repeats: 1,
                    seeds: SeedDraws::Independent,
                    kind,
                };
                let [rejected, missed] = wrong(&world);
                assert!(rejected <= MOST, "{rejected} of the tests reject; {seeds} seeds, {seed_sds:?}, {kind:?}");
                assert!(missed <= MOST, "{missed} of the intervals miss; {seeds} seeds, {seed_sds:?}, {kind:?}");
            }
        }
    }
}

/// Shares of tests of no difference that reject, and of intervals of a mean that miss it.
fn wrong(world: &World) -> [f64; 2] {
    let mut counts = [0_usize; 2];
    for run in 0..SIMULATIONS {
        let scores = world.draw(&mut Stream::new(4, &[run as u64])).unwrap();
        let found = contrast(&scores, 0, 1, Average::Macro, Seeds::Nested).unwrap();
        let interval = estimate(&scores, 0, Average::Macro).unwrap().inference.unwrap().interval;
        counts[0] += usize::from(found.test.unwrap().p <= 0.05);
        counts[1] += usize::from(interval.low > 0.5 || interval.high < 0.5);
    }
    counts.map(|count| count as f64 / SIMULATIONS as f64)
}
