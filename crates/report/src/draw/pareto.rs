//! Score against what it costs, with the front of those that no other beats in both.

use plotters::prelude::*;
use plotters_backend::text_anchor::{HPos, VPos};

use super::axis::{self, Axis};
use super::canvas::{Area, Chart, FAINT, Frame, INK, UNIT, failed, picture, series, text, text_width};
use super::marks;
use crate::data::Interval;
use crate::error::Error;

/// An arm on the picture.
pub struct Point<'a> {
    pub name: &'a str,
    /// Its number in the table of arms.
    pub number: usize,
    pub tuner: usize,
    pub cost: f64,
    pub mean: f64,
    pub interval: Option<Interval>,
}

/// Sizes, in pixels.
pub struct Layout {
    width: u32,
    height: u32,
    ticks: usize,
}

/// For a screen or paper.
pub const WIDE: Layout = Layout { width: 1072, height: 440, ticks: 6 };
/// For a telephone.
pub const NARROW: Layout = Layout { width: 350, height: 300, ticks: 3 };

/// How costs are laid out.
pub enum Costs {
    /// From zero.
    Linear,
    /// By powers of ten, whose labels the function makes.
    Logarithmic(fn(f64) -> String),
}

const TEXT: u32 = 13;

/// Draws it. Points with names where there is room, else with their numbers.
pub fn pareto(layout: &Layout, label: &str, points: &[Point], costs: &Costs) -> Result<maud::Markup, Error> {
    let x = match costs {
        Costs::Linear => Axis::linear(points.iter().map(|p| p.cost).chain([0.0]), layout.ticks),
        Costs::Logarithmic(show) => Axis::logarithmic(points.iter().map(|p| p.cost), show),
    };
    let ends = points.iter().filter_map(|p| p.interval).flat_map(|ends| [ends.low, ends.high]);
    let y = Axis::linear(points.iter().map(|p| p.mean).chain(ends), 5);
    let frame = Frame {
        width: layout.width,
        height: layout.height,
        left: 50,
        right: 24,
        top: 12,
        bottom: 28,
        x: x.low..x.high,
        y: y.low..y.high,
    };
    picture(&frame, label, |area, chart| {
        axis::horizontal(area, chart, &x, (y.low, y.high))?;
        axis::vertical(area, chart, &y, (x.low, x.high))?;
        let corners: Vec<(f64, f64)> = front(points).iter().map(|p| (x.place(p.cost), p.mean)).collect();
        chart.draw_series([PathElement::new(corners, FAINT.mix(0.55).stroke_width(15))]).map_err(failed)?;
        for point in points {
            let (place, Some(ends)) = (x.place(point.cost), point.interval) else { continue };
            let style = series(point.tuner).mix(0.45).stroke_width(15);
            marks::line(chart, (place, ends.low), (place, ends.high), style)?;
        }
        for point in points {
            marks::mark(chart, (x.place(point.cost), point.mean), point.tuner)?;
        }
        name_points(layout, area, chart, points, &x)
    })
}

/// Those that no other is at most as costly and better than, cheapest first.
pub fn front<'p, 'a>(points: &'p [Point<'a>]) -> Vec<&'p Point<'a>> {
    let mut sorted: Vec<&Point> = points.iter().collect();
    sorted.sort_by(|a, b| a.cost.total_cmp(&b.cost).then(b.mean.total_cmp(&a.mean)));
    let mut best = f64::NEG_INFINITY;
    sorted.retain(|p| {
        let is_better = p.mean > best;
        best = best.max(p.mean);
        is_better
    });
    sorted
}

/// A rectangle in pixels: left, top, right, bottom.
type Box4 = [f64; 4];

fn overlap(a: &Box4, b: &Box4) -> bool {
    a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]
}

/// Boxes along the front's line, so that labels keep off it where they can.
fn along(front: &[(f64, f64)]) -> Vec<Box4> {
    let steps = |pair: &[(f64, f64)]| match pair {
        [(x0, y0), (x1, y1)] => {
            let count = ((x1 - x0).abs().max((y1 - y0).abs()) / 6.0).ceil().max(1.0) as usize;
            let at = |i: usize| i as f64 / count as f64;
            let (x0, y0, dx, dy) = (*x0, *y0, x1 - x0, y1 - y0);
            (0..=count).map(|i| (x0 + dx * at(i), y0 + dy * at(i))).collect()
        }
        _ => Vec::new(),
    };
    front.windows(2).flat_map(steps).map(|(x, y)| [x - 1.0, y - 1.0, x + 1.0, y + 1.0]).collect()
}

