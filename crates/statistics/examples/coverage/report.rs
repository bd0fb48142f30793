//! The tables of the simulation, in Markdown.

use std::fmt::Write as _;

use tunebench_statistics::simulation::{Arm, ScoreKind, SeedDraws, World};
use tunebench_statistics::{Demand, Design, Error, Seeds, Variances, smallest_detectable};

use crate::cells::{KINDS, Kind, LEVEL, MEAN, Shares, equivalent, families, found, mean_coverage, rejected, two_arms};
use crate::judges;

const ITEMS: [usize; 3] = [20, 100, 1000];
const SEEDS: [usize; 3] = [2, 3, 5];
/// Arms of a family, and its simulations: a quarter, for there are 28 pairs in each.
const FAMILY_ARMS: usize = 8;

/// What is said of judges alone, `simulations` of each cell of the other tables and half as many of these.
pub fn judges_alone(simulations: usize) -> Result<String, Error> {
    let mut text = String::new();
    judges::judges(&mut text, simulations / 2)?;
    judges::limits(&mut text, simulations / 2)?;
    Ok(text)
}

/// Everything, `simulations` of each cell.
pub fn report(simulations: usize) -> Result<String, Error> {
    let mut text = opening(simulations);
    let mut worst = Worst::default();
    text.push_str("## Two arms without a difference, two or more trainings\n\n");
    text.push_str(TWO_ARMS);
    for kind in KINDS {
        for seeds in SEEDS {
            for items in ITEMS {
                let shares = two_arms(&kind.world(items, seeds, 2), kind.seeds(), simulations)?;
                worst.add(&shares);
                row(&mut text, kind, seeds, items, &shares);
            }
        }
    }
    let _ = writeln!(
        text,
        "\nThe highest share of rejections is {:.4}; the lowest coverage {:.4} of a difference, {:.4} of a mean.\n",
        worst.rejected, worst.contrast_covered, worst.mean_covered
    );
    one_training(&mut text, simulations)?;
    family(&mut text, simulations / 4)?;
    other_contrasts(&mut text, simulations)?;
    equivalences(&mut text, simulations / 2)?;
    power(&mut text, simulations / 2)?;
    judges::judges(&mut text, simulations / 2)?;
    limits(&mut text, simulations)?;
    judges::limits(&mut text, simulations / 2)?;
    Ok(text)
}

const TWO_ARMS: &str = "\
| world | seeds | items | rejected at 0.05 | interval of the difference covers | interval of a mean covers | half width | no interval |
|---|---|---|---|---|---|---|---|
";

fn row(text: &mut String, kind: &Kind, seeds: usize, items: usize, shares: &Shares) {
    let Shares { rejected, contrast_covered, mean_covered, half_width, without } = shares;
    let _ = writeln!(
        text,
        "| {} | {seeds} | {items} | {rejected:.4} | {contrast_covered:.4} | {mean_covered:.4} | {half_width:.4} | {without:.3} |",
        kind.name
    );
}

struct Worst {
    rejected: f64,
    contrast_covered: f64,
    mean_covered: f64,
}

impl Default for Worst {
    fn default() -> Self {
        Self { rejected: 0.0, contrast_covered: 1.0, mean_covered: 1.0 }
    }
}

impl Worst {
    fn add(&mut self, shares: &Shares) {
        self.rejected = self.rejected.max(shares.rejected);
        self.contrast_covered = self.contrast_covered.min(shares.contrast_covered);
        self.mean_covered = self.mean_covered.min(shares.mean_covered);
    }
}

fn opening(simulations: usize) -> String {
    let error = monte_carlo_error(simulations);
    format!(
        "\
# Coverage by simulation

Scores are drawn from the model of `crates/statistics`, with variances that are known and no difference between arms, and
the crate's intervals and tests are tried on them. Tests at {LEVEL} should reject at most {LEVEL} of the time, intervals of 95 % cover
at least 0.95, within the Monte-Carlo error: {simulations} simulations a cell, so {error:.4} for one standard error of a share of 0.05
or 0.95, and twice that is nothing. Shares far below 0.05 are the price of safety with two and three trainings
(`crates/statistics/src/spread.rs` says what is paid for what): with two, it is so high that three should be the fewest.
Items lie in two categories of the same size where nothing else is said.

To repeat it: `cargo xtask coverage` runs the same simulation with the same random numbers and writes this file;
`cargo xtask coverage --simulations 200` is a quick look, printed only.

"
    )
}

