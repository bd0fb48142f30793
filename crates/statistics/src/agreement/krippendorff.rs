//! Krippendorff's alpha: agreement beyond chance of any number of raters, with gaps.
//!
//! alpha = 1 - D_o / D_e (Krippendorff 2011, "Computing Krippendorff's alpha-reliability"): D_o is the mean squared
//! distance of two marks of one item, each item's pairs weighing 1 / (marks - 1); D_e that of any two marks of all.
//! Distances: nominal, 0 or 1; interval, the difference; ordinal, the number of marks between two, half of the ends'
//! included, which is the difference of their mean ranks. So the last two are sums of squares, and the whole takes
//! n log n. Items with one mark have no pair, and are left out.

use std::ops::Range;

use crate::bootstrap::Bootstrap;
use crate::marks::is_mark;
use crate::spread::Interval;
use crate::{Error, NoInterval};

/// What a distance between marks means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeasurementLevel {
    /// Marks are names: the same or not.
    Nominal,
    /// Marks are ranks.
    Ordinal,
    /// Marks are amounts.
    Interval,
}

/// Krippendorff's alpha.
#[derive(Clone, Debug, PartialEq)]
pub struct Alpha {
    /// 1 for perfect agreement, 0 for that of chance; below 0 for less.
    pub alpha: f64,
    pub level: MeasurementLevel,
    /// D_o and D_e, in squared units of the level.
    pub observed_disagreement: f64,
    pub expected_disagreement: f64,
    /// Items with two marks or more, and their marks.
    pub items: usize,
    pub marks: usize,
    /// Items with no mark or one.
    pub left_out: usize,
    /// Over other items and these raters, by [`Bootstrap`].
    pub interval: Result<Interval, NoInterval>,
}

/// Alpha of `items`, each with its raters' marks; none where a rater gave no mark. Who gave a mark does not matter.
///
/// # Errors
/// A mark that is not finite; no item with two marks; all marks the same, of which chance agreement is perfect.
pub fn krippendorff_alpha(
    items: &[Vec<Option<f64>>],
    level: MeasurementLevel,
    bootstrap: Bootstrap,
) -> Result<Alpha, Error> {
    let marks = Marks::new(items)?;
    let all: Vec<usize> = (0..marks.items.len()).collect();
    let why = "all marks are the same, so that they would agree by chance too";
    let (observed, expected) =
        marks.disagreement(&all, level).ok_or(Error::Undefined { what: "Krippendorff's alpha", why })?;
    let alpha_of = |places: &[usize]| marks.disagreement(places, level).map(|(seen, chance)| 1.0 - seen / chance);
    Ok(Alpha {
        alpha: 1.0 - observed / expected,
        level,
        observed_disagreement: observed,
        expected_disagreement: expected,
        items: marks.items.len(),
        marks: marks.codes.len(),
        left_out: items.len() - marks.items.len(),
        interval: bootstrap.interval("Krippendorff's alpha", all.len(), alpha_of),
    })
}

/// Marks as places in the list of distinct ones, item after item, ascending within each.
struct Marks {
    values: Vec<f64>,
    codes: Vec<usize>,
    items: Vec<Range<usize>>,
}

impl Marks {
    fn new(items: &[Vec<Option<f64>>]) -> Result<Self, Error> {
        let mut kept: Vec<Vec<f64>> = Vec::new();
        for (item, marks) in items.iter().enumerate() {
            for (rater, value) in marks.iter().enumerate().filter_map(|(rater, mark)| Some((rater, (*mark)?))) {
                if !is_mark(value) {
                    return Err(Error::MarkNotFinite { item, rater, value });
                }
            }
            // Adding 0 makes one of both zeros.
            let marks: Vec<f64> = marks.iter().flatten().map(|mark| mark + 0.0).collect();
            if marks.len() > 1 {
                kept.push(marks);
            }
        }
        if kept.is_empty() {
            let why = "no item has two marks; let two raters mark the same items";
            return Err(Error::Undefined { what: "Krippendorff's alpha", why });
        }
        let mut values: Vec<f64> = kept.iter().flatten().copied().collect();
        values.sort_by(f64::total_cmp);
        values.dedup();
        let mut codes = Vec::new();
        let mut ranges = Vec::with_capacity(kept.len());
        for marks in kept {
            let start = codes.len();
            codes.extend(marks.iter().map(|mark| values.partition_point(|value| value < mark)));
            codes[start..].sort_unstable();
            ranges.push(start..codes.len());
        }
        Ok(Self { values, codes, items: ranges })
    }

    /// Observed and expected disagreement of the items at `places`; none where all their marks are the same.
    fn disagreement(&self, places: &[usize], level: MeasurementLevel) -> Option<(f64, f64)> {
        let items = || places.iter().map(|place| &self.codes[self.items[*place].clone()]);
        let mut counts = vec![0.0; self.values.len()];
        items().flatten().for_each(|code| counts[*code] += 1.0);
        let n: f64 = counts.iter().sum();
        let (observed, expected) = match level {
            MeasurementLevel::Nominal => {
                let unlike = |codes: &[usize]| {
                    let alike: f64 = codes.chunk_by(|a, b| a == b).map(|run| (run.len() * run.len()) as f64).sum();
                    (codes.len() * codes.len()) as f64 - alike
                };
                let observed: f64 = items().map(|codes| unlike(codes) / (codes.len() as f64 - 1.0)).sum();
                let alike: f64 = counts.iter().map(|count| count * count).sum();
                (observed / n, (n * n - alike) / (n * (n - 1.0)))
            }
            MeasurementLevel::Ordinal => squared(items(), &mean_ranks(&counts), &counts),
            MeasurementLevel::Interval => squared(items(), &self.values, &counts),
        };
        (expected > 0.0).then_some((observed, expected))
    }
}

/// Disagreements of which the distance is a difference on `scale`: twice the sums of squares.
fn squared<'a>(items: impl Iterator<Item = &'a [usize]>, scale: &[f64], counts: &[f64]) -> (f64, f64) {
    let n: f64 = counts.iter().sum();
    let within = |codes: &[usize]| {
        let marks = codes.len() as f64;
        let mean = codes.iter().map(|code| scale[*code]).sum::<f64>() / marks;
        let squares: f64 = codes.iter().map(|code| (scale[*code] - mean).powi(2)).sum();
        2.0 * marks * squares / (marks - 1.0)
    };
    let mean = scale.iter().zip(counts).map(|(value, count)| value * count).sum::<f64>() / n;
    let squares: f64 = scale.iter().zip(counts).map(|(value, count)| count * (value - mean).powi(2)).sum();
    let one_value = counts.iter().filter(|count| **count > 0.0).count() < 2;
    let expected = if one_value { 0.0 } else { 2.0 * squares / (n - 1.0) };
    (items.map(within).sum::<f64>() / n, expected)
}

/// Of each value: the mean of the ranks that its marks take.
fn mean_ranks(counts: &[f64]) -> Vec<f64> {
    let mut before = 0.0;
    let rank = |count: &f64| {
        let rank = before + (count + 1.0) / 2.0;
        before += count;
        rank
    };
    counts.iter().map(rank).collect()
}
