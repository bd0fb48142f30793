//! How scores and held-out losses go with the size of the data and of the model: lines against logarithms, with their
//! uncertainty.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tunebench_spec::LossLog;
use tunebench_spec::records::HELD_OUT;
use tunebench_statistics::{Error as Refusal, Line, line_in_log10};

use crate::error::Result;
use crate::evidence::{Evidence, Judged};
use crate::method;
use crate::run::{Arm, Run, mean};
use crate::table::Table;

/// One training.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    pub x: f64,
    pub y: f64,
}

/// A line through the trainings of one method, or why there is none.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// What goes with what: `macro average` or `held-out bits per byte`; `examples`, `trainable_params` or `model_params`.
    pub of: &'static str,
    pub against: &'static str,
    /// What all trainings of it have in common.
    pub group: String,
    pub points: Vec<Point>,
    /// The slope is the change of y when x is ten times as large.
    pub line: std::result::Result<Line, Refusal>,
}

/// A size, and what must be equal in a group of trainings that differ in it.
struct Size {
    name: &'static str,
    value: fn(&Arm) -> f64,
    group: fn(&Run, &Arm) -> String,
}

const SIZES: [Size; 3] = [
    Size {
        name: "examples",
        value: |arm| arm.record.examples as f64,
        group: |run, arm| format!("{} on {}", with_rank(arm), start(run, arm)),
    },
    Size {
        name: "trainable_params",
        value: |arm| arm.record.trainable_params as f64,
        group: |run, arm| format!("{} on {}, {}", method::name(arm), start(run, arm), arm.record.dataset),
    },
    Size {
        name: "model_params",
        value: |arm| arm.record.model_params as f64,
        group: |_, arm| format!("{} on any model, {}", with_rank(arm), arm.record.dataset),
    },
];

fn with_rank(arm: &Arm) -> String {
    match crate::settings::number(&arm.record, "options.r") {
        Some(rank) => format!("{} r={rank}", method::name(arm)),
        None => method::name(arm),
    }
}

/// The model or arm that it starts from.
fn start<'a>(run: &'a Run, arm: &'a Arm) -> &'a str {
    match run.arm(&arm.record.base).is_some_and(Arm::is_trained) {
        true => &arm.record.base,
        false => run.root(arm),
    }
}

/// For each judge the fits of its scores, then those of the held-out losses.
///
/// # Errors
/// When `dir` is not a run folder, a frame is damaged, or the judgements cannot be compared.
pub fn scaling(dir: &Path) -> Result<Vec<Table>> {
    let run = Run::open(dir)?;
    let evidence = Evidence::so_far(&run)?;
    let judges = evidence.judge_names();
    let mut tables = Vec::new();
    for judge in &judges {
        let fits = score_fits(&run, &evidence, judge)?;
        tables.push(table(&fits, evidence.title("Score against size", judge)));
    }
    let (fits, notes) = loss_fits(&run)?;
    let mut losses = table(&fits, "Held-out loss against size".into());
    losses.notes.extend(notes);
    tables.push(losses);
    Ok(tables)
}

/// Of the macro averages of the single trainings.
///
/// # Errors
/// When the judgements cannot be compared.
pub fn score_fits(run: &Run, evidence: &Evidence, judge: &str) -> Result<Vec<Fit>> {
    let judged = evidence.of(judge, &evidence.arm_names())?;
    let averages = macro_averages(&judged);
    let values = |arm: &Arm| {
        let own = arm.trainings.iter().filter_map(|training| averages.get(&(arm.name.as_str(), training.seed)));
        own.copied().collect()
    };
    Ok(fits(run, "macro average", values))
}

/// Of the final held-out losses, where all of a group are of the same text; and which groups are not.
///
/// # Errors
/// When the frame is damaged.
pub fn loss_fits(run: &Run) -> Result<(Vec<Fit>, Vec<String>)> {
    let losses: Vec<LossLog> = run.so_far()?;
    let finals: Vec<&LossLog> = losses.iter().filter(|loss| loss.set == HELD_OUT && loss.is_final).collect();
    let of_arm = |arm: &Arm| -> Vec<&LossLog> {
        let is_own = |loss: &&&LossLog| {
            let is_training = |t: &tunebench_spec::ArmRecord| t.seed == loss.seed && t.candidate == loss.candidate;
            loss.arm == arm.name && arm.trainings.iter().any(is_training)
        };
        finals.iter().filter(is_own).copied().collect()
    };
    let fits = fits(run, "held-out bits per byte", |arm| of_arm(arm).iter().map(|loss| loss.bits_per_byte).collect());
    let mut texts: BTreeMap<(&str, String), BTreeSet<&str>> = BTreeMap::new();
    for (size, arm) in SIZES.iter().flat_map(|size| run.arms.iter().map(move |arm| (size, arm))) {
        let hashes = of_arm(arm).into_iter().map(|loss| loss.set_hash.as_str());
        texts.entry((size.name, (size.group)(run, arm))).or_default().extend(hashes);
    }
    let is_one_text = |fit: &Fit| texts.get(&(fit.against, fit.group.clone())).is_none_or(|hashes| hashes.len() < 2);
    let (kept, refused): (Vec<Fit>, Vec<Fit>) = fits.into_iter().partition(is_one_text);
    let note = |fit: &Fit| {
        format!(
            "{} against {}: its losses were measured on different text and are not compared.",
            fit.group, fit.against
        )
    };
    Ok((kept, refused.iter().map(note).collect()))
}

