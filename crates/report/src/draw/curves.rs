//! Loss curves: a small picture for each arm, on axes that all share.

use plotters::prelude::*;

use super::axis::{self, Axis};
use super::canvas::{Chart, Frame, failed, picture, series};
use super::marks;
use crate::data::{Curve, LossPoint};
use crate::error::Error;

/// Most points of a line that is drawn; more are averaged, since there are no more pixels.
const POINTS: usize = 120;

/// Held-out losses that are so few are rings: a line between two of them would say how the loss went in between.
const RINGS: usize = 12;

/// Shared axes, and what they leave out.
pub struct Axes {
    steps: Axis,
    losses: Axis,
    /// Points that lie higher than the picture.
    pub cut: usize,
    /// Where it ends.
    pub highest: f64,
}

/// Axes for all curves. The first steps of a training lie so high that they would flatten all others: the picture ends
/// at the 98th percentile of what is drawn, or at the highest held-out loss, and what lies above is counted.
pub fn axes(curves: &[Curve]) -> Axes {
    let held_out = curves.iter().flat_map(|c| &c.held_out).map(|p| p.loss).fold(f64::NEG_INFINITY, f64::max);
    let means = curves.iter().flat_map(|c| averaged(&c.training)).map(|p| p.1);
    let mut losses: Vec<f64> = means.collect();
    losses.sort_by(f64::total_cmp);
    let percentile = losses.get(losses.len() * 98 / 100).copied().unwrap_or(f64::NEG_INFINITY);
    let highest = percentile.max(held_out);
    let shown = losses.iter().copied().filter(|loss| *loss <= highest);
    let shown = shown.chain(curves.iter().flat_map(|c| &c.held_out).map(|p| p.loss));
    let losses_axis = Axis::linear(shown, 4);
    let cut = losses.iter().filter(|loss| **loss > losses_axis.high).count();
    let last = curves.iter().flat_map(|c| c.training.iter().chain(&c.held_out)).map(|p| p.step).max().unwrap_or(1);
    let steps = Axis::linear([0.0, last as f64].into_iter(), 4).within(0.0, last as f64);
    Axes { steps, highest: losses_axis.high, losses: losses_axis, cut }
}

/// One arm's curves.
pub fn curves(label: &str, curves: &[&Curve], tuner: usize, axes: &Axes) -> Result<maud::Markup, Error> {
    let (x, y) = (&axes.steps, &axes.losses);
    let frame =
        Frame { width: 320, height: 180, left: 36, right: 16, top: 8, bottom: 24, x: x.low..x.high, y: y.low..y.high };
    picture(&frame, label, |area, chart| {
        axis::horizontal(area, chart, x, (y.low, y.high))?;
        axis::vertical(area, chart, y, (x.low, x.high))?;
        for curve in curves {
            line(chart, averaged(&curve.training), axes.highest, series(tuner).mix(0.5).stroke_width(10))?;
        }
        for curve in curves {
            if curve.held_out.len() > RINGS {
                line(chart, averaged(&curve.held_out), axes.highest, series(tuner).stroke_width(25))?;
                continue;
            }
            for point in curve.held_out.iter().filter(|point| point.loss <= axes.highest) {
                marks::ring(chart, (point.step as f64, point.loss), tuner)?;
            }
        }
        Ok(())
    })
}

fn line(chart: &mut Chart<'_, '_>, points: Vec<(f64, f64)>, highest: f64, style: ShapeStyle) -> Result<(), Error> {
    let shown: Vec<(f64, f64)> = points.into_iter().filter(|p| p.1 <= highest).collect();
    chart.draw_series([PathElement::new(shown, style)]).map_err(failed)?;
    Ok(())
}

/// Means of as many neighbours as leave [`POINTS`] points.
fn averaged(points: &[LossPoint]) -> Vec<(f64, f64)> {
    let each = points.len().div_ceil(POINTS).max(1);
    let mean = |part: &[LossPoint]| {
        let count = part.len() as f64;
        (part.iter().map(|p| p.step as f64).sum::<f64>() / count, part.iter().map(|p| p.loss).sum::<f64>() / count)
    };
    points.chunks(each).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_curves_are_averaged_and_their_high_beginning_is_cut_and_counted() {
        let loss = |step: u64| if step < 5 { 9.0 } else { 2.0 - step as f64 / 2000.0 };
        let training: Vec<LossPoint> = (0..1000).map(|step| LossPoint { step, loss: loss(step) }).collect();
        let means = averaged(&training);
        assert_eq!(means.len(), 112);
        let mean = means.iter().map(|p| p.1).sum::<f64>() / means.len() as f64;
        assert!((mean - 1.78).abs() < 0.02, "{mean}");
        let axes = axes(&[Curve { training, ..Curve::default() }]);
        assert_eq!(axes.cut, 1);
        assert!(axes.highest < 3.0, "{}", axes.highest);
    }
}
