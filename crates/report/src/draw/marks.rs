//! Marks of a series: a shape as well as a color, so that neither is needed alone.

use plotters::prelude::*;

use super::canvas::{Chart, Frame, PAPER, SERIES, UNIT, failed, picture, series};
use crate::error::Error;

const SHAPES: usize = 4;

/// Shape of a series: with its color, alike only after 32 series.
fn corners(number: usize) -> &'static [(i32, i32)] {
    const SQUARE: &[(i32, i32)] = &[(-5, -5), (5, -5), (5, 5), (-5, 5)];
    const TRIANGLE: &[(i32, i32)] = &[(0, -7), (6, 5), (-6, 5)];
    const DIAMOND: &[(i32, i32)] = &[(0, -7), (7, 0), (0, 7), (-7, 0)];
    match (number + number / SERIES) % SHAPES {
        1 => SQUARE,
        2 => TRIANGLE,
        3 => DIAMOND,
        _ => &[],
    }
}

/// A filled mark at a value, with an edge of paper so that lines beneath keep off.
pub fn mark(chart: &mut Chart<'_, '_>, at: (f64, f64), number: usize) -> Result<(), Error> {
    let corners = corners(number);
    if corners.is_empty() {
        let discs = [(7, PAPER), (5, series(number))];
        let discs = discs.map(|(radius, color)| Circle::new(at, radius * UNIT, color.filled()));
        chart.draw_series(discs).map_err(failed)?;
        return Ok(());
    }
    let scaled = |by: i32| corners.iter().map(|(x, y)| (x * by, y * by)).collect::<Vec<_>>();
    for (points, color) in [(scaled(UNIT * 13 / 10), PAPER), (scaled(UNIT), series(number))] {
        let shape = EmptyElement::at(at) + Polygon::new(points, color.filled());
        chart.draw_series([shape]).map_err(failed)?;
    }
    Ok(())
}

/// A series' mark by itself, to stand beside its name.
pub fn sample(label: &str, number: usize) -> Result<maud::Markup, Error> {
    let frame = Frame { width: 16, height: 16, left: 0, right: 0, top: 0, bottom: 0, x: 0.0..1.0, y: 0.0..1.0 };
    picture(&frame, label, |_, chart| mark(chart, (0.5, 0.5), number))
}

/// A ring at a value.
pub fn ring(chart: &mut Chart<'_, '_>, at: (f64, f64), number: usize) -> Result<(), Error> {
    chart.draw_series([Circle::new(at, 6 * UNIT, PAPER.filled())]).map_err(failed)?;
    chart.draw_series([Circle::new(at, 45, series(number).stroke_width(20))]).map_err(failed)?;
    Ok(())
}

/// A line between two values.
pub fn line(
    chart: &mut Chart<'_, '_>,
    from: (f64, f64),
    to: (f64, f64),
    style: impl Into<ShapeStyle>,
) -> Result<(), Error> {
    chart.draw_series([PathElement::new(vec![from, to], style)]).map_err(failed)?;
    Ok(())
}
