//! The table of arms, candidates and seeds: which columns fit, how wide they are, and what stands in them.

use crate::state::{Row, View};
use crate::text;
use crate::words;

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// A sign for how it stands with all of the row's work.
    Sign,
    Arm,
    Candidate,
    Seed,
    /// What is done for it, each with a sign.
    Work,
    Bar,
    Percent,
    /// Steps or items done, of how many.
    Count,
    Loss,
    HeldOut,
    Speed,
    Left,
    /// The process that works on it, or did last.
    By,
}

use Column::{Arm, Bar, By, Candidate, Count, HeldOut, Left, Loss, Percent, Seed, Sign, Speed, Work};

/// From the richest to the poorest; the first that fits is shown.
const LAYOUTS: [&[Column]; 11] = [
    &[Sign, Arm, Candidate, Seed, Work, Bar, Count, Loss, HeldOut, Speed, Left, By],
    &[Sign, Arm, Candidate, Seed, Work, Bar, Count, Loss, HeldOut, Speed, Left],
    &[Sign, Arm, Candidate, Seed, Work, Bar, Loss, HeldOut, Speed, Left],
    &[Sign, Arm, Candidate, Seed, Bar, Loss, HeldOut, Speed, Left],
    &[Sign, Arm, Candidate, Seed, Bar, Loss, HeldOut, Left],
    &[Sign, Arm, Candidate, Seed, Bar, Loss, Left],
    &[Sign, Arm, Candidate, Seed, Percent, Loss, Left],
    &[Sign, Arm, Candidate, Seed, Percent, Loss],
    &[Sign, Arm, Candidate, Seed, Percent],
    &[Sign, Arm, Seed, Percent],
    &[Sign, Arm, Percent],
];

/// What plain lines show.
const PLAIN: &[Column] = &[Sign, Arm, Candidate, Seed, Work, Percent, Count, Loss, HeldOut, Speed, Left, By];

/// Between two columns.
pub const GAP: usize = 1;
const BAR: usize = 10;
/// Names are cut to this where the width is small.
const SHORT_NAME: usize = 14;

/// The columns of a view with their widths, for a table this wide.
pub fn fitting(view: &View<'_>, width: usize) -> Vec<(Column, usize)> {
    let mut columns = Vec::new();
    for layout in LAYOUTS {
        columns = narrow(view, layout);
        if taken(&columns) <= width {
            break;
        }
    }
    let mut spare = width.saturating_sub(taken(&columns));
    for (column, chosen) in &mut columns {
        let more = natural(view, *column).saturating_sub(*chosen);
        // A candidate is whole or its values.
        let more = if *column == Candidate && more > spare { 0 } else { more.min(spare) };
        *chosen += more;
        spare -= more;
    }
    columns
}

/// The columns of a view in plain lines, as wide as they need to be.
pub fn plain(view: &View<'_>) -> Vec<(Column, usize)> {
    speaking(view, PLAIN).map(|column| (column, natural(view, column))).collect()
}

/// The columns of a layout that say something, as narrow as they may be.
fn narrow(view: &View<'_>, layout: &[Column]) -> Vec<(Column, usize)> {
    let width = |column: Column| match column {
        Arm => natural(view, column).min(SHORT_NAME),
        Candidate => {
            let values = view.rows.iter().map(|row| text::width(&values(&row.candidate)));
            values.fold(text::width(heading(column)), usize::max).min(SHORT_NAME)
        }
        _ => natural(view, column),
    };
    speaking(view, layout).map(|column| (column, width(column))).collect()
}

fn speaking(view: &View<'_>, layout: &[Column]) -> impl Iterator<Item = Column> {
    let says_something = |column: &Column| match column {
        Candidate => view.rows.iter().any(|row| !row.candidate.is_empty()),
        Seed => view.rows.iter().any(|row| Some(row.seed) != view.rows.first().map(|first| first.seed)),
        // Where one process does all of it, it is named above.
        By => view.rows.iter().any(|row| !row.by.is_empty() && row.by != view.by()),
        _ => true,
    };
    layout.iter().copied().filter(says_something)
}

