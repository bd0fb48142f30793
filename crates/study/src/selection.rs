//! Which candidate of a grid is the arm: decided by held-out loss alone, from what is measured so far.
//!
//! The decision is a function of the losses, so it is the same however the work was cut or interrupted; what is not known
//! yet comes back as work to be done.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use tunebench_spec::grid::Selection;

/// What is known of a candidate's training.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CandidateState {
    /// Optimizer steps of the whole training.
    pub steps: u64,
    /// Held-out loss by the step after which it was measured, in nats per token.
    pub on_the_way: BTreeMap<u64, f64>,
    /// That of the result.
    pub at_the_end: Option<f64>,
    /// Whether the training broke off because a loss or a gradient was not finite: then it is worse than any other.
    pub has_diverged: bool,
}

/// How far a candidate is to be trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// To this step, and measured there.
    Until(u64),
    /// To its end, and measured there.
    Whole,
}

/// What the losses so far say.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// The candidate that is the arm, when that is decided.
    pub chosen: Option<usize>,
    /// How far each candidate is to be trained, as far as that is known; the chosen one goes on to its end.
    pub extents: Vec<Extent>,
}

/// No candidate can be chosen, because each one's training diverged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllDiverged;

/// Chooses among candidates: the least loss wins, of equal ones the first.
///
/// # Errors
/// When none is left.
pub fn choose(selection: &Selection, candidates: &[CandidateState]) -> Result<Choice, AllDiverged> {
    if let [_] = candidates {
        return Ok(Choice { chosen: Some(0), extents: vec![Extent::Whole] });
    }
    let mut extents = vec![Extent::Whole; candidates.len()];
    let mut alive: Vec<usize> = (0..candidates.len()).collect();
    for rung in selection.rungs(candidates.len()) {
        let step = |index: usize| rung.step(candidates[index].steps);
        alive.iter().for_each(|&index| extents[index] = Extent::Until(step(index)));
        let loss = |index: usize| candidates[index].on_the_way.get(&step(index)).copied();
        let Some(ranked) = ranked(&alive, candidates, loss) else { return Ok(Choice { chosen: None, extents }) };
        alive = ranked.into_iter().take(rung.survivors).collect();
    }
    if let [chosen] = alive[..]
        && !candidates[chosen].has_diverged
    {
        return Ok(Choice { chosen: Some(chosen), extents });
    }
    alive.iter().for_each(|&index| extents[index] = Extent::Whole);
    let Some(ranked) = ranked(&alive, candidates, |index| candidates[index].at_the_end) else {
        return Ok(Choice { chosen: None, extents });
    };
    match ranked.first().filter(|best| !candidates[**best].has_diverged) {
        Some(best) => Ok(Choice { chosen: Some(*best), extents }),
        None => Err(AllDiverged),
    }
}

/// These candidates, the best first; none while the loss of one is not known.
fn ranked(alive: &[usize], candidates: &[CandidateState], loss: impl Fn(usize) -> Option<f64>) -> Option<Vec<usize>> {
    let known = |&index: &usize| match candidates[index].has_diverged {
        true => Some((f64::INFINITY, index)),
        false => loss(index).map(|loss| (loss, index)),
    };
    let mut ranked: Vec<(f64, usize)> = alive.iter().map(known).collect::<Option<_>>()?;
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| if a.1 < b.1 { Ordering::Less } else { Ordering::Greater }));
    Some(ranked.into_iter().map(|(_, index)| index).collect())
}

#[cfg(test)]
mod tests {
    use tunebench_spec::grid::SelectionSchedule;

    use super::*;
    use Extent::{Until, Whole};

    fn selection(schedule: SelectionSchedule) -> Selection {
        let (share, dataset) = (Some(0.1), None);
        Selection { share, dataset, examples: 10, schedule, reduction_factor: 3, least_steps: 0.1 }
    }

    fn state(on_the_way: &[(u64, f64)], at_the_end: Option<f64>) -> CandidateState {
        CandidateState { steps: 100, on_the_way: on_the_way.iter().copied().collect(), at_the_end, has_diverged: false }
    }

    fn diverged() -> CandidateState {
        CandidateState { has_diverged: true, ..state(&[], None) }
    }

    #[test]
    fn all_are_trained_to_their_end() {
        let choose = |losses: &[Option<f64>]| {
            let states: Vec<_> = losses.iter().map(|loss| state(&[], *loss)).collect();
            choose(&selection(SelectionSchedule::All), &states).unwrap()
        };
        assert_eq!(choose(&[Some(2.0), None]), Choice { chosen: None, extents: vec![Whole; 2] });
        assert_eq!(choose(&[Some(2.0), Some(1.5), Some(1.5)]).chosen, Some(1));
        // One candidate needs no measurement.
        assert_eq!(choose(&[None]).chosen, Some(0));
    }

    #[test]
    fn halving_drops_the_worse_at_each_rung() {
        let choose = |states: &[CandidateState]| choose(&selection(SelectionSchedule::Halving), states);
        // Nine candidates: three go on from step 10, one from step 30.
        let first: Vec<f64> = (0..9).map(|i| 3.0 - f64::from(i) / 10.0).collect();
        let nothing = vec![state(&[], None); 9];
        assert_eq!(choose(&nothing), Ok(Choice { chosen: None, extents: vec![Until(10); 9] }));
        let rung: Vec<_> = first.iter().map(|loss| state(&[(10, *loss)], None)).collect();
        let mut extents = vec![Until(10); 9];
        extents[6..].fill(Until(30));
        assert_eq!(choose(&rung), Ok(Choice { chosen: None, extents: extents.clone() }));
        let mut second = rung.clone();
        for (index, loss) in [(6, 1.9), (7, 2.0), (8, 2.1)] {
            second[index].on_the_way.insert(30, loss);
        }
        // The order of the first rung is forgotten.
        assert_eq!(choose(&second), Ok(Choice { chosen: Some(6), extents }));
    }

    #[test]
    fn what_diverges_is_worse_than_anything() {
        for schedule in [SelectionSchedule::All, SelectionSchedule::Halving] {
            let whole = state(&[(10, 9.0)], Some(9.0));
            assert_eq!(choose(&selection(schedule), &[diverged(), whole]).unwrap().chosen, Some(1));
            assert_eq!(choose(&selection(schedule), &[diverged(), diverged()]), Err(AllDiverged));
        }
    }
}
