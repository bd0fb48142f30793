//! A study from beginning to end, resuming by itself: round after round, a loop over the work that is known. What is
//! already there under the same name is not done again.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use tunebench_spec::progress::{PieceState, RunState};
use tunebench_spec::{Example, Study};

use crate::arm_plan::{self, Plans};
use crate::calibration::Calibration;
use crate::context::StudyContext;
use crate::error::StudyError;
use crate::evaluated_model::EvaluatedModel;
use crate::executor::{ArmOutcome, Executor};
use crate::frames::{ArmRows, RunFrames};
use crate::judge_servers::LocalModels;
use crate::model_key::ModelKey;
use crate::observer::{Event, Observer, Stop};
use crate::preparation::{Preparation, Round};
use crate::progress_file::ProgressFile;
use crate::run_folder::{self, RunFolder};
use crate::together;
use crate::work::{PieceKind, WorkGraph};

/// What of a study to run.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// These arms and what they start from; all when empty.
    pub only: Vec<String>,
    /// Check everything and tell what would be done.
    pub dry_run: bool,
}

/// Runs a study into a folder. A model whose work fails is told and passed over, with what starts from it, and is an error
/// at the end.
///
/// # Errors
/// [`StudyError::Failed`] at the end, [`StudyError::Stopped`] when the observer ends it, or at once what is wrong with the
/// study or the run folder.
pub fn run(
    context: &StudyContext,
    out: &Path,
    options: &RunOptions,
    observer: &mut dyn Observer,
) -> Result<(), StudyError> {
    check_folder(context, out)?;
    if options.dry_run {
        context.must_be_here()?;
    }
    let planned = arm_plan::plan(context)?;
    planned.tell(observer);
    let Plans { arms: plans, broken, .. } = planned;
    let mut preparation = Preparation::new(context, &plans, broken, &options.only, observer)?;
    preparation.remarks(observer);
    if options.dry_run {
        return dry_run(preparation, out, observer);
    }
    if let Some(evaluation) = &preparation.evaluation {
        evaluation.check_settings()?;
    }
    let folder = RunFolder::open(out)?;
    let text = context.study.to_toml()?;
    tunebench_files::write_file(&out.join("study.toml"), |file| file.write_all(text.as_bytes()))?;
    if let Some(evaluation) = &preparation.evaluation {
        write_items(out, evaluation.items())?;
        let models = context.local_models()?;
        let home = models.home.canonicalize().unwrap_or_else(|_| models.home.clone());
        tunebench_files::write_json(&run_folder::local_models(out), &LocalModels { home, ..models })?;
    }
    let calibration = Calibration::open(context.calibration_file.clone());
    let mut run = Run {
        executor: Executor::new(context.backend, preparation.evaluation.clone(), folder, calibration),
        frames: RunFrames::open(out, observer),
        judges: preparation.evaluation.iter().flat_map(|evaluation| evaluation.immediate()).collect(),
        progress: ProgressFile::new(out, &context.study.study.name),
        out,
        study: &context.study,
        is_probed: false,
        finished: BTreeSet::new(),
        failed: BTreeSet::new(),
        failures: std::mem::take(&mut preparation.failures),
    };
    let result = rounds(&mut run, preparation, observer).and_then(|()| run.judge_together(observer));
    let state = match &result {
        Ok(()) if run.failures.is_empty() => RunState::Finished,
        Err(StudyError::Stopped) => RunState::Interrupted,
        Ok(()) | Err(_) => RunState::Failed,
    };
    run.progress.end(state)?;
    result.and_then(|()| end(run.failures))
}

/// Round after round, until nothing is left to decide or to do.
fn rounds<'a>(run: &mut Run<'a>, preparation: Preparation<'a>, observer: &mut dyn Observer) -> Result<(), StudyError> {
    let mut waiting = Some(preparation);
    while let Some(mut preparation) = waiting.take() {
        let round = preparation.round(run.out, observer)?;
        run.failures.append(&mut preparation.failures);
        let undecided = round.undecided.clone();
        // What was prepared is needed until nothing is left to decide; its tokens then go with the work on them.
        waiting = (!undecided.is_empty()).then_some(preparation);
        if !run.round(round, observer)? && waiting.is_some() {
            run.failures.extend(undecided.into_iter().map(|arm| StudyError::Undecided { arm }));
            break;
        }
    }
    Ok(())
}

