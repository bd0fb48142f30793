//! What training took away: the loss on general language, and on held-out rows, of the plain base and of the result.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tunebench_spec::LossLog;
use tunebench_spec::records::{GENERAL, HELD_OUT};
use tunebench_statistics::Interval;

use crate::error::{Error, Result};
use crate::run::{Arm, Run, mean};
use crate::spread;
use crate::table::Table;

/// A loss in both units, the plain base's or a result's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loss {
    pub nats_per_token: f64,
    pub bits_per_byte: f64,
}

/// The loss of an arm on one text, before and after.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub arm: String,
    /// [`GENERAL`] or [`HELD_OUT`].
    pub set: String,
    /// SHA-256 of the tokens: nats are comparable where it is equal.
    pub set_hash: String,
    /// Trainings with both losses.
    pub seeds: usize,
    /// Trainings of the arm that lack one of the two.
    pub without: usize,
    /// Of the plain base, and of the results; means over the trainings.
    pub before: Loss,
    pub after: Loss,
    /// After minus before in bits per byte: above 0 is forgotten, below 0 learned. The interval is over trainings.
    pub difference: f64,
    pub interval: Option<Interval>,
}

/// A table for each text, a row for each arm with losses before and after. The candidates that a grid did not choose are left
/// out and counted.
///
/// # Errors
/// When `dir` is not a run folder, a frame is missing or damaged, or one arm's losses are of different text.
pub fn forgetting(dir: &Path) -> Result<Vec<Table>> {
    let run = Run::open(dir)?;
    let losses: Vec<LossLog> = run.frames.read()?;
    let sets = [
        (GENERAL, "What was forgotten: loss on a fixed text of general language"),
        (HELD_OUT, "What was learned: loss on held-out rows"),
    ];
    let mut tables = Vec::new();
    for (set, title) in sets {
        let changes = changes(&run, &losses, set)?;
        let mut table = table(title, &changes);
        let n_losing: usize = run.arms.iter().map(|arm| arm.losing.len()).sum();
        if n_losing > 0 {
            table.notes.push(format!("{n_losing} candidates that a grid did not choose are left out."));
        }
        let lacking = |arm: &&Arm| arm.is_trained() && !changes.iter().any(|change| change.arm == arm.name);
        let lacking: Vec<&str> = run.arms.iter().filter(lacking).map(|arm| arm.name.as_str()).collect();
        if !lacking.is_empty() {
            table.notes.push(format!("Without a loss before and after: {}.", lacking.join(", ")));
        }
        tables.push(table);
    }
    Ok(tables)
}

/// Of the trained arms that have losses on `set`, in the study's order.
///
/// # Errors
/// When the losses of one arm are of different text.
pub fn changes(run: &Run, losses: &[LossLog], set: &str) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    for arm in run.arms.iter().filter(|arm| arm.is_trained()) {
        changes.extend(change(arm, losses, set)?);
    }
    Ok(changes)
}

fn change(arm: &Arm, losses: &[LossLog], set: &str) -> Result<Option<Change>> {
    let is_selected = |loss: &&LossLog| {
        arm.trainings.iter().any(|training| training.seed == loss.seed && training.candidate == loss.candidate)
    };
    let rows: Vec<&LossLog> =
        losses.iter().filter(|loss| loss.arm == arm.name && loss.set == set).filter(is_selected).collect();
    let mut texts: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for row in &rows {
        texts.entry(&row.set_hash).or_default().insert(row.seed);
    }
    if texts.len() > 1 {
        let words = texts.iter().map(|(hash, seeds)| {
            let seeds: Vec<String> = seeds.iter().map(u64::to_string).collect();
            format!("`{}`, seeds {}: {}", arm.name, seeds.join(" "), hash.chars().take(8).collect::<String>())
        });
        return Err(Error::MixedTexts { set: set.to_owned(), rows: words.collect::<Vec<_>>().join(", ") });
    }

    let both = arm.trainings.iter().filter_map(|training| {
        let of = |is_wanted: &dyn Fn(&LossLog) -> bool| {
            rows.iter().find(|row| row.seed == training.seed && is_wanted(row)).copied()
        };
        of(&|row| row.step == 0).zip(of(&|row| row.is_final))
    });
    let both: Vec<(&LossLog, &LossLog)> = both.collect();
    let over = |value: &dyn Fn(&(&LossLog, &LossLog)) -> f64| mean(&both.iter().map(value).collect::<Vec<_>>());
    let differences: Vec<f64> = both.iter().map(|(before, after)| after.bits_per_byte - before.bits_per_byte).collect();
    let found = || {
        let (difference, interval) = spread::of(&differences)?;
        Some(Change {
            arm: arm.name.clone(),
            set: set.to_owned(),
            set_hash: rows.first()?.set_hash.clone(),
            seeds: both.len(),
            without: arm.trainings.len() - both.len(),
            before: Loss { nats_per_token: over(&|b| b.0.loss)?, bits_per_byte: over(&|b| b.0.bits_per_byte)? },
            after: Loss { nats_per_token: over(&|b| b.1.loss)?, bits_per_byte: over(&|b| b.1.bits_per_byte)? },
            difference,
            interval,
        })
    };
    Ok(found())
}

fn table(title: &str, changes: &[Change]) -> Table {
    let columns = [
        ("arm", 0),
        ("text", 0),
        ("seeds", 0),
        ("bits_per_byte_before", 4),
        ("bits_per_byte_after", 4),
        ("difference", 4),
        ("ci_low", 4),
        ("ci_high", 4),
        ("nats_per_token_before", 4),
        ("nats_per_token_after", 4),
    ];
    let mut table = Table::new(title, &columns);
    let mut texts: Vec<&str> = Vec::new();
    for change in changes {
        let place = texts.iter().position(|text| *text == change.set_hash).unwrap_or_else(|| {
            texts.push(&change.set_hash);
            texts.len() - 1
        });
        table.rows.push(vec![
            change.arm.as_str().into(),
            format!("#{}", place + 1).into(),
            change.seeds.into(),
            change.before.bits_per_byte.into(),
            change.after.bits_per_byte.into(),
            change.difference.into(),
            change.interval.map(|interval| interval.low).into(),
            change.interval.map(|interval| interval.high).into(),
            change.before.nats_per_token.into(),
            change.after.nats_per_token.into(),
        ]);
        if change.without > 0 {
            table.notes.push(format!("{}: {} trainings lack one of the two losses.", change.arm, change.without));
        }
    }
    table.notes.push(
        "before: the plain base, whatever the arm started from. difference: after minus before, bits per byte, mean over \
         trainings with its 95 % interval; none with one training, or where all gave the same."
            .into(),
    );
    if texts.len() > 1 {
        table.notes.push(
            "text: only rows with the same number were measured on the same tokens; compare nats among those alone, and bits \
             per byte where the text is the same but for its tokens."
                .into(),
        );
    }
    table
}
