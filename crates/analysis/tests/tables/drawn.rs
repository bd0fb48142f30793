//! Studies with several seeds, whose scores are drawn: arm, item, arm by item, training, and what is left.

use tempfile::TempDir;
use tunebench_results::{write_arms, write_judgements};
use tunebench_spec::random::Stream;
use tunebench_spec::{ArmRecord, Judgement};

use crate::study::{arm, judgement};

/// An arm, and the score that it has on average.
pub struct Drawn {
    pub record: ArmRecord,
    pub mean: f64,
}

/// Full fine-tuning, which takes three times as long as LoRA; and a base model.
pub fn full(name: &str, mean: f64) -> Drawn {
    Drawn { record: arm(name, 60, 0), mean }
}

pub fn lora(name: &str, mean: f64) -> Drawn {
    Drawn { record: arm(name, 20, 8192), mean }
}

pub fn base(name: &str, mean: f64) -> Drawn {
    Drawn { record: arm(name, 0, 0), mean }
}

/// Standard deviations of the parts of a score.
pub struct Noise {
    pub item: f64,
    pub arm_item: f64,
    pub training: f64,
}

pub const QUIET: Noise = Noise { item: 0.15, arm_item: 0.02, training: 0.002 };
pub const LOUD: Noise = Noise { item: 0.15, arm_item: 0.1, training: 0.03 };

/// Writes a study of `seeds` trainings an arm, judged on `items` items in each of two categories.
pub fn study(arms: &[Drawn], seeds: u64, items: usize, noise: &Noise) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let seeds_of = |drawn: &Drawn| 1..=if drawn.record.steps > 0 { seeds } else { 1 };
    let of_arm =
        |drawn: &Drawn| seeds_of(drawn).map(|seed| ArmRecord { seed, ..drawn.record.clone() }).collect::<Vec<_>>();
    write_arms(dir.path(), &arms.iter().flat_map(of_arm).collect::<Vec<_>>()).unwrap();

    let draw = |words: &str| Stream::named(7, words).normal();
    let mut judgements: Vec<Judgement> = Vec::new();
    for drawn in arms {
        let name = &drawn.record.arm;
        for seed in seeds_of(drawn) {
            let training = noise.training * draw(&format!("{name} {seed}"));
            for (category, n) in ["extract", "open qa"].into_iter().flat_map(|c| (0..items).map(move |n| (c, n))) {
                let item = format!("{category} {n}");
                let own = noise.item * draw(&item) + noise.arm_item * draw(&format!("{name} {item}"));
                let rest = 0.01 * draw(&format!("{name} {seed} {item}"));
                let score = drawn.mean + training + own + rest;
                judgements.push(Judgement { seed, ..judgement(name, category, &item, score) });
            }
        }
    }
    write_judgements(dir.path(), &judgements).unwrap();
    dir
}
