//! Axes: round ticks, plain or logarithmic, and their lines across a picture.

use plotters::prelude::*;
use plotters_backend::text_anchor::{HPos, VPos};

use super::canvas::{Area, Chart, FAINT, GRID, UNIT, failed, text};
use crate::error::Error;

/// From where to where, and what is marked; places are those of [`Axis::place`].
pub struct Axis {
    pub low: f64,
    pub high: f64,
    pub ticks: Vec<(f64, String)>,
    is_logarithmic: bool,
}

impl Axis {
    /// A linear axis over the values, widened to whole ticks, about `wanted` of them.
    pub fn linear(values: impl Iterator<Item = f64>, wanted: usize) -> Self {
        let (least, most) = range(values);
        let step = round_step((most - least) / wanted.max(1) as f64);
        let (first, last) = ((least / step + 1e-9).floor(), (most / step - 1e-9).ceil());
        let decimals = (-step.log10().floor()).clamp(0.0, 9.0) as usize;
        let count = (last - first).max(1.0) as usize;
        let ticks = (0..=count).map(|i| (first + i as f64) * step);
        let ticks = ticks.map(|v| (v, crate::numbers::fixed(v, decimals))).collect();
        Self { low: first * step, high: (first + count as f64) * step, ticks, is_logarithmic: false }
    }

    /// A logarithmic axis over positive values, marked at powers of ten, and between them where these are few.
    pub fn logarithmic(values: impl Iterator<Item = f64>, label: impl Fn(f64) -> String) -> Self {
        let (least, most) = range(values.map(|v| v.max(f64::MIN_POSITIVE).log10()));
        let margin = 0.08 * (most - least);
        let (low, high) = (least - margin, most + margin);
        let marks: &[f64] = match high - low {
            decades if decades > 4.0 => &[1.0],
            decades if decades > 1.8 => &[1.0, 3.0],
            _ => &[1.0, 2.0, 5.0],
        };
        let powers = low.floor() as i32..=high.ceil() as i32;
        let ticks = powers.flat_map(|power| marks.iter().map(move |mark| mark * 10f64.powi(power)));
        let ticks = ticks.map(|v| (v.log10(), label(v))).filter(|(place, _)| (low..=high).contains(place)).collect();
        Self { low, high, ticks, is_logarithmic: true }
    }

    /// Where a value lies.
    pub fn place(&self, value: f64) -> f64 {
        if self.is_logarithmic { value.max(f64::MIN_POSITIVE).log10() } else { value }
    }

    /// The same axis, beginning no lower and ending no higher than the ticks that lie in `low..=high`.
    pub fn within(mut self, low: f64, high: f64) -> Self {
        self.low = self.low.max(low);
        self.high = self.high.min(high);
        let slack = 1e-9 * (self.high - self.low).abs();
        self.ticks.retain(|(place, _)| *place >= self.low - slack && *place <= self.high + slack);
        self
    }
}

/// Lines up from the ticks of a horizontal axis, and their labels below.
pub fn horizontal(area: &Area<'_>, chart: &mut Chart<'_, '_>, axis: &Axis, y: (f64, f64)) -> Result<(), Error> {
    let style = text(12, FAINT, HPos::Center, VPos::Top);
    for (place, label) in &axis.ticks {
        line(chart, (*place, y.0), (*place, y.1))?;
        let (px, py) = chart.backend_coord(&(*place, y.0));
        area.draw_text(label, &style, (px, py + 5 * UNIT)).map_err(failed)?;
    }
    Ok(())
}

/// Lines across from the ticks of a vertical axis, and their labels at the left.
pub fn vertical(area: &Area<'_>, chart: &mut Chart<'_, '_>, axis: &Axis, x: (f64, f64)) -> Result<(), Error> {
    let style = text(12, FAINT, HPos::Right, VPos::Center);
    for (place, label) in &axis.ticks {
        line(chart, (x.0, *place), (x.1, *place))?;
        let (px, py) = chart.backend_coord(&(x.0, *place));
        area.draw_text(label, &style, (px - 6 * UNIT, py)).map_err(failed)?;
    }
    Ok(())
}

fn line(chart: &mut Chart<'_, '_>, from: (f64, f64), to: (f64, f64)) -> Result<(), Error> {
    let path = PathElement::new(vec![from, to], GRID.stroke_width(UNIT as u32));
    chart.draw_series([path]).map_err(failed)?;
    Ok(())
}

/// Least and greatest; apart by something, so that an axis has a length.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (least, most) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    if least > most {
        return (0.0, 1.0);
    }
    let least_width = 1e-6_f64.max(most.abs() * 1e-3);
    if most - least < least_width { (least - least_width, most + least_width) } else { (least, most) }
}

/// 1, 2 or 5 times a power of ten, not below `step`.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    [1.0, 2.0, 5.0].iter().map(|m| m * power).find(|s| *s >= step * 0.999).unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|t| t.1.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_and_enclose_the_values() {
        let axis = Axis::linear([0.213, 0.437].into_iter(), 5);
        assert_eq!(labels(&axis), ["0.20", "0.25", "0.30", "0.35", "0.40", "0.45"]);
        assert_eq!(labels(&Axis::linear([0.0, 12.0].into_iter(), 4)), ["0", "5", "10", "15"]);
        for values in [vec![], vec![3.0], vec![-1.0, 1.0], vec![1e-9, 1e9], vec![0.0]] {
            let axis = Axis::linear(values.iter().copied(), 5);
            assert!(axis.low < axis.high && axis.ticks.len() < 12, "{values:?}");
            assert!(values.iter().all(|v| (axis.low..=axis.high).contains(v)), "{values:?}");
        }
    }

    #[test]
    fn logarithms_are_marked_at_powers_or_within_them() {
        let show = |v: f64| format!("{v}");
        assert_eq!(labels(&Axis::logarithmic([3.0, 30.0].into_iter(), show)), ["5", "10", "20"]);
        assert_eq!(labels(&Axis::logarithmic([3.0, 30000.0].into_iter(), show)), ["10", "100", "1000", "10000"]);
        let axis = Axis::logarithmic([0.0, 1.0].into_iter(), show);
        assert!(axis.low.is_finite() && axis.high.is_finite());
    }
}
