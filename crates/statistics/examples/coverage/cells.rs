//! Worlds of which the truth is known, and how often methods are right in them.

use tunebench_spec::random::Stream;
use tunebench_statistics::simulation::{Arm, ScoreKind, SeedDraws, World};
use tunebench_statistics::{Average, Error, Scores, Seeds, contrast, equivalence, estimate, linear, pairwise};

/// Of each cell, where the command line says nothing.
pub const SIMULATIONS: usize = 2000;
/// Seed of everything.
const SEED: u64 = 20;
/// True average of every arm.
pub const MEAN: f64 = 0.5;
pub const LEVEL: f64 = 0.05;

/// A kind of world; standard deviations of item, arm by item, seed (of both arms), and seed by item.
pub struct Kind {
    pub name: &'static str,
    item: f64,
    arm_item: f64,
    seed: [f64; 2],
    seed_item: f64,
    repeat: f64,
    categories: &'static [usize],
    score: ScoreKind,
    draws: SeedDraws,
}

const EVEN: &[usize] = &[1, 1];
/// Shares of the items: from two fifths to a tenth.
const UNEVEN: &[usize] = &[4, 3, 2, 1];

const PLAIN: Kind = Kind {
    name: "seeds like items",
    item: 0.3,
    arm_item: 0.2,
    seed: [0.03, 0.03],
    seed_item: 0.15,
    repeat: 0.0,
    categories: EVEN,
    score: ScoreKind::Continuous,
    draws: SeedDraws::Independent,
};

/// What the tables go through.
pub const KINDS: &[Kind] = &[
    Kind { name: "no seed variance", seed: [0.0, 0.0], ..PLAIN },
    Kind { name: "no seed variance, no seed×item", seed: [0.0, 0.0], seed_item: 0.0, ..PLAIN },
    PLAIN,
    Kind { name: "large seed variance", seed: [0.1, 0.1], ..PLAIN },
    Kind { name: "seed variance in one arm only", seed: [0.1, 0.0], ..PLAIN },
    Kind { name: "seed variance unequal, 1 : 9", seed: [0.03, 0.09], ..PLAIN },
    Kind { name: "seed×item alone", item: 0.3, arm_item: 0.0, seed: [0.0, 0.0], seed_item: 0.3, ..PLAIN },
    Kind { name: "small item variance", item: 0.05, arm_item: 0.02, seed: [0.02, 0.02], seed_item: 0.02, ..PLAIN },
    Kind { name: "noisy judge", repeat: 0.3, ..PLAIN },
    Kind { name: "categories 4 : 3 : 2 : 1", categories: UNEVEN, ..PLAIN },
    Kind {
        name: "0/1 scores",
        item: 0.25,
        arm_item: 0.1,
        seed: [0.03, 0.03],
        seed_item: 0.1,
        score: ScoreKind::Binary,
        ..PLAIN
    },
    Kind {
        name: "0/1 scores, categories 4 : 3 : 2 : 1",
        item: 0.25,
        arm_item: 0.1,
        seed_item: 0.1,
        categories: UNEVEN,
        score: ScoreKind::Binary,
        ..PLAIN
    },
    Kind { name: "crossed seeds", seed: [0.06, 0.06], draws: SeedDraws::Shared, ..PLAIN },
];

impl Kind {
    /// Two or more arms without a true difference; odd ones have the second arm's seed variance.
    pub fn world(&self, items: usize, seeds: usize, arms: usize) -> World {
        let shares: usize = self.categories.iter().sum();
        let arm = |index: usize| Arm { mean: MEAN, seeds, seed_sd: self.seed[index % 2] };
        World {
            category_items: self.categories.iter().map(|share| share * items / shares).collect(),
            category_step: 0.05,
            arms: (0..arms).map(arm).collect(),
            item_sd: self.item,
            arm_item_sd: self.arm_item,
            seed_item_sd: self.seed_item,
            repeat_sd: self.repeat,
            repeats: 1,
            seeds: self.draws,
            kind: self.score,
        }
    }

    pub fn seeds(&self) -> Seeds {
        match self.draws {
            SeedDraws::Independent => Seeds::Nested,
            SeedDraws::Shared => Seeds::Crossed,
        }
    }
}

/// Shares of simulations.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shares {
    /// Tests of no difference that rejected, of all.
    pub rejected: f64,
    /// Intervals of the difference that held 0, of those given.
    pub contrast_covered: f64,
    /// Intervals of the first arm's mean that held the true one, of those given.
    pub mean_covered: f64,
    /// Half of the mean width of the difference's interval.
    pub half_width: f64,
    /// Differences without an interval.
    pub without: f64,
}