fn monte_carlo_error(simulations: usize) -> f64 {
    (LEVEL * (1.0 - LEVEL) / simulations as f64).sqrt()
}

fn one_training(text: &mut String, simulations: usize) -> Result<(), Error> {
    text.push_str("## One training: items only\n\nThe interval says \"items only\", and that is what it is: it holds where trainings have no noise, and nowhere else.\n\n");
    text.push_str(TWO_ARMS);
    for kind in KINDS.iter().filter(|kind| kind.seeds() == Seeds::Nested) {
        for items in ITEMS {
            row(text, kind, 1, items, &two_arms(&kind.world(items, 1, 2), Seeds::Nested, simulations)?);
        }
    }
    text.push('\n');
    Ok(())
}

fn family(text: &mut String, simulations: usize) -> Result<(), Error> {
    let _ = writeln!(
        text,
        "## {FAMILY_ARMS} arms without a difference\n\nThe share of studies in which any of the 28 pairs is told apart; {simulations} simulations, Monte-Carlo error {:.4}.\n\n\
         | world | seeds | items | Holm | Tukey |\n|---|---|---|---|---|",
        monte_carlo_error(simulations)
    );
    let wanted = ["no seed variance", "seeds like items", "large seed variance", "seed variance in one arm only"];
    for kind in KINDS.iter().filter(|kind| wanted.contains(&kind.name)) {
        for seeds in SEEDS {
            let [holm, tukey] = families(&kind.world(100, seeds, FAMILY_ARMS), simulations)?;
            let name = kind.name.replace("one arm", "every other arm");
            let _ = writeln!(text, "| {name} | {seeds} | 100 | {holm:.4} | {tukey:.4} |");
        }
    }
    text.push('\n');
    Ok(())
}

fn power(text: &mut String, simulations: usize) -> Result<(), Error> {
    let _ = writeln!(
        text,
        "## Smallest detectable difference\n\nTwo arms that differ by what `smallest_detectable` says, and how often that is found in {simulations} simulations;\n\
         it should be 0.8, Monte-Carlo error {:.3}.\n",
        (0.8 * 0.2 / simulations as f64).sqrt()
    );
    text.push_str("| seed deviation | seeds | items | difference | found |\n|---|---|---|---|---|\n");
    for seed_sd in [0.0, 0.01, 0.05] {
        for seeds in [1, 2, 3, 5, 10] {
            for items in [100, 1000] {
                let (arm_item, seed_item) = (0.2_f64, 0.15_f64);
                let variances = Variances {
                    arm_item: arm_item.powi(2),
                    seed: seed_sd * seed_sd,
                    seed_item: seed_item.powi(2),
                    repeat: 0.0,
                };
                let design = Design { items, categories: 2, seeds, repeats: 1 };
                let detectable = smallest_detectable(&variances, &design, Demand::default())?;
                if seeds == 1 && seed_sd > 0.0 {
                    continue;
                }
                let arm = |mean: f64| Arm { mean, seeds, seed_sd };
                let world = World {
                    category_items: vec![items / 2; 2],
                    arms: vec![arm(MEAN + detectable.difference), arm(MEAN)],
                    arm_item_sd: arm_item,
                    seed_item_sd: seed_item,
                    ..plain_world()
                };
                let share = found(&world, simulations)?;
                let _ = writeln!(text, "| {seed_sd} | {seeds} | {items} | {:.4} | {share:.3} |", detectable.difference);
            }
        }
    }
    text.push('\n');
    Ok(())
}

