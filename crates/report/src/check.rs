//! What must hold of a report before it is drawn: finite numbers, intervals around their means, names that are known.

use std::collections::BTreeMap;

use crate::data::{Interval, ItemAnswers, Report};
use crate::error::Error;

/// Names to their places in a list of unique names.
pub struct Names {
    kind: &'static str,
    places: BTreeMap<String, Vec<usize>>,
}

impl Names {
    /// Of a list.
    pub fn new<'a>(kind: &'static str, names: impl Iterator<Item = &'a str>) -> Self {
        let mut places: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (place, name) in names.enumerate() {
            places.entry(name.to_owned()).or_default().push(place);
        }
        Self { kind, places }
    }

    /// Where a name stands.
    pub fn find(&self, name: &str, used_in: impl FnOnce() -> String) -> Result<usize, Error> {
        match self.places.get(name).map(Vec::as_slice) {
            Some([place]) => Ok(*place),
            found => {
                let count = found.map_or(0, <[usize]>::len);
                Err(Error::Name { place: used_in(), kind: self.kind, name: name.to_owned(), count })
            }
        }
    }
}

/// Everything but the answers.
pub fn check(report: &Report) -> Result<(), Error> {
    let scale = report.scale;
    if scale.low >= scale.high || !scale.low.is_finite() || !scale.high.is_finite() {
        return Err(Error::Scale { low: scale.low, high: scale.high });
    }
    let arms = Names::new("arm", report.arms.iter().map(|a| a.name.as_str()));
    for judge in &report.judges {
        Names::new("judge", report.judges.iter().map(String::as_str)).find(judge, || "judges".to_owned())?;
    }
    check_arms(report, &arms)?;
    for pair in &report.pairs {
        let place = || format!("pair {:?} and {:?}", pair.first, pair.second);
        arms.find(&pair.first, place)?;
        arms.find(&pair.second, place)?;
        enclosed(place, pair.difference, pair.interval)?;
        pair.adjusted_p.map_or(Ok(()), |p| finite(place, p))?;
    }
    for score in &report.categories {
        let place = || format!("category {:?}, arm {:?}", score.category, score.arm);
        arms.find(&score.arm, place)?;
        enclosed(place, score.mean, score.interval)?;
    }
    for curve in &report.curves {
        let place = || format!("curve of arm {:?}, seed {}", curve.arm, curve.seed);
        arms.find(&curve.arm, place)?;
        curve.training.iter().chain(&curve.held_out).try_for_each(|point| finite(place, point.loss))?;
    }
    for candidate in &report.candidates {
        let place = || format!("candidate {:?} of arm {:?}", candidate.candidate, candidate.arm);
        arms.find(&candidate.arm, place)?;
        candidate.held_out_nats_per_token.map_or(Ok(()), |loss| finite(place, loss))?;
    }
    check_tables(report)
}

fn check_arms(report: &Report, arms: &Names) -> Result<(), Error> {
    for arm in &report.arms {
        let place = || format!("arm {:?}", arm.name);
        arms.find(&arm.name, place)?;
        if let Some(score) = arm.score {
            enclosed(place, score.mean, score.interval)?;
        }
        let losses = arm.forgetting.map(|f| [f.before_bits_per_byte, f.after_bits_per_byte]);
        let numbers = [arm.train_hours, arm.cost_usd, arm.held_out_nats_per_token, arm.held_out_bits_per_byte];
        numbers.into_iter().flatten().chain(losses.into_iter().flatten()).try_for_each(|v| finite(place, v))?;
    }
    Ok(())
}

fn check_tables(report: &Report) -> Result<(), Error> {
    for table in report.tables.iter().chain(&report.judge_tables).chain(&report.pair_tables) {
        for (i, row) in table.rows.iter().enumerate() {
            let (cells, columns) = (row.len(), table.columns.len());
            if cells != columns {
                return Err(Error::Row { table: table.title.en.clone(), row: i + 1, cells, columns });
            }
            let place = || format!("table {:?}, row {}", table.title.en, i + 1);
            row.iter().filter_map(|cell| cell.value).try_for_each(|value| finite(place, value))?;
        }
    }
    Ok(())
}

/// The scores of an item.
pub fn check_item(item: &ItemAnswers) -> Result<(), Error> {
    let judgements = item.answers.iter().flat_map(|answer| &answer.judgements);
    let mut scores = judgements.filter_map(|judgement| judgement.score);
    scores.try_for_each(|score| finite(|| format!("a judgement of item {:?}", item.id), score))
}

fn finite(place: impl Fn() -> String, value: f64) -> Result<(), Error> {
    if value.is_finite() { Ok(()) } else { Err(Error::NotFinite { place: place(), value }) }
}

fn enclosed(place: impl Fn() -> String, mean: f64, interval: Option<Interval>) -> Result<(), Error> {
    let Some(Interval { low, high }) = interval else { return finite(place, mean) };
    [mean, low, high].into_iter().try_for_each(|value| finite(&place, value))?;
    // Ends computed by another sum than the mean may differ from it by rounding.
    let slack = 1e-9 * (1.0 + mean.abs());
    if low <= mean + slack && mean <= high + slack {
        return Ok(());
    }
    Err(Error::Interval { place: place(), mean, low, high })
}