/// Two arms of the same true average, compared again and again.
pub fn two_arms(world: &World, seeds: Seeds, simulations: usize) -> Result<Shares, Error> {
    let mut counts = [0_usize; 5];
    let mut width = 0.0;
    for run in 0..simulations {
        let scores = draw(world, run)?;
        let difference = contrast(&scores, 0, 1, Average::Macro, seeds)?;
        let mean = estimate(&scores, 0, Average::Macro)?;
        if let (Ok(known), Some(test)) = (&difference.inference, difference.test) {
            counts[0] += 1;
            counts[1] += usize::from(test.p <= LEVEL);
            counts[2] += usize::from(known.interval.low <= 0.0 && 0.0 <= known.interval.high);
            width += known.interval.high - known.interval.low;
        }
        if let Ok(known) = &mean.inference {
            counts[3] += 1;
            counts[4] += usize::from(known.interval.low <= MEAN && MEAN <= known.interval.high);
        }
    }
    let [given, rejected, contrast_covered, mean_given, mean_covered] = counts.map(|count| count as f64);
    Ok(Shares {
        rejected: rejected / simulations as f64,
        contrast_covered: contrast_covered / given.max(1.0),
        mean_covered: mean_covered / mean_given.max(1.0),
        half_width: width / 2.0 / given.max(1.0),
        without: 1.0 - given / simulations as f64,
    })
}

/// Of studies of `arms` equal arms, the shares in which Holm's and in which Tukey's p-values told any two apart.
pub fn families(world: &World, simulations: usize) -> Result<[f64; 2], Error> {
    let mut counts = [0_usize; 2];
    for run in 0..simulations {
        let pairs = pairwise(&draw(world, run)?, Average::Macro, |_, _| Seeds::Nested)?.pairs;
        let any = |p: fn(&tunebench_statistics::Pair) -> Option<f64>| {
            pairs.iter().any(|pair| p(pair).is_some_and(|p| p <= LEVEL))
        };
        counts[0] += usize::from(any(|pair| pair.p_holm));
        counts[1] += usize::from(any(|pair| pair.p_tukey));
    }
    Ok(counts.map(|count| count as f64 / simulations as f64))
}

/// Share of studies in which a true difference was found.
pub fn found(world: &World, simulations: usize) -> Result<f64, Error> {
    let mut found = 0;
    for run in 0..simulations {
        let test = contrast(&draw(world, run)?, 0, 1, Average::Macro, Seeds::Nested)?.test;
        found += usize::from(test.is_some_and(|test| test.p <= LEVEL));
    }
    Ok(found as f64 / simulations as f64)
}

/// Share of tests that reject "the weighted sum of arms is 0".
pub fn rejected(world: &World, weights: &[f64], simulations: usize) -> Result<f64, Error> {
    let mut rejected = 0;
    for run in 0..simulations {
        let test = linear(&draw(world, run)?, weights, Average::Macro, Seeds::Nested)?.test;
        rejected += usize::from(test.is_some_and(|test| test.p <= LEVEL));
    }
    Ok(rejected as f64 / simulations as f64)
}

/// Share of pairs that are said to be equivalent.
pub fn equivalent(world: &World, margin: f64, simulations: usize) -> Result<f64, Error> {
    let mut equivalent = 0;
    for run in 0..simulations {
        let found = equivalence(&contrast(&draw(world, run)?, 0, 1, Average::Macro, Seeds::Nested)?, margin)?;
        equivalent += usize::from(found.is_ok_and(|found| found.p <= LEVEL));
    }
    Ok(equivalent as f64 / simulations as f64)
}

/// Every cell has its own random numbers, so that one unlucky draw is not in all of them.
fn draw(world: &World, run: usize) -> Result<Scores, Error> {
    let cell = Stream::named(SEED, &format!("{world:?}")).next_u64();
    world.draw(&mut Stream::new(cell, &[run as u64]))
}

/// Share of the first arm's intervals that hold the true mean, of those given; and of simulations without one.
pub fn mean_coverage(world: &World, mean: f64, simulations: usize) -> Result<(f64, f64), Error> {
    let (mut given, mut covered) = (0, 0);
    for run in 0..simulations {
        if let Ok(known) = estimate(&draw(world, run)?, 0, Average::Macro)?.inference {
            given += 1;
            covered += usize::from(known.interval.low <= mean && mean <= known.interval.high);
        }
    }
    Ok((covered as f64 / given.max(1) as f64, 1.0 - given as f64 / simulations as f64))
}
