//! A study from beginning to end, resuming by itself: a loop over its work, in order. What is already there under the
//! same name is not done again.

use std::ops::Range;
use std::path::Path;

use crate::arm_plan::{self, Plans};
use crate::context::StudyContext;
use crate::error::StudyError;
use crate::executor::{ArmOutcome, Executor};
use crate::frames::{ArmRows, RunFrames};
use crate::observer::{Event, Observer};
use crate::preparation::{Preparation, Ready};
use crate::run_folder::RunFolder;
use crate::work::{PieceKind, WorkGraph};

/// What of a study to run.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// These arms and what they start from; all when empty.
    pub only: Vec<String>,
    /// Check everything and tell what would be done.
    pub dry_run: bool,
}

/// Runs a study into a folder. An arm that fails is told and passed over, with what starts from it, and is an error at
/// the end.
///
/// # Errors
/// [`StudyError::Failed`] at the end, or at once what is wrong with the study or the run folder.
pub fn run(
    context: &StudyContext,
    out: &Path,
    options: &RunOptions,
    observer: &mut dyn Observer,
) -> Result<(), StudyError> {
    let Plans { arms: plans, broken } = arm_plan::plan(context)?;
    let preparation = Preparation::new(context, &plans, broken, &options.only, observer)?;
    if options.dry_run {
        for arm in &preparation.arms {
            observer.on_event(&Event::ArmForecast(arm.forecast(out)?));
        }
        return end(preparation.failures);
    }
    let Ready { evaluation, models, graph, order, identities, mut failures } = preparation.ready(&options.only)?;
    let folder = RunFolder::open(out)?;
    let text = context.study.to_toml()?;
    tunebench_files::write_file(&out.join("study.toml"), |file| file.write_all(text.as_bytes()))?;
    let mut frames = RunFrames::open(out, order, &identities, observer);

    let mut executor = Executor::new(context.backend, evaluation, folder, models);
    let mut is_done = vec![false; graph.pieces.len()];
    let arms = graph.pieces.iter().filter(|piece| piece.kind == PieceKind::Train).count();
    let mut arm_number = 0;
    for pieces in graph.by_model() {
        let first = &graph.pieces[pieces.start];
        let model = first.model.as_str();
        observer.on_event(&match first.kind {
            PieceKind::Train => {
                arm_number += 1;
                Event::ArmStarted { arm: model, number: arm_number, count: arms }
            }
            PieceKind::Answer | PieceKind::Judge => Event::BaseStarted { model },
        });
        let error = match run_model(&executor, &graph, pieces, &mut is_done, observer) {
            Ok((rows, stopped)) => {
                frames.replace(model, rows);
                frames.write(out)?;
                stopped.map(|reason| StudyError::JudgingStopped { model: model.to_owned(), reason })
            }
            Err(error) => Some(error),
        };
        executor.forget(model);
        match error {
            None => observer.on_event(&Event::ModelFinished { model }),
            Some(error) => {
                observer.on_event(&Event::ModelFailed { model, error: &error });
                failures.push(error);
            }
        }
    }
    end(failures)
}

/// The work of a run, as it would be done now, named by content; nothing of it is done.
///
/// # Errors
/// What is wrong with the study, or with an arm that is to be run.
pub fn work(context: &StudyContext, only: &[String], observer: &mut dyn Observer) -> Result<WorkGraph, StudyError> {
    let plans = arm_plan::plan(context)?.whole()?;
    let ready = Preparation::new(context, &plans, Vec::new(), only, observer)?.ready(only)?;
    end(ready.failures)?;
    Ok(ready.graph)
}

/// Does the pieces of one model, in their order; its rows, and why not all of its answers could be judged.
fn run_model(
    executor: &Executor<'_>,
    graph: &WorkGraph,
    pieces: Range<usize>,
    is_done: &mut [bool],
    observer: &mut dyn Observer,
) -> Result<(ArmRows, Option<String>), StudyError> {
    let model = &graph.pieces[pieces.start].model;
    let mut outcome = ArmOutcome::default();
    for index in pieces {
        check_parent(graph, index, is_done)?;
        executor.execute(&graph.pieces[index], &mut outcome, observer)?;
        is_done[index] = true;
    }
    let ArmOutcome { generations, judgements, stopped } = outcome;
    Ok((ArmRows { generations, judgements, ..executor.rows(model)? }, stopped))
}

/// Whether all that a piece needs of another model is there. A piece of the same content that failed hinders nothing: this
/// one may tell why.
fn check_parent(graph: &WorkGraph, index: usize, is_done: &[bool]) -> Result<(), StudyError> {
    let piece = &graph.pieces[index];
    let mut missing = piece.depends_on.iter().filter(|before| !is_done[**before]).map(|before| &graph.pieces[*before]);
    match missing.find(|before| before.id != piece.id) {
        None => Ok(()),
        Some(before) => {
            let (arm, parent) = (piece.model.clone(), before.model.clone());
            Err(StudyError::ParentFailed { arm, parent })
        }
    }
}

fn end(failures: Vec<StudyError>) -> Result<(), StudyError> {
    if failures.is_empty() { Ok(()) } else { Err(StudyError::Failed(failures)) }
}