fn name_points(
    layout: &Layout,
    area: &Area<'_>,
    chart: &Chart<'_, '_>,
    points: &[Point],
    x: &Axis,
) -> Result<(), Error> {
    let unit = f64::from(UNIT);
    let center = |point: &Point| {
        let (x, y) = chart.backend_coord(&(x.place(point.cost), point.mean));
        (f64::from(x) / unit, f64::from(y) / unit)
    };
    let page: Box4 = [44.0, 2.0, f64::from(layout.width) - 2.0, f64::from(layout.height) - 28.0];
    let inside = |b: &Box4| b[0] >= page[0] && b[1] >= page[1] && b[2] <= page[2] && b[3] <= page[3];
    let around = |(x, y): (f64, f64)| [x - 7.0, y - 7.0, x + 7.0, y + 7.0];
    let mut taken: Vec<Box4> = points.iter().map(|point| around(center(point))).collect();
    // The front first: its names matter most.
    let front = front(points);
    let line = along(&front.iter().map(|point| center(point)).collect::<Vec<_>>());
    let is_on_front = |point: &Point| front.iter().any(|p| p.number == point.number);
    let mut order: Vec<&Point> = points.iter().collect();
    order.sort_by_key(|point| (!is_on_front(point), point.number));
    for point in order {
        let number = point.number.to_string();
        let at = |name, color| places(name, center(point)).map(|(area, side)| (name, color, area, side));
        let is_free = |b: &Box4| inside(b) && !taken.iter().any(|t| overlap(t, b));
        let is_clear = |b: &Box4| is_free(b) && !line.iter().any(|t| overlap(t, b));
        let named = at(point.name, INK);
        let numbered = at(number.as_str(), FAINT);
        // Where nothing is free the number stands over others: better crowded than nameless.
        let found = (named.iter().find(|label| is_clear(&label.2)))
            .or_else(|| numbered.iter().find(|label| is_clear(&label.2)))
            .or_else(|| numbered.iter().find(|label| is_free(&label.2)))
            .or(numbered.first());
        let Some((name, color, box4, side)) = found else { continue };
        let x = if matches!(side, HPos::Right) { box4[2] } else { box4[0] };
        let at = ((x * unit) as i32, ((box4[1] + box4[3]) / 2.0 * unit) as i32);
        area.draw_text(name, &text(TEXT, *color, *side, VPos::Center), at).map_err(failed)?;
        taken.push(*box4);
    }
    Ok(())
}

/// Where a label may stand about a point, best first, and which of its ends is fixed.
fn places(label: &str, (x, y): (f64, f64)) -> [(Box4, HPos); 8] {
    let (width, half) = (text_width(label, TEXT), f64::from(TEXT) * 0.6);
    let at = |left: f64, middle: f64| [left, middle - half, left + width, middle + half];
    [
        (at(x + 11.0, y), HPos::Left),
        (at(x - 11.0 - width, y), HPos::Right),
        (at(x + 8.0, y - 13.0), HPos::Left),
        (at(x + 8.0, y + 13.0), HPos::Left),
        (at(x - 8.0 - width, y - 13.0), HPos::Right),
        (at(x - 8.0 - width, y + 13.0), HPos::Right),
        (at(x + 8.0, y - 26.0), HPos::Left),
        (at(x + 8.0, y + 26.0), HPos::Left),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_holds_those_that_none_beats_in_both() {
        let costs = [(1.0, 0.2), (2.0, 0.5), (2.0, 0.4), (3.0, 0.5), (4.0, 0.6), (0.5, 0.1)];
        let point = |(number, (cost, mean)): (usize, &(f64, f64))| Point {
            name: "",
            number,
            tuner: 0,
            cost: *cost,
            mean: *mean,
            interval: None,
        };
        let points: Vec<Point> = costs.iter().enumerate().map(point).collect();
        let numbers: Vec<usize> = front(&points).iter().map(|p| p.number).collect();
        assert_eq!(numbers, [5, 0, 1, 4]);
    }
}
