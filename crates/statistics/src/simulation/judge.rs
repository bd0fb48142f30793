//! A judge of known error over a world of which people's marks are known, and labels drawn from it.

use tunebench_spec::random::Stream;

use super::world::{World, noise};
use crate::Error;
use crate::calibration::{Label, Sampling};
use crate::scores::{Observation, Scores};

/// How a judge's mark comes of people's, h: 0.5 + level + scale (h - 0.5) + what it thinks of the item + what it thinks
/// of the arm + noise; or, of right and wrong, by chance.
#[derive(Clone, Debug, PartialEq)]
pub struct SimulatedJudge {
    /// How much all marks are above people's.
    pub level: f64,
    /// Below 1: the judge shies away from the ends of the scale.
    pub scale: f64,
    /// Standard deviation of what it adds to all answers of an item.
    pub item_sd: f64,
    /// What it adds to an arm's answers, such as long ones; 0 for arms without a number.
    pub arm_bias: Vec<f64>,
    /// Standard deviation of what it adds to each answer.
    pub noise_sd: f64,
    /// For marks of 0 and 1: the chances that 0 becomes 1, and that 1 becomes 0. Nothing else is then added.
    pub flips: Option<[f64; 2]>,
    /// Marks are cut to 0..1 and rounded to so many steps, people's too; null for none of it.
    pub steps: Option<f64>,
}

/// A world, its judge, and labels.
#[derive(Clone, Debug, PartialEq)]
pub struct JudgeWorld {
    /// People's marks.
    pub world: World,
    pub judge: SimulatedJudge,
    /// Of each arm, drawn anew in each study.
    pub labels_per_arm: usize,
    pub sampling: Sampling,
}

/// A study as a user has it.
#[derive(Clone, Debug)]
pub struct JudgedStudy {
    /// The judge's.
    pub scores: Scores,
    pub labels: Vec<Label>,
}

impl JudgeWorld {
    /// Draws a study; the same stream gives the same.
    ///
    /// # Errors
    /// A world without items, arms, seeds or repeats.
    pub fn draw(&self, random: &mut Stream) -> Result<JudgedStudy, Error> {
        let mut people = self.world.observations(random);
        people.iter_mut().for_each(|observation| observation.score = self.judge.stepped(observation.score));
        let items: usize = self.world.category_items.iter().sum();
        let tastes: Vec<f64> = (0..items).map(|_| noise(self.judge.item_sd, random)).collect();
        let judged = |observation: &Observation| {
            let score = self.judge.mark(observation, tastes[observation.item], random);
            Observation { score, ..*observation }
        };
        let scores = self.world.scores(people.iter().map(judged).collect())?;
        Ok(JudgedStudy { scores, labels: self.labels(&people, random) })
    }

    fn labels(&self, people: &[Observation], random: &mut Stream) -> Vec<Label> {
        let categories = self.world.category_items.len();
        let mut labels = Vec::new();
        for arm in 0..self.world.arms.len() {
            let of_arm = people.iter().filter(|observation| observation.arm == arm && observation.repeat == 0);
            let strata: Vec<Vec<&Observation>> = match self.sampling {
                Sampling::Equal => vec![of_arm.collect()],
                Sampling::ByCategory => {
                    let of_arm: Vec<&Observation> = of_arm.collect();
                    let of = |category| of_arm.iter().copied().filter(|o| o.category == category).collect();
                    (0..categories).map(of).collect()
                }
            };
            let each = self.labels_per_arm / strata.len();
            for mut stratum in strata {
                random.shuffle(&mut stratum);
                let label = |o: &&Observation| Label { arm: o.arm, seed: o.seed, item: o.item, human: o.score };
                labels.extend(stratum.iter().take(each).map(label));
            }
        }
        labels
    }
}

impl SimulatedJudge {
    fn stepped(&self, mark: f64) -> f64 {
        self.steps.map_or(mark, |steps| (mark.clamp(0.0, 1.0) * steps).round() / steps)
    }

    fn mark(&self, observation: &Observation, taste: f64, random: &mut Stream) -> f64 {
        if let Some([up, down]) = self.flips {
            let wrong = random.uniform() < if observation.score > 0.5 { down } else { up };
            return if wrong { 1.0 - observation.score } else { observation.score };
        }
        let of_arm = self.arm_bias.get(observation.arm).copied().unwrap_or(0.0);
        let mark = 0.5 + self.level + self.scale * (observation.score - 0.5) + taste + of_arm;
        self.stepped(mark + noise(self.noise_sd, random))
    }
}
