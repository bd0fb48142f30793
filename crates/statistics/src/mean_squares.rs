//! What enters every standard error: mean squares of items, trainings, and trainings by items, of a weighted sum of
//! arms.

use crate::average::{Average, Strata, strata};
use crate::scores::{ItemCount, Scores, Table};
use crate::{Error, NoInterval};

/// Whether the trainings of two arms have anything in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seeds {
    /// Each training is a draw of its own.
    Nested,
    /// The k-th training of one arm, in the order of seeds, shares its parent or its draws with the k-th of the other.
    Crossed,
}

/// What an interval is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Other items, and other trainings of the same arms.
    ItemsAndTrainings,
    /// Other items; these very trainings. All that can be said when an arm has one: what is known of the others' seeds
    /// is then not used.
    ItemsOnly,
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ItemsAndTrainings => "items and trainings",
            Self::ItemsOnly => "items only",
        })
    }
}

/// An estimated variance, and how well it is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    pub variance: f64,
    pub df: f64,
}

/// An average of a weighted sum of arms, and its variance in parts.
#[derive(Clone, Debug)]
pub(crate) struct MeanSquares {
    pub(crate) value: f64,
    pub(crate) items: ItemCount,
    /// Of the trainings' mean over these items.
    pub(crate) seeds: Option<Part>,
    /// What trainings by items add to both other parts, so that it must be counted once.
    pub(crate) shared: f64,
    /// Of the items' mean over these trainings; or why it is not known.
    pub(crate) by_items: Result<Part, NoInterval>,
}

/// Of Satterthwaite's degrees of freedom beyond the least of the parts', the share that is believed.
///
/// His formula (Satterthwaite 1946; Welch 1947) takes the estimated variances for the true ones. With one or two
/// degrees of freedom in a part, that rejects up to 1.24 times as often as it should at 0.05, and 2.8 times at 0.002;
/// with half of the surplus it is 1.08 and 1.6, and no more than the level where the variances are alike.
/// `docs/coverage.md` holds the table for the whole.
const BELIEVED: f64 = 0.5;

/// The sum of independent parts.
pub(crate) fn sum(parts: &[Part]) -> Part {
    let variance: f64 = parts.iter().map(|part| part.variance).sum();
    let known = parts.iter().filter(|part| part.variance > 0.0);
    let least = known.clone().map(|part| part.df).fold(f64::INFINITY, f64::min);
    if least.is_infinite() {
        let df = parts.iter().map(|part| part.df).sum();
        return Part { variance, df };
    }
    let satterthwaite = variance.powi(2) / known.map(|part| part.variance.powi(2) / part.df).sum::<f64>();
    Part { variance, df: least + BELIEVED * (satterthwaite - least).max(0.0) }
}

/// A training's scores of the items of [`Strata`], in their order, for each training.
pub(crate) type Rows = Vec<Vec<f64>>;

pub(crate) fn rows(table: &Table, strata: &Strata) -> Rows {
    table.rows.iter().map(|row| strata.items.iter().map(|place| row[*place].mean).collect()).collect()
}

/// Mean over rows, per column.
pub(crate) fn column_means(rows: &Rows) -> Vec<f64> {
    let mut means = vec![0.0; rows.first().map_or(0, Vec::len)];
    for row in rows {
        means.iter_mut().zip(row).for_each(|(mean, value)| *mean += value);
    }
    means.iter_mut().for_each(|mean| *mean /= rows.len() as f64);
    means
}

pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Sum of squared deviations from the mean.
pub(crate) fn squares(values: &[f64]) -> f64 {
    let mean = mean(values);
    values.iter().map(|value| (value - mean).powi(2)).sum()
}

/// Weighted mean of the strata's means.
pub(crate) fn average_of(values: &[f64], strata: &Strata) -> f64 {
    strata.pieces.iter().map(|piece| piece.weight * mean(&values[piece.range.clone()])).sum()
}

/// Per stratum, the sum of squares of trainings by items: what is left of `rows` without the means of the stratum's
/// items and of each training over the stratum. Its degrees of freedom are (trainings - 1) (items - 1).
pub(crate) fn interactions(rows: &Rows, item_means: &[f64], strata: &Strata) -> Vec<f64> {
    let of_piece = |range: std::ops::Range<usize>| {
        let expected = mean(&item_means[range.clone()]);
        let of_row = |row: &Vec<f64>| {
            let shift = mean(&row[range.clone()]) - expected;
            range.clone().map(|i| (row[i] - item_means[i] - shift).powi(2)).sum::<f64>()
        };
        rows.iter().map(of_row).sum()
    };
    strata.pieces.iter().map(|piece| of_piece(piece.range.clone())).collect()
}

