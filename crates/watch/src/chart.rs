//! The losses of one training as a chart.

use ratatui::layout::Constraint;
use ratatui::style::{Color, Style, Stylize as _};
use ratatui::symbols::Marker;
use ratatui::widgets::{Axis, Chart, Dataset, GraphType};

use crate::state::Row;
use crate::text;

/// The points of a chart and what they span.
pub struct Curves {
    loss: Vec<(f64, f64)>,
    smoothed: Vec<(f64, f64)>,
    held_out: Vec<(f64, f64)>,
    steps: [f64; 2],
    losses: [f64; 2],
}

/// No terminal has more dots beside each other; of more steps, as many are drawn, evenly chosen.
const MOST_POINTS: usize = 1000;

impl Curves {
    /// Of a row's training, once it has a loss.
    pub fn of(row: &Row<'_>) -> Option<Self> {
        let log = row.training?;
        let curve = log.curve();
        let every = curve.len().div_ceil(MOST_POINTS).max(1);
        let last = curve.len().checked_sub(1);
        let chosen =
            curve.iter().enumerate().filter(|(i, _)| i % every == 0 || Some(*i) == last).map(|(_, point)| point);
        let (mut loss, mut smoothed) = (Vec::new(), Vec::new());
        for (step, value, mean) in chosen {
            loss.push((*step, *value));
            smoothed.push((*step, *mean));
        }
        let held_out = log.held_out().filter_map(|point| Some((point.step as f64, point.loss?)));
        let held_out: Vec<(f64, f64)> = held_out.filter(|point| point.1.is_finite()).collect();
        let all = || loss.iter().chain(&held_out);
        all().next()?;
        let (least, most) =
            all().fold((f64::MAX, f64::MIN), |(least, most), point| (least.min(point.1), most.max(point.1)));
        let margin = ((most - least) * 0.05).max(least.abs() * 0.001).max(1e-6);
        let end = all().map(|point| point.0).fold(1.0, f64::max).max(row.training_total.unwrap_or(0) as f64);
        Some(Self { steps: [0.0, end], losses: [least - margin, most + margin], loss, smoothed, held_out })
    }

    /// What is drawn.
    pub fn chart(&self) -> Chart<'_> {
        let line = |name: &'static str, points, marker, style: Style| {
            Dataset::default().name(name).data(points).marker(marker).style(style)
        };
        let mut sets = vec![
            line("loss", &self.loss, Marker::Braille, Style::new().fg(Color::DarkGray)).graph_type(GraphType::Scatter),
            line("smoothed", &self.smoothed, Marker::Braille, Style::new().fg(Color::Cyan)).graph_type(GraphType::Line),
        ];
        if !self.held_out.is_empty() {
            sets.push(
                line("held out", &self.held_out, Marker::Dot, Style::new().fg(Color::Yellow))
                    .graph_type(GraphType::Scatter),
            );
        }
        let losses = [self.losses[0], (self.losses[0] + self.losses[1]) / 2.0, self.losses[1]].map(text::loss);
        let steps = ["0".to_owned(), format!("step {}", self.steps[1])];
        let half = Constraint::Ratio(1, 2);
        Chart::new(sets)
            .hidden_legend_constraints((half, half))
            .x_axis(Axis::default().bounds(self.steps).labels(steps).dim())
            .y_axis(Axis::default().bounds(self.losses).labels(losses).dim())
    }
}
