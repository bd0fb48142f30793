//! Losses of the trainings, thinned to what a picture can show, and what the grids tried.

use tunebench_analysis::curves::training_curves;
use tunebench_analysis::run::Run;
use tunebench_analysis::settings::Edge;
use tunebench_analysis::tried::{Tried, tried};
use tunebench_spec::{LossLog, StepLog};

use crate::data::{Candidate, Curve, LossPoint, Text};
use crate::error::Error;

/// Points of a training that are kept at most.
const POINTS: usize = 400;

/// Curves of the trainings that stand for their arms, and what must be known of them.
pub fn curves(run: &Run, losses: &[LossLog]) -> Result<(Vec<Curve>, Vec<Text>), Error> {
    let steps: Vec<StepLog> = run.so_far()?;
    let (mut longest, mut n_broken) = (0, 0);
    let mut kept = |losses: &[(u64, f64)]| {
        let finite: Vec<(u64, f64)> = losses.iter().copied().filter(|(_, loss)| loss.is_finite()).collect();
        longest = longest.max(finite.len());
        n_broken += losses.len() - finite.len();
        thinned(&finite)
    };
    let curves = training_curves(run, &steps, losses)
        .into_iter()
        .map(|found| Curve {
            training: kept(&found.training),
            held_out: kept(&found.held_out),
            arm: found.arm,
            seed: found.seed,
        })
        .collect();
    let mut notes = Vec::new();
    if longest > POINTS {
        notes.push(Text::new(
            format!(
                "Trainings of more than {POINTS} points are thinned to as many: each is the mean of neighbouring steps."
            ),
            format!("超过 {POINTS} 个点的训练已抽稀到 {POINTS} 个点，每点为相邻步的均值。"),
        ));
    }
    if n_broken > 0 {
        notes.push(Text::new(
            format!("{n_broken} losses are not finite numbers and are not drawn: a training diverged."),
            format!("有 {n_broken} 个损失不是有限数，未画出：训练已发散。"),
        ));
    }
    Ok((curves, notes))
}

/// Means of neighbours, each at the last of its steps.
fn thinned(losses: &[(u64, f64)]) -> Vec<LossPoint> {
    let n_points = losses.len().min(POINTS);
    let part =
        |i: usize| losses.get(i * losses.len() / n_points..(i + 1) * losses.len() / n_points).unwrap_or_default();
    let point = |part: &[(u64, f64)]| {
        let (step, _) = *part.last()?;
        Some(LossPoint { step, loss: part.iter().map(|(_, loss)| loss).sum::<f64>() / part.len() as f64 })
    };
    (0..n_points).filter_map(|i| point(part(i))).collect()
}

/// Every candidate of every grid; edges are named of the chosen ones alone.
pub fn candidates(run: &Run, losses: &[LossLog]) -> Vec<Candidate> {
    let of = |found: Tried| Candidate {
        at_edge: match found.is_chosen {
            true => found.edges.iter().map(Edge::words).collect::<Vec<_>>().join(", "),
            false => String::new(),
        },
        arm: found.arm,
        candidate: found.candidate,
        steps: found.steps,
        held_out_nats_per_token: found.held_out.map(|(nats, _)| nats).filter(|nats| nats.is_finite()),
        selected: found.is_chosen,
    };
    tried(run, losses).into_iter().map(of).collect()
}
