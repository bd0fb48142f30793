//! Which arms give the most for what they cost: the Pareto front of score against each kind of cost.

use crate::arm_cost::ArmCost;
use crate::table::{Cell, Table};

/// Whether an arm is worth its cost.
#[derive(Clone, Debug, PartialEq)]
pub enum Mark {
    /// No other scores at least as much for at most as much, and better in one of the two.
    Front,
    /// The best one that does.
    DominatedBy(String),
    /// Its score or its cost is not known.
    Unknown,
}

impl Mark {
    fn cell(&self) -> Cell {
        match self {
            Self::Front => "front".into(),
            Self::DominatedBy(arm) => format!("dominated by {arm}").into(),
            Self::Unknown => Cell::Missing,
        }
    }
}

/// A kind of cost: its name, and what an arm takes of it. A base model takes nothing.
pub type Kind = (&'static str, fn(&ArmCost) -> Option<f64>);

/// Training time, memory, parameters to keep beside the model, and money.
pub const KINDS: [Kind; 4] = [
    ("hours", |cost| Some(cost.train_seconds.unwrap_or(0.0) / 3600.0)),
    ("memory", |cost| Some(cost.peak_memory_bytes.unwrap_or(0) as f64)),
    ("additional_params", |cost| Some(kept_params(cost) as f64)),
    ("judge_usd", |cost| cost.judge_usd),
];

/// What is to be kept for the arm beside its base: adapters, or the whole model where that was trained.
fn kept_params(cost: &ArmCost) -> u64 {
    match cost.additional_params {
        0 if cost.train_seconds.is_some() => cost.trainable_params,
        added => added,
    }
}

/// Of each arm, in order.
pub fn marks(costs: &[ArmCost], value: fn(&ArmCost) -> Option<f64>) -> Vec<Mark> {
    let points: Vec<Option<(f64, f64)>> = costs.iter().map(|cost| cost.macro_average.zip(value(cost))).collect();
    let mark = |point: &Option<(f64, f64)>| {
        let Some((score, price)) = *point else { return Mark::Unknown };
        let dominates = |(s, p): (f64, f64)| s >= score && p <= price && (s > score || p < price);
        let better = costs.iter().zip(&points).filter_map(|(cost, point)| Some((cost, (*point)?)));
        let best = better
            .filter(|(_, point)| dominates(*point))
            .max_by(|(_, a), (_, b)| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
        best.map_or(Mark::Front, |(cost, _)| Mark::DominatedBy(cost.arm.clone()))
    };
    points.iter().map(mark).collect()
}

/// A row for each arm with a score, a column of marks for each kind of cost that is known.
pub fn table(costs: &[ArmCost], title: String) -> Table {
    let known: Vec<Kind> =
        KINDS.into_iter().filter(|(_, value)| costs.iter().any(|cost| value(cost).is_some())).collect();
    let columns = [("arm", 0), ("macro_average", 3)].into_iter().chain(known.iter().map(|(name, _)| (*name, 0)));
    let mut table = Table::new(title, &columns.collect::<Vec<_>>());
    let marks: Vec<Vec<Mark>> = known.iter().map(|(_, value)| marks(costs, *value)).collect();
    for (i, cost) in costs.iter().enumerate().filter(|(_, cost)| cost.macro_average.is_some()) {
        let marks = marks.iter().filter_map(|marks| marks.get(i)).map(Mark::cell);
        table.rows.push([cost.arm.as_str().into(), cost.macro_average.into()].into_iter().chain(marks).collect());
    }
    table.notes.push(
        "front: no other arm scores at least as much for at most as much. By means alone: see `scores` for arms that cannot be \
         told apart."
            .into(),
    );
    table.notes.push(
        "additional_params: what is kept for an arm beside its base, the whole model where all of it was trained."
            .into(),
    );
    table
}