/// The work of a run, as far as it is known now, named by content; nothing of it is done.
///
/// # Errors
/// What is wrong with the study, or with an arm that is to be run.
pub fn work(
    context: &StudyContext,
    out: &Path,
    only: &[String],
    observer: &mut dyn Observer,
) -> Result<WorkGraph, StudyError> {
    context.must_be_here()?;
    let plans = arm_plan::plan(context)?.whole()?;
    let mut preparation = Preparation::new(context, &plans, Vec::new(), only, observer)?;
    let round = preparation.round(out, observer)?;
    end(preparation.failures)?;
    Ok(round.graph)
}

fn dry_run(mut preparation: Preparation<'_>, out: &Path, observer: &mut dyn Observer) -> Result<(), StudyError> {
    let round = preparation.round(out, observer)?;
    for model in &round.models {
        if let Some(forecast) = model.forecast(out)? {
            observer.on_event(&Event::ArmForecast(forecast));
        }
    }
    observer.on_event(&Event::WorkKnown { graph: &round.graph });
    end(preparation.failures)
}

/// Whether the folder is that of this study, or of none: another one's frames would be lost.
fn check_folder(context: &StudyContext, out: &Path) -> Result<(), StudyError> {
    // One that cannot be read any more names nothing to lose but frames, which are checked when they are read.
    let Ok(earlier) = run_folder::study(out) else { return Ok(()) };
    let (found, name) = (earlier.study.name, context.study.study.name.clone());
    if found == name { Ok(()) } else { Err(StudyError::OtherStudy { folder: out.to_owned(), found, name }) }
}

/// A run under way.
struct Run<'a> {
    executor: Executor<'a>,
    frames: RunFrames,
    /// Names of the judges that judge a model's answers as soon as they are there.
    judges: BTreeSet<String>,
    progress: ProgressFile,
    out: &'a Path,
    study: &'a Study,
    /// Whether the judges' servers were asked whether they work.
    is_probed: bool,
    /// The work that is done: by model, its pieces and whether it stands for its arm.
    finished: BTreeSet<(ModelKey, Vec<String>, bool)>,
    /// The models whose work failed.
    failed: BTreeSet<ModelKey>,
    failures: Vec<StudyError>,
}

impl<'a> Run<'a> {
    /// Does the work of a round that is not done yet; whether there was any.
    fn round(&mut self, round: Round<'a>, observer: &mut dyn Observer) -> Result<bool, StudyError> {
        let Round { models, graph, order, identities, .. } = round;
        self.probe(&models, observer)?;
        self.executor.take(models);
        self.frames.keep(&order, &identities, observer);
        observer.on_event(&Event::WorkKnown { graph: &graph });
        self.progress.work(&graph, &identities)?;
        let mut is_done = vec![false; graph.pieces.len()];
        let count = graph.by_model().filter(|pieces| graph.pieces[pieces.start].kind == PieceKind::Train).count();
        let (mut number, mut is_new) = (0, false);
        for pieces in graph.by_model() {
            let first = &graph.pieces[pieces.start];
            let model = &first.model;
            number += usize::from(first.kind == PieceKind::Train);
            if self.failed.contains(model) {
                continue;
            }
            let ids = graph.pieces[pieces.clone()].iter().map(|piece| piece.id.clone()).collect();
            let work = (model.clone(), ids, self.executor.model(model)?.is_selected());
            if self.finished.contains(&work) {
                is_done[pieces].fill(true);
                self.executor.forget(model);
                continue;
            }
            is_new = true;
            observer.on_event(&match first.kind {
                PieceKind::Train => Event::ArmStarted { model, number, count },
                PieceKind::Measure | PieceKind::Answer | PieceKind::Judge => match self.executor.model(model)? {
                    EvaluatedModel::Variant(variant) => {
                        Event::VariantStarted { model, of: &variant.parent.key, form: variant.form }
                    }
                    EvaluatedModel::Base { .. } | EvaluatedModel::Arm(_) => Event::BaseStarted { model },
                },
            });
            if let Some(error) = self.model(&graph, pieces, &mut is_done, observer)? {
                observer.on_event(&Event::ModelFailed { model, error: &error });
                self.failures.push(error);
                self.failed.insert(model.clone());
            } else {
                observer.on_event(&Event::ModelFinished { model });
                self.finished.insert(work);
            }
        }
        Ok(is_new)
    }

