//! How the loss fell: its mean over each tenth of a run, and a line to see it by.

use std::collections::BTreeMap;
use std::path::Path;

use tunebench_spec::records::HELD_OUT;
use tunebench_spec::{LossLog, StepLog};

use crate::error::Result;
use crate::run::Run;
use crate::table::{Cell, Table};
use crate::tried;

/// Characters of the small line.
const LINE_WIDTH: usize = 32;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Stands for a loss that is no number.
const BROKEN: char = '×';

/// The losses of one training that stands for its arm, in nats per label token, by step.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingCurve {
    pub arm: String,
    pub seed: u64,
    /// In the order of the steps.
    pub training: Vec<(u64, f64)>,
    /// On the rows kept from training; step 0 is the plain base.
    pub held_out: Vec<(u64, f64)>,
}

/// Training loss, one row per training that stands for its arm, all lines on one scale, so that their heights compare; then
/// what the grids tried.
///
/// # Errors
/// When `dir` is not a run folder, its arms or steps are missing, or a frame is damaged.
pub fn curves(dir: &Path) -> Result<Vec<Table>> {
    let run = Run::open(dir)?;
    let steps: Vec<StepLog> = run.frames.read()?;
    let losses: Vec<LossLog> = run.so_far()?;
    let mut tables = vec![training_table(&run, &training_curves(&run, &steps, &losses))];
    tables.extend(tried::table(&tried::tried(&run, &losses)));
    Ok(tables)
}

/// Of each training that stands for its arm, in the study's order and that of seeds.
pub fn training_curves(run: &Run, steps: &[StepLog], losses: &[LossLog]) -> Vec<TrainingCurve> {
    let mut by_training: BTreeMap<(&str, u64), TrainingCurve> = BTreeMap::new();
    let is_losing = |arm: &str, candidate: &str| {
        run.arm(arm).is_some_and(|arm| arm.losing.iter().any(|training| training.candidate == candidate))
    };
    for step in steps.iter().filter(|step| !is_losing(&step.arm, &step.candidate)) {
        let empty =
            || TrainingCurve { arm: step.arm.clone(), seed: step.seed, training: Vec::new(), held_out: Vec::new() };
        let curve = by_training.entry((&step.arm, step.seed)).or_insert_with(empty);
        curve.training.push((step.step, step.loss));
    }
    for loss in losses.iter().filter(|loss| loss.set == HELD_OUT && !is_losing(&loss.arm, &loss.candidate)) {
        if let Some(curve) = by_training.get_mut(&(loss.arm.as_str(), loss.seed)) {
            curve.held_out.push((loss.step, loss.loss));
        }
    }
    let order = run.in_order(by_training.keys().map(|(arm, _)| *arm));
    let of_arm = |arm: &&str| by_training.range((*arm, 0)..=(*arm, u64::MAX)).map(|(_, curve)| curve.clone()).collect();
    let mut curves: Vec<TrainingCurve> = order.iter().flat_map(|arm| -> Vec<TrainingCurve> { of_arm(arm) }).collect();
    for curve in &mut curves {
        curve.training.sort_by_key(|(step, _)| *step);
        curve.held_out.sort_by_key(|(step, _)| *step);
        // The state that became the result is measured on the way, and named once more.
        curve.held_out.dedup_by_key(|(step, _)| *step);
    }
    curves
}

fn training_table(run: &Run, curves: &[TrainingCurve]) -> Table {
    let losses: Vec<Vec<f64>> =
        curves.iter().map(|curve| curve.training.iter().map(|(_, loss)| *loss).collect()).collect();
    let lines: Vec<Vec<f64>> = losses.iter().map(|losses| means(losses, losses.len().min(LINE_WIDTH))).collect();
    let scale = Scale::of(lines.iter().flatten());

    let tenths: Vec<String> = (1..=10).map(|tenth| format!("{}%", tenth * 10)).collect();
    let head = [("arm", 0), ("seed", 0), ("steps", 0)];
    let columns = head.into_iter().chain(tenths.iter().map(|name| (name.as_str(), 4))).chain([("curve", 0)]);
    let mut table = Table::new("Mean loss by tenth of the run", &columns.collect::<Vec<_>>());
    for ((curve, losses), line) in curves.iter().zip(&losses).zip(&lines) {
        let mut row: Vec<Cell> = vec![curve.arm.as_str().into(), curve.seed.into(), losses.len().into()];
        row.extend(means_or_missing(losses, 10));
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
    table
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
