//! What the grids tried: the held-out loss of each candidate, by which the chosen one was chosen.

use tunebench_spec::records::HELD_OUT;
use tunebench_spec::{ArmRecord, LossLog};

use crate::run::{Arm, Run};
use crate::settings::{self, Edge};
use crate::table::Table;

/// A candidate of an arm's grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Tried {
    pub arm: String,
    /// As `learning_rate=0.0002 options.r=8`.
    pub candidate: String,
    /// Of the training with the arm's first seed. Fewer than the chosen one's where it was given up early.
    pub steps: u64,
    /// The last held-out loss of that training, in nats per token and bits per byte; none where it was not measured.
    pub held_out: Option<(f64, f64)>,
    pub is_chosen: bool,
    /// The edges of the grid at which it lies.
    pub edges: Vec<Edge>,
}

/// The candidates of each arm with more than one, in the order of the frame.
pub fn tried(run: &Run, losses: &[LossLog]) -> Vec<Tried> {
    let with_grid = run.arms.iter().filter(|arm| settings::candidates(arm) > 1);
    let of_arm = |arm: &Arm| {
        let chosen = arm.trainings.first().map(|training| (training, true));
        let all = arm.losing.iter().map(|training| (training, false)).chain(chosen);
        all.map(|(training, is_chosen)| of_training(arm, training, is_chosen, losses)).collect::<Vec<_>>()
    };
    with_grid.flat_map(of_arm).collect()
}

fn of_training(arm: &Arm, training: &ArmRecord, is_chosen: bool, losses: &[LossLog]) -> Tried {
    let is_own = |loss: &&LossLog| {
        let is_same = loss.arm == arm.name && loss.seed == training.seed && loss.candidate == training.candidate;
        is_same && loss.set == HELD_OUT && loss.step > 0
    };
    let last = losses.iter().filter(is_own).max_by_key(|loss| (loss.is_final, loss.step));
    Tried {
        arm: arm.name.clone(),
        candidate: training.candidate.clone(),
        steps: training.steps,
        held_out: last.map(|loss| (loss.loss, loss.bits_per_byte)),
        is_chosen,
        edges: settings::edges_of(arm, &training.candidate),
    }
}

/// A row for each candidate; none without a grid.
pub fn table(tried: &[Tried]) -> Option<Table> {
    let columns = [
        ("arm", 0),
        ("candidate", 0),
        ("steps", 0),
        ("nats_per_token", 4),
        ("bits_per_byte", 4),
        ("chosen", 0),
        ("edge", 0),
    ];
    let mut table = Table::new("What the grids tried: held-out loss", &columns).with_prose(&["edge"]);
    for found in tried {
        let edges: Vec<String> = found.edges.iter().map(Edge::words).collect();
        table.rows.push(vec![
            found.arm.as_str().into(),
            found.candidate.as_str().into(),
            found.steps.into(),
            found.held_out.map(|(nats, _)| nats).into(),
            found.held_out.map(|(_, bits)| bits).into(),
            found.is_chosen.then_some("chosen").into(),
            edges.join(", ").into(),
        ]);
    }
    table
        .notes
        .push("Of the first seed; a candidate that was given up early has fewer steps and no comparable loss.".into());
    (!tried.is_empty()).then_some(table)
}
