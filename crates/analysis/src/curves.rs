//! How the loss fell: its mean over each tenth of a run, and a line to see it by.

use std::collections::BTreeMap;
use std::path::Path;

use tunebench_spec::StepLog;

use crate::error::Result;
use crate::run::Run;
use crate::table::{Cell, Table};

/// Characters of the small line.
const LINE_WIDTH: usize = 32;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Stands for a loss that is no number.
const BROKEN: char = '×';

/// Loss in nats per label token, one row per training that stands for its arm. All lines share one scale, so that their
/// heights compare.
///
/// # Errors
/// When `dir` is not a run folder, or its arms or steps are missing or damaged.
pub fn curves(dir: &Path) -> Result<Vec<Table>> {
    let run = Run::open(dir)?;
    let steps: Vec<StepLog> = run.frames.read()?;
    let arms = run.in_order(steps.iter().map(|step| step.arm.as_str()));
    let trainings: Vec<Training> = arms.iter().flat_map(|arm| trainings_of(&run, &steps, arm)).collect();
    let lines: Vec<Vec<f64>> = trainings.iter().map(|t| means(&t.losses, t.losses.len().min(LINE_WIDTH))).collect();
    let scale = Scale::of(lines.iter().flatten());

    let tenths: Vec<String> = (1..=10).map(|tenth| format!("{}%", tenth * 10)).collect();
    let head = [("arm", 0), ("seed", 0), ("steps", 0)];
    let columns = head.into_iter().chain(tenths.iter().map(|name| (name.as_str(), 4))).chain([("curve", 0)]);
    let mut table = Table::new("Mean loss by tenth of the run", &columns.collect::<Vec<_>>());
    for (training, line) in trainings.iter().zip(&lines) {
        let mut row: Vec<Cell> = vec![training.arm.into(), training.seed.into(), training.losses.len().into()];
        row.extend(means_or_missing(&training.losses, 10));
        row.push(line.iter().map(|loss| scale.bar(*loss)).collect::<String>().into());
        table.rows.push(row);
    }
    table
        .notes
        .push(format!("curve: from {:.4} (lowest) to {:.4} (highest), one scale for all arms.", scale.low, scale.high));
    let n_losing: usize = run.arms.iter().map(|arm| arm.losing.len()).sum();
    if n_losing > 0 {
        table.notes.push(format!("{n_losing} candidates that a grid did not choose are left out."));
    }
    Ok(vec![table])
}

/// A training's losses in the order of its steps.
struct Training<'a> {
    arm: &'a str,
    seed: u64,
    losses: Vec<f64>,
}

fn trainings_of<'a>(run: &Run, steps: &'a [StepLog], arm: &'a str) -> Vec<Training<'a>> {
    let is_losing = |step: &&StepLog| {
        let losing = run.arm(arm).map_or(&[][..], |arm| &arm.losing);
        losing.iter().any(|training| training.candidate == step.candidate)
    };
    let mut by_seed: BTreeMap<u64, Vec<&StepLog>> = BTreeMap::new();
    for step in steps.iter().filter(|step| step.arm == arm && !is_losing(step)) {
        by_seed.entry(step.seed).or_default().push(step);
    }
    let training = |(seed, mut steps): (u64, Vec<&StepLog>)| {
        steps.sort_by_key(|step| step.step);
        Training { arm, seed, losses: steps.into_iter().map(|step| step.loss).collect() }
    };
    by_seed.into_iter().map(training).collect()
}

/// The values cut into `n` equal parts, in order; a part is empty when there are fewer values than parts.
fn parts(values: &[f64], n: usize) -> impl Iterator<Item = &[f64]> {
    (0..n).map(move |i| &values[i * values.len() / n..(i + 1) * values.len() / n])
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn means(values: &[f64], n: usize) -> Vec<f64> {
    parts(values, n).map(mean).collect()
}

fn means_or_missing(values: &[f64], n: usize) -> impl Iterator<Item = Cell> {
    parts(values, n).map(|part| (!part.is_empty()).then(|| mean(part)).into())
}

/// The range that the bars span.
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    fn of<'a>(values: impl Iterator<Item = &'a f64>) -> Self {
        let finite: Vec<f64> = values.copied().filter(|value| value.is_finite()).collect();
        let low = finite.iter().copied().reduce(f64::min).unwrap_or(0.0);
        let high = finite.iter().copied().reduce(f64::max).unwrap_or(0.0);
        Self { low, high }
    }

    fn bar(&self, value: f64) -> char {
        if !value.is_finite() {
            return BROKEN;
        }
        let span = self.high - self.low;
        let height = if span > 0.0 { (value - self.low) / span } else { 0.0 };
        BARS[((height * BARS.len() as f64) as usize).min(BARS.len() - 1)]
    }
}
