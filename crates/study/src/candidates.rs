//! The candidates of an arm's grid in a run folder: how far each one's training is, and which of them is the arm.

use std::collections::BTreeSet;
use std::path::Path;

use tunebench_spec::study::Arm;

use crate::context::StudyContext;
use crate::error::StudyError;
use crate::losses;
use crate::observer::{Event, Observer};
use crate::prepared_arm::PreparedArm;
use crate::run_folder;
use crate::selection::{CandidateState, Extent, choose};
use crate::trained_arm;

/// The first training of every candidate, and which of them is the arm.
pub struct Decision<'a> {
    /// None while that is not known, and where there can be none.
    pub chosen: Option<usize>,
    pub trainings: Vec<PreparedArm<'a>>,
    /// Why none of them can be the arm.
    pub failure: Option<StudyError>,
}

/// Decides by the losses in the run folder, and says how far each candidate is to be trained; a choice that is not among
/// those `announced` is told.
///
/// # Errors
/// When a file of an earlier training is damaged.
pub fn decide<'a>(
    context: &'a StudyContext,
    arm: &Arm,
    mut trainings: Vec<PreparedArm<'a>>,
    root: &Path,
    announced: &mut BTreeSet<String>,
    observer: &mut dyn Observer,
) -> Result<Decision<'a>, StudyError> {
    // Without a grid there is nothing to choose; the study's own check sees to it that a grid has its [selection].
    let (Some(grid), Some(selection)) = (context.study.grid(arm), &context.study.selection) else {
        return Ok(Decision { chosen: Some(0), trainings, failure: None });
    };
    let states: Vec<CandidateState> =
        trainings.iter().map(|training| state(training, context, root)).collect::<Result<_, _>>()?;
    let Ok(choice) = choose(selection, &states) else {
        trainings.iter_mut().for_each(|training| training.is_selected = false);
        let failure = "the training of every candidate of its grid diverged; give it lower learning rates";
        return Ok(Decision { chosen: None, trainings, failure: Some(StudyError::Invalid(failure.to_owned())) });
    };
    for ((index, training), extent) in trainings.iter_mut().enumerate().zip(&choice.extents) {
        training.is_selected = choice.chosen == Some(index);
        // What was chosen is trained to its end, like any arm.
        training.extent = if training.is_selected { Extent::Whole } else { *extent };
    }
    if let Some(chosen) = choice.chosen
        && announced.insert(format!("{} {}", arm.name, trainings[chosen].key.candidate))
    {
        let candidate = &trainings[chosen].data.plan.candidate;
        // What it was chosen by, which is not its last one where it went on from there in an earlier run.
        let loss = match choice.extents[chosen] {
            Extent::Until(step) => states[chosen].on_the_way.get(&step).copied(),
            Extent::Whole => states[chosen].at_the_end,
        };
        let (arm, edges) = (arm.name.as_str(), grid.edges(candidate));
        observer.on_event(&Event::CandidateChosen {
            arm,
            candidate: &trainings[chosen].key.candidate,
            loss,
            edges: &edges,
        });
    }
    Ok(Decision { chosen: choice.chosen, trainings, failure: None })
}

/// What is known of a candidate's training.
fn state(training: &PreparedArm<'_>, context: &StudyContext, root: &Path) -> Result<CandidateState, StudyError> {
    let sets = &training.data.losses;
    let Some(held_out) = sets.held_out() else { return Ok(CandidateState::default()) };
    let is_it = |hash: &str| hash == held_out.hash;
    let on_the_way = trained_arm::losses(root, &training.identity)?;
    let sure = sure_steps(root, &training.identity)?;
    let on_the_way = on_the_way.iter().filter(|loss| is_it(&loss.set_hash) && !loss.is_final && loss.step <= sure);
    let file = run_folder::losses(root, &sets.identity(&training.identity, context.backend)?);
    let at_the_end = losses::read(&file)?.unwrap_or_default();
    Ok(CandidateState {
        steps: training.steps,
        on_the_way: on_the_way.map(|loss| (loss.step, loss.loss)).collect(),
        at_the_end: at_the_end.iter().find(|loss| is_it(&loss.set_hash)).map(|loss| loss.loss),
        has_diverged: trained_arm::has_diverged(root, &training.identity),
    })
}

/// The steps of a training that are kept whatever happens. A loss may be logged of a later one, which a kill undid: the
/// training would go on without it.
fn sure_steps(root: &Path, identity: &str) -> Result<u64, StudyError> {
    if trained_arm::finished(root, identity)?.is_some() {
        return Ok(u64::MAX);
    }
    Ok(trained_arm::stopped(root, identity)?.map_or(0, |record| record.steps))
}