    /// Before the first training: whether the judges' servers work. What is trained already needs no such caution.
    fn probe(&mut self, models: &[EvaluatedModel<'_>], observer: &mut dyn Observer) -> Result<(), StudyError> {
        if self.is_probed || !models.iter().any(|model| model.is_to_be_trained(self.out)) {
            return Ok(());
        }
        self.is_probed = true;
        match self.executor.has_evaluation() {
            true => self.executor.evaluation()?.probe(observer),
            false => Ok(()),
        }
    }

    /// Has the judges that wait for all answers judge them.
    fn judge_together(&mut self, observer: &mut dyn Observer) -> Result<(), StudyError> {
        if !self.executor.has_evaluation() {
            return Ok(());
        }
        let evaluation = self.executor.evaluation()?;
        for judge in evaluation.judges().iter().filter(|judge| judge.waits()) {
            let found = together::judge_together(
                &evaluation.by(judge),
                self.study,
                &mut self.frames,
                self.executor.folder(),
                observer,
            );
            self.frames.write_judgements(self.out)?;
            let failure = match found {
                Ok(stopped) => {
                    stopped.map(|reason| StudyError::JudgingStopped { model: judge.name().to_owned(), reason })
                }
                Err(StudyError::Stopped) => return Err(StudyError::Stopped),
                Err(error) => Some(error),
            };
            self.failures.extend(failure);
        }
        Ok(())
    }

    /// Does the pieces of one model, in their order, and puts its rows into the frames; why that failed, if it did.
    fn model(
        &mut self,
        graph: &WorkGraph,
        pieces: Range<usize>,
        is_done: &mut [bool],
        observer: &mut dyn Observer,
    ) -> Result<Option<StudyError>, StudyError> {
        let model = &graph.pieces[pieces.start].model;
        let rows = self.pieces(graph, pieces, is_done, observer);
        let rows = rows.and_then(|(outcome, stopped)| Ok((self.executor.rows(model)?, outcome, stopped)));
        self.executor.forget(model);
        match rows {
            Ok((rows, ArmOutcome { generations, judgements, .. }, stopped)) => {
                self.frames.replace(model, &self.judges, ArmRows { generations, judgements, ..rows });
                self.frames.write(self.out)?;
                Ok(stopped.map(|reason| StudyError::JudgingStopped { model: model.to_string(), reason }))
            }
            Err(StudyError::Stopped) => Err(StudyError::Stopped),
            Err(error) => Ok(Some(error)),
        }
    }

    /// Does the pieces of one model, in their order; what came of them, and why not all of its answers could be judged.
    fn pieces(
        &mut self,
        graph: &WorkGraph,
        pieces: Range<usize>,
        is_done: &mut [bool],
        observer: &mut dyn Observer,
    ) -> Result<(ArmOutcome, Option<String>), StudyError> {
        let mut outcome = ArmOutcome::default();
        for index in pieces {
            let piece = &graph.pieces[index];
            if observer.stop() != Stop::No {
                return Err(StudyError::Stopped);
            }
            if let Err(error) = check_parent(graph, index, is_done) {
                self.progress.piece(piece, PieceState::Skipped, Some(&error))?;
                return Err(error);
            }
            self.progress.piece(piece, PieceState::Running, None)?;
            if let Err(error) = self.executor.execute(piece, &mut outcome, observer) {
                let state = if matches!(error, StudyError::Stopped) { PieceState::Waiting } else { PieceState::Failed };
                self.progress.piece(piece, state, Some(&error))?;
                return Err(error);
            }
            self.progress.piece(piece, PieceState::Done, None)?;
            is_done[index] = true;
        }
        let stopped = outcome.stopped.take();
        Ok((outcome, stopped))
    }
}

/// Whether all that a piece needs of another model is there. A piece of the same content that failed hinders nothing: this
/// one may tell why.
fn check_parent(graph: &WorkGraph, index: usize, is_done: &[bool]) -> Result<(), StudyError> {
    let piece = &graph.pieces[index];
    let mut missing = piece.depends_on.iter().filter(|before| !is_done[**before]).map(|before| &graph.pieces[*before]);
    match missing.find(|before| before.id != piece.id) {
        None => Ok(()),
        Some(before) => {
            let (arm, parent) = (piece.model.to_string(), before.model.to_string());
            Err(StudyError::ParentFailed { arm, parent })
        }
    }
}

/// Keeps the items, so that answers can be judged again without the study's data.
fn write_items(out: &Path, items: &[Example]) -> Result<(), StudyError> {
    Ok(tunebench_files::write_file(&run_folder::items(out), |file| {
        items.iter().try_for_each(|item| {
            serde_json::to_writer(&mut *file, item)?;
            file.write_all(b"\n")
        })
    })?)
}

fn end(failures: Vec<StudyError>) -> Result<(), StudyError> {
    if failures.is_empty() { Ok(()) } else { Err(StudyError::Failed(failures)) }
}