/// Mean squares of the sum of `weights[i].1` times arm `weights[i].0`.
pub(crate) fn mean_squares(
    scores: &Scores,
    weights: &[(usize, f64)],
    average: Average,
    seeds: Seeds,
) -> Result<MeanSquares, Error> {
    let arms: Vec<usize> = weights.iter().map(|(arm, _)| *arm).collect();
    let strata = strata(scores, average, &arms)?;
    let samples = samples(scores, weights, &strata, seeds)?;
    let mut item_values = vec![0.0; strata.items.len()];
    let mut seed_parts = Vec::new();
    let mut shared = 0.0;
    for (weight, rows) in &samples {
        let item_means = column_means(rows);
        item_values.iter_mut().zip(&item_means).for_each(|(value, mean)| *value += weight * mean);
        let trainings = rows.len() as f64;
        if rows.len() < 2 {
            continue;
        }
        let means: Vec<f64> = rows.iter().map(|row| average_of(row, &strata)).collect();
        let variance = weight * weight * squares(&means) / (trainings - 1.0) / trainings;
        seed_parts.push(Part { variance, df: trainings - 1.0 });
        let sums = interactions(rows, &item_means, &strata);
        let of_piece = |(piece, sum): (&crate::average::Piece, &f64)| {
            piece.weight.powi(2) * sum / ((trainings - 1.0) * (piece.n() - 1.0).max(1.0)) / piece.n()
        };
        shared += weight * weight * strata.pieces.iter().zip(&sums).map(of_piece).sum::<f64>() / trainings;
    }
    let seeds = (seed_parts.len() == samples.len()).then(|| sum(&seed_parts));
    let shared = seeds.map_or(0.0, |_| shared);
    let items = strata.count;
    let by_items = match strata.single(scores) {
        Some(reason) => Err(reason),
        None => by_items(&item_values, &strata, seeds, scores.rounding()),
    };
    Ok(MeanSquares { value: average_of(&item_values, &strata), items, seeds, shared, by_items })
}

/// Independent samples of trainings, each with its weight.
fn samples(
    scores: &Scores,
    weights: &[(usize, f64)],
    strata: &Strata,
    seeds: Seeds,
) -> Result<Vec<(f64, Rows)>, Error> {
    let arm_rows = weights.iter().map(|(arm, weight)| Ok((*weight, rows(scores.table(*arm)?, strata))));
    let arm_rows: Vec<(f64, Rows)> = arm_rows.collect::<Result<_, Error>>()?;
    match seeds {
        Seeds::Nested => Ok(arm_rows),
        Seeds::Crossed => crossed(scores, weights, arm_rows),
    }
}

/// One sample: the weighted sum of the arms in each training.
fn crossed(scores: &Scores, weights: &[(usize, f64)], arm_rows: Vec<(f64, Rows)>) -> Result<Vec<(f64, Rows)>, Error> {
    let mut sum: Rows = Vec::new();
    for ((arm, _), (weight, rows)) in weights.iter().zip(arm_rows) {
        if sum.is_empty() {
            sum = rows.iter().map(|row| vec![0.0; row.len()]).collect();
        }
        if sum.len() != rows.len() {
            let first = weights.first().map_or(0, |(arm, _)| *arm);
            let name = |arm: usize| scores.name(arm).to_owned();
            let (first_seeds, second_seeds) = (sum.len(), rows.len());
            return Err(Error::UnequalSeeds { first: name(first), first_seeds, second: name(*arm), second_seeds });
        }
        for (total, row) in sum.iter_mut().zip(&rows) {
            total.iter_mut().zip(row).for_each(|(total, value)| *total += weight * value);
        }
    }
    Ok(vec![(1.0, sum)])
}

fn by_items(values: &[f64], strata: &Strata, seeds: Option<Part>, rounding: f64) -> Result<Part, NoInterval> {
    let part = |piece: &crate::average::Piece| {
        let squares = squares(&values[piece.range.clone()]);
        let variance = piece.weight.powi(2) * squares / (piece.n() - 1.0) / piece.n();
        Part { variance, df: piece.n() - 1.0 }
    };
    let items = sum(&strata.pieces.iter().map(part).collect::<Vec<_>>());
    if items.variance + seeds.map_or(0.0, |part| part.variance) <= rounding {
        return Err(NoInterval::NoVariance { items: values.len() });
    }
    Ok(items)
}