/// For each size and group of trained arms with more than one training.
fn fits(run: &Run, of: &'static str, values: impl Fn(&Arm) -> Vec<f64>) -> Vec<Fit> {
    let trained: Vec<&Arm> = run.arms.iter().filter(|arm| arm.is_trained() && !arm.is_variant()).collect();
    let mut found = Vec::new();
    for size in &SIZES {
        let mut groups: BTreeMap<String, Vec<Point>> = BTreeMap::new();
        for arm in &trained {
            let x = (size.value)(arm);
            let points = values(arm).into_iter().map(|y| Point { x, y });
            groups.entry((size.group)(run, arm)).or_default().extend(points);
        }
        for (group, points) in groups.into_iter().filter(|(_, points)| !points.is_empty()) {
            let (xs, ys): (Vec<f64>, Vec<f64>) = points.iter().map(|point| (point.x, point.y)).unzip();
            let line = line_in_log10(&xs, &ys);
            found.push(Fit { of, against: size.name, group, points, line });
        }
    }
    found
}

/// The scores of each item.
type Repeats<'a> = BTreeMap<&'a str, Vec<f64>>;

/// Of each training that has a score in every category: arm, seed.
fn macro_averages(judged: &Judged) -> BTreeMap<(&str, u64), f64> {
    let mut scores: BTreeMap<(&str, u64), BTreeMap<&str, Repeats>> = BTreeMap::new();
    for verdict in &judged.verdicts {
        if let Some(score) = verdict.score {
            let training = scores.entry((&verdict.arm, verdict.seed)).or_default();
            training.entry(&verdict.category).or_default().entry(&verdict.item).or_default().push(score);
        }
    }
    let of_category = |items: &Repeats| mean(&items.values().filter_map(|repeats| mean(repeats)).collect::<Vec<_>>());
    let average = |categories: &BTreeMap<&str, Repeats>| {
        let means: Option<Vec<f64>> =
            judged.categories.iter().map(|name| categories.get(name.as_str()).and_then(of_category)).collect();
        mean(&means?)
    };
    scores.iter().filter_map(|(training, categories)| Some((*training, average(categories)?))).collect()
}

fn table(fits: &[Fit], title: String) -> Table {
    let columns = [
        ("against", 0),
        ("method", 0),
        ("sizes", 0),
        ("trainings", 0),
        ("per_tenfold", 4),
        ("ci_low", 4),
        ("ci_high", 4),
        ("r_squared", 3),
    ];
    let mut table = Table::new(title, &columns);
    let sizes = |fit: &Fit| fit.points.iter().map(|point| point.x.to_bits()).collect::<BTreeSet<_>>().len();
    for fit in fits {
        let Ok(line) = &fit.line else { continue };
        let interval = line.uncertainty.as_ref().ok().map(|known| known.interval);
        table.rows.push(vec![
            fit.against.into(),
            fit.group.as_str().into(),
            sizes(fit).into(),
            fit.points.len().into(),
            line.slope.into(),
            interval.map(|interval| interval.low).into(),
            interval.map(|interval| interval.high).into(),
            line.r_squared.into(),
        ]);
        if let Err(why) = &line.uncertainty {
            table.notes.push(format!("{} against {}: {why}.", fit.group, fit.against));
        }
    }
    table.notes.push(
        "per_tenfold: change when the size is ten times as large, a straight line against its logarithm, a point a training; ci: \
         its 95 % interval."
            .into(),
    );
    let mut refused: BTreeMap<&str, Vec<&Fit>> = BTreeMap::new();
    for fit in fits.iter().filter(|fit| fit.line.is_err()) {
        refused.entry(fit.against).or_default().push(fit);
    }
    table.notes.extend(refused.iter().map(|(against, fits)| {
        let (single, several): (Vec<&Fit>, Vec<&Fit>) = fits.iter().partition(|fit| sizes(fit) < 2);
        let words = several.iter().map(|fit| format!("{} has {}", fit.group, sizes(fit)));
        let rest = (!single.is_empty()).then(|| format!("{} methods have 1", single.len()));
        let all: Vec<String> = words.chain(rest).collect();
        format!("A line against {against} takes 3 different ones: {}.", all.join("; "))
    }));
    if fits.is_empty() {
        table.notes.push("No training has a value to fit.".into());
    }
    table
}
