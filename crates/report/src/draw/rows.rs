//! Pictures of a row for each arm on one axis: scores with intervals, and forgetting.

use plotters::prelude::*;
use plotters_backend::text_anchor::{HPos, VPos};

use super::axis::{self, Axis};
use super::canvas::{Area, Chart, FAINT, Frame, INK, UNIT, failed, picture, series, shortened, text};
use super::marks;
use crate::data::{Interval, Scope};
use crate::error::Error;

/// Sizes of such a picture, in pixels.
pub struct Layout {
    width: u32,
    row: u32,
    /// Room for names at the left; none where they stand above their rows.
    names: u32,
    /// Room for numbers at the right.
    numbers: u32,
    /// How far above the middle of the row its name stands.
    rise: i32,
    ticks: usize,
}

/// For a screen or paper.
pub const WIDE: Layout = Layout { width: 1072, row: 30, names: 310, numbers: 196, rise: 0, ticks: 6 };
/// For a telephone.
pub const NARROW: Layout = Layout { width: 350, row: 44, names: 14, numbers: 84, rise: 19, ticks: 4 };

const TEXT: u32 = 14;

/// A score on the picture of scores.
pub struct ScoreRow<'a> {
    pub name: &'a str,
    pub tuner: usize,
    pub mean: f64,
    pub interval: Option<Interval>,
    pub scope: Scope,
    pub letters: &'a str,
}

/// Losses on the picture of forgetting.
pub struct ForgettingRow<'a> {
    pub name: &'a str,
    pub tuner: usize,
    pub before: f64,
    pub after: f64,
}

/// Scores with their intervals; `scale` is what scores can be.
pub fn scores(layout: &Layout, label: &str, rows: &[ScoreRow], scale: (f64, f64)) -> Result<maud::Markup, Error> {
    let values = || {
        rows.iter()
            .flat_map(|row| [Some(row.mean), row.interval.map(|i| i.low), row.interval.map(|i| i.high)])
            .flatten()
    };
    let (least, greatest) = (values().fold(scale.0, f64::min), values().fold(scale.1, f64::max));
    let axis = Axis::linear(values(), layout.ticks).within(least, greatest);
    let names: Vec<&str> = rows.iter().map(|r| r.name).collect();
    let is_wide = layout.rise == 0;
    let numbers = rows.iter().map(|r| {
        let mean = crate::numbers::score(r.mean);
        let ends =
            |Interval { low, high }| format!("[{}, {}]", crate::numbers::score(low), crate::numbers::score(high));
        let interval = r.interval.map_or_else(String::new, ends);
        if is_wide { [mean, interval, r.letters.to_owned()] } else { [mean, String::new(), r.letters.to_owned()] }
    });
    draw(layout, label, &axis, &names, &numbers.collect::<Vec<_>>(), |chart, i, y| {
        let Some(row) = rows.get(i) else { return Ok(()) };
        if let Some(ends) = row.interval {
            interval(chart, row, ends, y, &axis)?;
        }
        marks::mark(chart, (row.mean, y), row.tuner)
    })
}

/// Losses before and after.
pub fn forgetting(layout: &Layout, label: &str, rows: &[ForgettingRow]) -> Result<maud::Markup, Error> {
    let axis = Axis::linear(rows.iter().flat_map(|r| [r.before, r.after]), layout.ticks);
    let names: Vec<&str> = rows.iter().map(|r| r.name).collect();
    let numbers = rows.iter().map(|r| [crate::numbers::signed(r.after - r.before), String::new(), String::new()]);
    draw(layout, label, &axis, &names, &numbers.collect::<Vec<_>>(), |chart, i, y| {
        let Some(row) = rows.get(i) else { return Ok(()) };
        marks::line(chart, (row.before, y), (row.after, y), series(row.tuner).stroke_width(25))?;
        marks::ring(chart, (row.before, y), row.tuner)?;
        marks::mark(chart, (row.after, y), row.tuner)
    })
}

/// A bar; in pieces where it is over items only.
fn interval(chart: &mut Chart<'_, '_>, row: &ScoreRow, ends: Interval, y: f64, axis: &Axis) -> Result<(), Error> {
    let Interval { low, high } = ends;
    let style = series(row.tuner).stroke_width(30);
    match row.scope {
        Scope::ItemsAndTrainings => marks::line(chart, (low, y), (high, y), style),
        Scope::ItemsOnly => {
            let step = (axis.high - axis.low) / 90.0;
            let pieces = ((high - low) / step).ceil().clamp(1.0, 200.0) as usize;
            (0..pieces).step_by(2).try_for_each(|piece| {
                let from = low + piece as f64 * step;
                marks::line(chart, (from, y), ((from + step).min(high), y), style)
            })
        }
    }
}

fn draw(
    layout: &Layout,
    label: &str,
    axis: &Axis,
    names: &[&str],
    numbers: &[[String; 3]],
    mut row: impl FnMut(&mut Chart<'_, '_>, usize, f64) -> Result<(), Error>,
) -> Result<maud::Markup, Error> {
    let count = names.len();
    let (top, bottom) = (6 + layout.rise as u32 / 2, 26);
    let frame = Frame {
        width: layout.width,
        height: count as u32 * layout.row + top + bottom,
        left: layout.names,
        right: layout.numbers,
        top,
        bottom,
        x: axis.low..axis.high,
        y: 0.0..count.max(1) as f64,
    };
    picture(&frame, label, |area, chart| {
        axis::horizontal(area, chart, axis, (0.0, count.max(1) as f64))?;
        for (i, name) in names.iter().enumerate() {
            let y = count as f64 - i as f64 - 0.5;
            write_name(layout, area, chart, axis, name, y)?;
            row(chart, i, y)?;
            let Some(numbers) = numbers.get(i) else { continue };
            write_numbers(layout, area, chart, axis, numbers, y)?;
        }
        Ok(())
    })
}

fn write_name(
    layout: &Layout,
    area: &Area<'_>,
    chart: &Chart<'_, '_>,
    axis: &Axis,
    name: &str,
    y: f64,
) -> Result<(), Error> {
    let (left, middle) = chart.backend_coord(&(axis.low, y));
    let (x, room, side) = match layout.rise {
        0 => (left - 14 * UNIT, layout.names - 16, HPos::Right),
        _ => (4 * UNIT, layout.width - 8, HPos::Left),
    };
    let name = shortened(name, TEXT, f64::from(room));
    let style = text(TEXT, INK, side, VPos::Center);
    area.draw_text(&name, &style, (x, middle - layout.rise * UNIT)).map_err(failed)
}

fn write_numbers(
    layout: &Layout,
    area: &Area<'_>,
    chart: &Chart<'_, '_>,
    axis: &Axis,
    numbers: &[String; 3],
    y: f64,
) -> Result<(), Error> {
    let (right, middle) = chart.backend_coord(&(axis.high, y));
    let letters_at = layout.width as i32 * UNIT - 4 * UNIT;
    let places =
        [(right + 14 * UNIT, INK, HPos::Left), (right + 62 * UNIT, FAINT, HPos::Left), (letters_at, INK, HPos::Right)];
    for (number, (x, color, side)) in numbers.iter().zip(places) {
        area.draw_text(number, &text(TEXT - 1, color, side, VPos::Center), (x, middle)).map_err(failed)?;
    }
    Ok(())
}
