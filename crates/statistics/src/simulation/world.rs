//! Scores drawn from the model of this crate.

use tunebench_spec::random::Stream;

use crate::Error;
use crate::scores::{Observation, Scores};

/// A study whose true averages and variances are known. Standard deviations are in units of the score.
#[derive(Clone, Debug, PartialEq)]
pub struct World {
    /// Items in each category.
    pub category_items: Vec<usize>,
    /// How much the mean of a category is above that of the one before it. Their unweighted mean is 0.
    pub category_step: f64,
    pub arms: Vec<Arm>,
    pub item_sd: f64,
    pub arm_item_sd: f64,
    pub seed_item_sd: f64,
    /// Of a score around what the answer deserves.
    pub repeat_sd: f64,
    pub repeats: u32,
    /// Whether the k-th trainings of all arms share half of the variance of their seed.
    pub seeds: SeedDraws,
    pub kind: ScoreKind,
}

/// An arm of a [`World`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arm {
    /// True macro average.
    pub mean: f64,
    pub seeds: usize,
    pub seed_sd: f64,
}

/// What the trainings of arms share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeedDraws {
    Independent,
    /// The k-th of each arm.
    Shared,
}

/// What scores look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScoreKind {
    /// Normal.
    Continuous,
    /// 1 with the probability that the model gives, cut to 0..1, else 0.
    Binary,
}

impl World {
    /// Draws a study; the same stream gives the same.
    ///
    /// # Errors
    /// A world without items, arms, seeds or repeats.
    pub fn draw(&self, random: &mut Stream) -> Result<Scores, Error> {
        self.scores(self.observations(random))
    }

    /// A study of this world's arms and categories.
    pub(crate) fn scores(&self, observations: Vec<Observation>) -> Result<Scores, Error> {
        let names = |kind: &str, n: usize| (0..n).map(|i| format!("{kind} {i}")).collect();
        Scores::new(names("arm", self.arms.len()), names("category", self.category_items.len()), observations)
    }

    pub(crate) fn observations(&self, random: &mut Stream) -> Vec<Observation> {
        let categories = self.category_items.len();
        let centre = (categories as f64 - 1.0) / 2.0;
        let of_category = |category: usize| {
            let shift = (category as f64 - centre) * self.category_step;
            std::iter::repeat_n((category, shift), self.category_items[category])
        };
        let items: Vec<(usize, f64)> = (0..categories).flat_map(of_category).collect();
        let item_effects: Vec<f64> = items.iter().map(|(_, shift)| shift + noise(self.item_sd, random)).collect();
        let most_seeds = self.arms.iter().map(|arm| arm.seeds).max().unwrap_or(0);
        let common: Vec<f64> = (0..most_seeds).map(|_| random.normal()).collect();
        let mut observations = Vec::new();
        for (index, arm) in self.arms.iter().enumerate() {
            let of_arm: Vec<f64> =
                item_effects.iter().map(|e| arm.mean + e + noise(self.arm_item_sd, random)).collect();
            for (seed, common) in common.iter().enumerate().take(arm.seeds) {
                let own = random.normal();
                let shift = arm.seed_sd
                    * match self.seeds {
                        SeedDraws::Independent => own,
                        SeedDraws::Shared => (own + common) * std::f64::consts::FRAC_1_SQRT_2,
                    };
                for (item, (category, _)) in items.iter().enumerate() {
                    let answer = of_arm[item] + shift + noise(self.seed_item_sd, random);
                    for repeat in 0..self.repeats {
                        let score = self.kind.score(answer + noise(self.repeat_sd, random), random);
                        let (arm, seed, category) = (index, seed as u64, *category);
                        observations.push(Observation { arm, seed, item, category, repeat, score });
                    }
                }
            }
        }
        observations
    }
}

/// Normal; nothing is drawn where it would be 0.
pub(crate) fn noise(sd: f64, random: &mut Stream) -> f64 {
    if sd == 0.0 { 0.0 } else { sd * random.normal() }
}

impl ScoreKind {
    fn score(self, value: f64, random: &mut Stream) -> f64 {
        match self {
            Self::Continuous => value,
            Self::Binary => f64::from(u8::from(random.uniform() < value)),
        }
    }
}