fn limits(text: &mut String, simulations: usize) -> Result<(), Error> {
    text.push_str(
        "## Where it does not hold\n\n0/1 scores that are nearly all 1, with few items and one training: the items seen have too few\n\
         zeros to show how many there could be. Such an interval often leaves 0..1, which is said beside it.\n\
         Likewise categories of two items with 0/1 scores, which are often alike: with one training, the interval of a mean in the\n\
         table above covers less.\n\n\
         | true mean | seeds | items | interval of a mean covers | no interval |\n|---|---|---|---|---|\n",
    );
    for mean in [0.8, 0.95] {
        for seeds in [1, 3] {
            for items in ITEMS {
                let world = World {
                    category_items: vec![items],
                    category_step: 0.0,
                    arms: vec![Arm { mean, seeds, seed_sd: 0.0 }],
                    item_sd: 0.0,
                    arm_item_sd: 0.0,
                    seed_item_sd: 0.0,
                    kind: ScoreKind::Binary,
                    ..plain_world()
                };
                let (covered, without) = mean_coverage(&world, mean, simulations)?;
                let _ = writeln!(text, "| {mean} | {seeds} | {items} | {covered:.4} | {without:.3} |");
            }
        }
    }
    Ok(())
}

/// What a table changes as it needs.
fn plain_world() -> World {
    World {
        category_items: vec![50, 50],
        category_step: 0.05,
        arms: Vec::new(),
        item_sd: 0.3,
        arm_item_sd: 0.2,
        seed_item_sd: 0.15,
        repeat_sd: 0.0,
        repeats: 1,
        seeds: SeedDraws::Independent,
        kind: ScoreKind::Continuous,
    }
}

/// Arms of one true mean, with the given trainings and deviations of their seeds.
fn arms(rows: &[(usize, f64)]) -> Vec<Arm> {
    rows.iter().map(|(seeds, seed_sd)| Arm { mean: MEAN, seeds: *seeds, seed_sd: *seed_sd }).collect()
}

fn other_contrasts(text: &mut String, simulations: usize) -> Result<(), Error> {
    text.push_str(
        "## Unequal numbers of trainings, repeated scores, factor effects\n\n100 items, no difference. A factor effect is the mean of two differences, of four arms in all.\n\n| world | trainings | seed deviations | rejected at 0.05 |\n|---|---|---|---|\n",
    );
    let deviations = [[0.0, 0.0], [0.05, 0.05], [0.1, 0.0], [0.0, 0.1]];
    let mut line = |name: &str, trainings: &str, [a, b]: [f64; 2], share: f64| {
        let _ = writeln!(text, "| {name} | {trainings} | {a}, {b} | {share:.4} |");
    };
    for [a, b] in deviations {
        for [first, second] in [[2, 5], [3, 10]] {
            let world = World { arms: arms(&[(first, a), (second, b)]), ..plain_world() };
            line("two arms", &format!("{first} and {second}"), [a, b], rejected(&world, &[1.0, -1.0], simulations)?);
        }
        for seeds in SEEDS {
            let world = World { arms: arms(&[(seeds, a), (seeds, b), (seeds, a), (seeds, b)]), ..plain_world() };
            let share = rejected(&world, &[0.5, -0.5, 0.5, -0.5], simulations)?;
            line("factor effect", &format!("{seeds} each"), [a, b], share);
        }
        let world = World { arms: arms(&[(3, a), (3, b)]), repeat_sd: 0.3, repeats: 3, ..plain_world() };
        line("two arms, three scores of each answer", "3 each", [a, b], rejected(&world, &[1.0, -1.0], simulations)?);
    }
    text.push('\n');
    Ok(())
}

fn equivalences(text: &mut String, simulations: usize) -> Result<(), Error> {
    text.push_str(
        "## Equivalence\n\nShare of pairs that are said to be equivalent within 0.1: where the true difference is 0.1, which should\n\
         be at most 0.05, and where there is none, which shows what it takes.\n\n| seed deviation | seeds | items | difference 0.1 | no difference |\n|---|---|---|---|---|\n",
    );
    let margin = 0.1;
    for seed_sd in [0.0, 0.03] {
        for seeds in SEEDS {
            for items in [100, 1000] {
                let world = |difference: f64| World {
                    category_items: vec![items / 2; 2],
                    arms: vec![Arm { mean: MEAN + difference, seeds, seed_sd }, Arm { mean: MEAN, seeds, seed_sd }],
                    ..plain_world()
                };
                let [at, none] = [margin, 0.0].map(|difference| equivalent(&world(difference), margin, simulations));
                let _ = writeln!(text, "| {seed_sd} | {seeds} | {items} | {:.4} | {:.4} |", at?, none?);
            }
        }
    }
    text.push('\n');
    Ok(())
}