fn taken(columns: &[(Column, usize)]) -> usize {
    columns.iter().map(|(_, width)| width + GAP).sum::<usize>().saturating_sub(GAP)
}

/// As wide as a column would like to be: fixed, so that nothing jumps, where numbers change.
fn natural(view: &View<'_>, column: Column) -> usize {
    let least = match column {
        Bar => BAR + 5,
        Percent => 4,
        Loss => 6,
        HeldOut => 8,
        Speed => 7,
        Left => 6,
        Sign => 1,
        Arm | Candidate | Seed | Work | Count | By => text::width(heading(column)),
    };
    match column {
        Bar | Percent | Loss | HeldOut | Speed | Left | Sign => least,
        Count => {
            let digits = |row: &Row<'_>| row.current.total.map_or(4, |total| 2 * total.to_string().len() + 1);
            view.rows.iter().map(digits).fold(least, usize::max)
        }
        Arm | Candidate | Seed | Work | By => {
            view.rows.iter().map(|row| text::width(&cell(column, row))).fold(least, usize::max)
        }
    }
}

/// What stands above a column.
pub fn heading(column: Column) -> &'static str {
    match column {
        Sign => "",
        Arm => "arm",
        Candidate => "candidate",
        Seed => "seed",
        Work => "work",
        Bar => "progress",
        Percent => "done",
        Count => "of",
        Loss => "loss",
        HeldOut => "held out",
        Speed => "token/s",
        Left => "left",
        By => "by",
    }
}

/// Whether a column is aligned to the right, as numbers are.
pub fn is_right(column: Column) -> bool {
    matches!(column, Seed | Percent | Count | Loss | HeldOut | Speed | Left)
}

/// What stands in a column of a row, uncut.
pub fn cell(column: Column, row: &Row<'_>) -> String {
    let or_none = |text: Option<String>| text.unwrap_or_default();
    match column {
        Sign => words::sign(row.mark).into(),
        Arm => row.arm.clone(),
        Candidate => row.candidate.clone(),
        Seed => row.seed.to_string(),
        Work => {
            let kinds = row.work.iter().map(|(kind, mark)| format!("{kind} {}", words::sign(*mark)));
            kinds.collect::<Vec<_>>().join(" ")
        }
        Bar => row.current.share.map_or(cell(Count, row), |share| format!("{} {}", bar(share), percent(share))),
        Percent => or_none(row.current.share.map(percent)),
        Count => match row.current.total {
            Some(total) => format!("{}/{total}", row.current.done),
            None => row.current.done.to_string(),
        },
        Loss => or_none(row.loss.map(text::loss)),
        HeldOut => or_none(row.held_out.map(text::loss)),
        Speed => or_none(row.tokens_per_second.map(text::count)),
        By => row.by.clone(),
        Left => or_none(row.left_seconds.filter(|seconds| *seconds > 0.0).map(text::short_duration)),
    }
}

/// What stands in a column this wide. Of a candidate that is too long only the values are left, in which candidates
/// differ.
pub fn cut_cell(column: Column, row: &Row<'_>, width: usize) -> String {
    let whole = cell(column, row);
    match column {
        Candidate if text::width(&whole) > width => text::cut(&values(&whole), width),
        _ => text::cut(&whole, width),
    }
}

/// `0.0001, 8` of `learning_rate = 0.0001, options.r = 8`.
fn values(candidate: &str) -> String {
    candidate.split(", ").map(|part| part.rsplit(" = ").next().unwrap_or(part)).collect::<Vec<_>>().join(", ")
}

/// 100 % only when all is done.
fn percent(share: f64) -> String {
    format!("{:>3}%", (share * 100.0).floor())
}

/// Filled in eighths of a column.
fn bar(share: f64) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share.clamp(0.0, 1.0) * (BAR * 8) as f64).floor() as usize;
    let filled = "█".repeat(eighths / 8) + PARTS.get(eighths % 8).copied().unwrap_or_default();
    text::padded(&filled, BAR).replace(' ', "░")
}
