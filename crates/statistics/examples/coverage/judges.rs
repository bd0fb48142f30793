//! Judges of known error: how often corrected intervals hold the truth, and uncorrected ones do not.

use std::fmt::Write as _;

use tunebench_spec::random::Stream;
use tunebench_statistics::agreement::raw_agreement;
use tunebench_statistics::calibration::{
    Calibration, ErrorModel, JudgedShare, Sampling, Share, Tuning, corrected_contrast, corrected_estimate, rogan_gladen,
};
use tunebench_statistics::simulation::{Arm, JudgeWorld, ScoreKind, SeedDraws, SimulatedJudge, World};
use tunebench_statistics::{Average, Error, Inference, Interval, NoInterval, Seeds, contrast, estimate};

/// Seed of everything here.
const SEED: u64 = 21;
/// True averages of both arms.
const MEANS: [f64; 2] = [0.6, 0.5];
const TRAININGS: usize = 3;
const ITEMS: usize = 200;

/// A judge, and what people's marks are like.
struct Kind {
    name: &'static str,
    judge: SimulatedJudge,
    score: ScoreKind,
    categories: &'static [usize],
    sampling: Sampling,
}

fn exact() -> SimulatedJudge {
    SimulatedJudge {
        level: 0.0,
        scale: 1.0,
        item_sd: 0.0,
        arm_bias: Vec::new(),
        noise_sd: 0.1,
        flips: None,
        steps: None,
    }
}

fn kinds() -> Vec<Kind> {
    let plain = |name, judge| Kind {
        name,
        judge,
        score: ScoreKind::Continuous,
        categories: &[1, 1],
        sampling: Sampling::Equal,
    };
    let uneven = |kind: Kind| Kind { categories: &[4, 3, 2, 1], ..kind };
    vec![
        plain("noise alone", exact()),
        plain("0.1 too high", SimulatedJudge { level: 0.1, ..exact() }),
        plain("scale pressed to a half", SimulatedJudge { scale: 0.5, ..exact() }),
        plain("scale stretched by a half", SimulatedJudge { scale: 1.5, ..exact() }),
        plain("likes some items", SimulatedJudge { level: 0.05, item_sd: 0.2, ..exact() }),
        plain("says nothing of the answer", SimulatedJudge { level: 0.1, scale: 0.0, noise_sd: 0.2, ..exact() }),
        plain("likes the first arm by 0.1", SimulatedJudge { arm_bias: vec![0.1], ..exact() }),
        plain("tenths, pressed, too high", SimulatedJudge { level: 0.1, scale: 0.6, steps: Some(10.0), ..exact() }),
        uneven(plain(
            "pressed, too high; categories 4 : 3 : 2 : 1",
            SimulatedJudge { level: 0.1, scale: 0.6, ..exact() },
        )),
        Kind {
            sampling: Sampling::ByCategory,
            ..uneven(plain(
                "pressed, too high; categories 4 : 3 : 2 : 1, as many labels in each",
                SimulatedJudge { level: 0.1, scale: 0.6, ..exact() },
            ))
        },
        Kind {
            score: ScoreKind::Binary,
            ..plain(
                "right or wrong, 0.3 passed and 0.1 failed wrongly",
                SimulatedJudge { flips: Some([0.3, 0.1]), ..exact() },
            )
        },
    ]
}

impl Kind {
    fn world(&self, labels_per_arm: usize) -> JudgeWorld {
        let shares: usize = self.categories.iter().sum();
        let world = World {
            category_items: self.categories.iter().map(|share| share * ITEMS / shares).collect(),
            category_step: 0.02,
            arms: MEANS.map(|mean| Arm { mean, seeds: TRAININGS, seed_sd: 0.01 }).to_vec(),
            item_sd: 0.12,
            arm_item_sd: 0.08,
            seed_item_sd: 0.08,
            repeat_sd: 0.0,
            repeats: 1,
            seeds: SeedDraws::Independent,
            kind: self.score,
        };
        JudgeWorld { world, judge: self.judge.clone(), labels_per_arm, sampling: self.sampling }
    }
}

/// Intervals of one kind.
#[derive(Clone, Copy, Debug, Default)]
struct Covered {
    given: usize,
    covered: usize,
    width: f64,
}

impl Covered {
    /// Labels that all have one mark of the judge give no line, and so no interval.
    fn add(&mut self, inference: Result<Result<Inference, NoInterval>, Error>, truth: f64) -> Result<(), Error> {
        let interval = match inference {
            Ok(Ok(known)) => known.interval,
            Ok(Err(_)) | Err(Error::OneMark { .. } | Error::Undefined { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        self.hold(interval, truth);
        Ok(())
    }

    fn hold(&mut self, interval: Interval, truth: f64) {
        self.given += 1;
        self.covered += usize::from(interval.low <= truth && truth <= interval.high);
        self.width += interval.high - interval.low;
    }

    /// In words for a table; a dash where there is no interval.
    fn share(&self) -> String {
        match self.given {
            0 => "–".to_owned(),
            given => format!("{:.4}", self.covered as f64 / given as f64),
        }
    }

    fn half_width(&self) -> f64 {
        self.width / 2.0 / self.given.max(1) as f64
    }
}

fn draw(world: &JudgeWorld, run: usize) -> Result<tunebench_statistics::simulation::JudgedStudy, Error> {
    let cell = Stream::named(SEED, &format!("{world:?}")).next_u64();
    world.draw(&mut Stream::new(cell, &[run as u64]))
}

/// What one way of correction gives.
#[derive(Clone, Copy, Debug, Default)]
struct Corrected {
    /// The mean as judged and corrected; the difference as judged, corrected by each arm's labels, and by all arms'
    /// labels.
    intervals: [Covered; 5],
    /// Studies in which the arms' errors are told apart at 0.05.
    unequal: usize,
}

/// Corrections by the line and by the mean difference, of the same studies.
fn cell(world: &JudgeWorld, simulations: usize) -> Result<[(Tuning, Corrected); 2], Error> {
    let mut cells = [Tuning::Regression, Tuning::Difference].map(|tuning| (tuning, Corrected::default()));
    let means: Vec<f64> = world.world.arms.iter().map(|arm| arm.mean).collect();
    let difference = means[0] - means[1];
    for run in 0..simulations {
        let study = draw(world, run)?;
        let arm = estimate(&study.scores, 0, Average::Macro)?;
        let pair = contrast(&study.scores, 0, 1, Average::Macro, Seeds::Nested)?;
        for (tuning, cell) in &mut cells {
            let with = |error_model| {
                let sampling = world.sampling;
                Calibration { labels: &study.labels, sampling, tuning: *tuning, error_model }
            };
            let (own, shared) = (with(ErrorModel::OfEachArm), with(ErrorModel::SharedByArms));
            let corrected =
                |calibration| corrected_contrast(&study.scores, 0, 1, Average::Macro, Seeds::Nested, calibration);
            let mean = corrected_estimate(&study.scores, 0, Average::Macro, &own);
            let (each, pooled) = (corrected(&own), corrected(&shared));
            let test = pooled.as_ref().ok().and_then(|found| found.equal_errors);
            cell.unequal += usize::from(test.is_some_and(|test| test.p <= 0.05));
            let found = &mut cell.intervals;
            found[0].add(Ok(arm.inference.clone()), means[0])?;
            found[1].add(mean.map(|found| found.corrected.inference), means[0])?;
            found[2].add(Ok(pair.inference.clone()), difference)?;
            found[3].add(each.map(|found| found.corrected.inference), difference)?;
            found[4].add(pooled.map(|found| found.corrected.inference), difference)?;
        }
    }
    Ok(cells)
}

const HEAD: &str = "\
| judge | labels of an arm | by | mean as judged | mean corrected | difference as judged | difference, own labels | difference, pooled labels | half widths | no interval | errors differ |
|---|---|---|---|---|---|---|---|---|---|---|
";

fn rows(text: &mut String, name: &str, world: &JudgeWorld, simulations: usize) -> Result<(), Error> {
    for (tuning, cell) in cell(world, simulations)? {
        let found = &cell.intervals;
        let shares: Vec<String> = found.iter().map(Covered::share).collect();
        let list = |value: &dyn Fn(&Covered) -> String| found.iter().map(value).collect::<Vec<_>>().join(", ");
        let widths = list(&|found| format!("{:.3}", found.half_width()));
        let without = list(&|found| format!("{:.2}", 1.0 - found.given as f64 / simulations as f64));
        let by = match tuning {
            Tuning::Regression => "line",
            Tuning::Difference => "mean difference",
        };
        let (labels, unequal) = (world.labels_per_arm, cell.unequal as f64 / simulations as f64);
        let shares = shares.join(" | ");
        let _ = writeln!(text, "| {name} | {labels} | {by} | {shares} | {widths} | {without} | {unequal:.3} |");
    }
    Ok(())
}

/// The tables of corrected scores.
pub fn judges(text: &mut String, simulations: usize) -> Result<(), Error> {
    let _ = writeln!(
        text,
        "## The judge's own error\n\n\
         Two arms of {TRAININGS} trainings and {ITEMS} items whose true averages are {} and {}, a judge of known error, and people's marks of\n\
         some answers of each arm, drawn by chance: how often intervals of 95 % hold the truth. As judged, the interval is over items\n\
         and trainings alone; corrected, it has the judge's part too (`crates/statistics/src/calibration`). Own labels: each arm by\n\
         its own. Pooled labels: both arms by the labels of both, as if the judge erred alike in them; where it does not, in the row of\n\
         the judge that likes the first arm, the pooled interval is as wrong as the judge. By the mean difference, pooled labels leave\n\
         a difference as it was judged. Half widths, and the shares of studies without an interval, are in the order of the five columns\n\
         before them. The last column is how often the test of equal errors (`CorrectedContrast::equal_errors`), on which pooled\n\
         labels stand, rejects at 0.05. {simulations} simulations a cell, Monte-Carlo error {:.4}.\n\n{HEAD}\
         ",
        MEANS[0],
        MEANS[1],
        (0.05 * 0.95 / simulations as f64).sqrt()
    );
    // The heading ends in the line break that the writing above adds.
    text.truncate(text.trim_end().len());
    text.push('\n');
    for kind in kinds() {
        for labels in [20, 50, 100] {
            rows(text, kind.name, &kind.world(labels), simulations)?;
        }
    }
    text.push('\n');
    shares(text, simulations)
}

/// The interval of Rogan and Gladen's estimate, beside that of the judge's share as it is.
fn shares(text: &mut String, simulations: usize) -> Result<(), Error> {
    text.push_str(
        "## Right or wrong, by rates of error\n\n\
         1000 answers of which a share is right, judged right or wrong with known rates of error, and labels drawn from other answers like\n\
         them: how often the corrected interval (`rogan_gladen`) and that of the judge's share as it is hold the true share. No interval:\n\
         no label of one kind, or labels that do not show that the judge tells right from wrong.\n\n\
         | true share | specificity, sensitivity | labels | as judged | corrected | half width | no interval |\n|---|---|---|---|---|---|---|\n",
    );
    for share in [0.2, 0.5, 0.8, 0.95] {
        for rates in [[0.9, 0.9], [0.7, 0.9], [0.6, 0.7]] {
            for labels in [40, 100, 400] {
                let [judged, corrected] = share_cell(share, rates, labels, simulations);
                let without = 1.0 - corrected.given as f64 / simulations as f64;
                let _ = writeln!(
                    text,
                    "| {share} | {}, {} | {labels} | {} | {} | {:.3} | {without:.3} |",
                    rates[0],
                    rates[1],
                    judged.share(),
                    corrected.share(),
                    corrected.half_width()
                );
            }
        }
    }
    text.push('\n');
    Ok(())
}

fn share_cell(share: f64, [specificity, sensitivity]: [f64; 2], labels: usize, simulations: usize) -> [Covered; 2] {
    let key = Stream::named(SEED, &format!("share {share} {specificity} {sensitivity} {labels}")).next_u64();
    let mut found = [Covered::default(); 2];
    for run in 0..simulations {
        let mut random = Stream::new(key, &[run as u64]);
        let mut answer = || {
            let right = random.uniform() < share;
            let passed = random.uniform() < if right { sensitivity } else { 1.0 - specificity };
            (right, passed)
        };
        let passed = (0..1000).filter(|_| answer().1).count();
        let labelled: Vec<(bool, bool)> = (0..labels).map(|_| answer()).collect();
        let of = |right: bool| {
            let kind = labelled.iter().filter(|(is, _)| *is == right);
            Share { count: kind.clone().filter(|(_, passed)| *passed == right).count(), of: kind.count() }
        };
        let judged_right = Share { count: passed, of: 1000 };
        let pairs: Vec<(f64, f64)> = (0..1000).map(|i| (f64::from(u8::from(i < passed)), 1.0)).collect();
        if let Ok(wilson) = raw_agreement(&pairs, 0.0) {
            found[0].hold(wilson.interval, share);
        }
        let judged = JudgedShare { judged_right, specificity: of(false), sensitivity: of(true) };
        if let Ok(Ok(interval)) = rogan_gladen(&judged).map(|found| found.interval) {
            found[1].hold(interval, share);
        }
    }
    found
}

/// What corrections do not mend.
pub fn limits(text: &mut String, simulations: usize) -> Result<(), Error> {
    let _ = writeln!(
        text,
        "\nCorrections where people's marks are nearly all 1. Twenty labels hold one 0 or none; where they hold none, or no error of the\n\
         judge, from which no spread could be seen, there is no interval. A hundred hold a handful, and the interval may cover less\n\
         than it says, as those of rare zeros do above. Label more answers where marks are low (`Sampling::ByCategory`).\n\
         And a judge that says nothing of the answer, over trainings that vary much: its marks do not show what trainings do, and labels\n\
         are too few in each to show it. Where labels do not show that the two go together, the interval says that it is over items\n\
         and the judge only, and that is what it is. Trainings' deviation there is 0.1.\n\
         Pooled labels of a judge that says nothing hardly ever give an interval, and the few that they give hold less than they say:\n\
         they are those in which chance looked like skill.\n\n{HEAD}"
    );
    text.truncate(text.trim_end().len());
    text.push('\n');
    for labels in [20, 50, 100] {
        rows(
            text,
            "passes 80 % of what is wrong; 95 % and 90 % are right",
            &nearly_all_right(labels, passes()),
            simulations,
        )?;
    }
    for labels in [20, 50, 100] {
        let judge = SimulatedJudge { level: 0.4, scale: 0.0, ..exact() };
        let world = nearly_all_right(labels, judge);
        rows(text, "says 0.9 of everything, give or take 0.1; 95 % and 90 % are right", &world, simulations)?;
    }
    for labels in [20, 50, 100] {
        rows(text, "says nothing, trainings vary", &trainings_vary(labels), simulations)?;
    }
    Ok(())
}

/// Passes most of what is wrong, and fails nothing that is right.
fn passes() -> SimulatedJudge {
    SimulatedJudge { flips: Some([0.8, 0.0]), ..exact() }
}

fn nearly_all_right(labels_per_arm: usize, judge: SimulatedJudge) -> JudgeWorld {
    let arm = |mean| Arm { mean, seeds: TRAININGS, seed_sd: 0.0 };
    let world = World {
        category_items: vec![ITEMS],
        category_step: 0.0,
        arms: vec![arm(0.95), arm(0.9)],
        item_sd: 0.0,
        arm_item_sd: 0.0,
        seed_item_sd: 0.0,
        repeat_sd: 0.0,
        repeats: 1,
        seeds: SeedDraws::Independent,
        kind: ScoreKind::Binary,
    };
    JudgeWorld { world, judge, labels_per_arm, sampling: Sampling::Equal }
}

fn trainings_vary(labels_per_arm: usize) -> JudgeWorld {
    let judge = SimulatedJudge { scale: 0.0, noise_sd: 0.2, ..exact() };
    let kind = Kind { name: "", judge, score: ScoreKind::Continuous, categories: &[1, 1], sampling: Sampling::Equal };
    let mut world = kind.world(labels_per_arm);
    world.world.arms.iter_mut().for_each(|arm| arm.seed_sd = 0.1);
    world
}
