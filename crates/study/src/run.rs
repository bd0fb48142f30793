//! A study from beginning to end, resuming by itself: round after round, a loop over the work that is known. What is
//! already there under the same name is not done again. Several processes may go through it over one run folder.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use tunebench_exchange::Exchange;
use tunebench_spec::Example;
use tunebench_spec::progress::RunState;

use crate::arm_plan::{self, Plans};
use crate::calibration::Calibration;
use crate::context::StudyContext;
use crate::error::StudyError;
use crate::executor::Executor;
use crate::failures;
use crate::follow::{Quiet, follow};
use crate::joining::Joining;
use crate::judge_servers::LocalModels;
use crate::judged_file;
use crate::observer::{Event, Observer, Stop};
use crate::patience::{LOOK_INTERVAL, PATIENCE};
use crate::preparation::{Preparation, Round};
use crate::progress_file::ProgressFile;
use crate::ranks::{Order, Ranks};
use crate::round::Run;
use crate::run_folder::{self, RunFolder};
use crate::work::WorkGraph;
use crate::work_ahead::WorkAhead;
use crate::workers::{self, Part, Worker};

/// What of a study to run, and how.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// These arms and what they start from; all when empty.
    pub only: Vec<String>,
    /// Check everything and tell what would be done.
    pub dry_run: bool,
    pub part: Part,
    /// How long a process on another machine may give no sign before its work is taken over.
    pub patience: Duration,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self { only: Vec::new(), dry_run: false, part: Part::Whole, patience: workers::PATIENCE }
    }
}

/// Has workers do their part of a run, before what they leave is done by the process that began it; whether there were any.
pub type Beside<'b> = dyn FnMut(&WorkAhead) -> Result<bool, Box<StudyError>> + 'b;

/// Runs a study into a folder. A model whose work fails is told and passed over, with what starts from it, and is an error
/// at the end.
///
/// # Errors
/// [`StudyError::Failed`] at the end, [`StudyError::Stopped`] when the observer ends it, or at once what is wrong with the
/// study or the run folder.
///
/// Every rank of the exchange calls this, with the same: they train and answer together, and the first one does the rest. Of
/// the others none tells what the first one does. `beside` is called where there is one rank, when workers may join, with what
/// there is to do, and returns when they have ended: what they leave is done here.
pub fn run(
    context: &StudyContext,
    out: &Path,
    options: &RunOptions,
    exchange: &mut dyn Exchange,
    beside: &mut Beside<'_>,
    observer: &mut dyn Observer,
) -> Result<(), StudyError> {
    let mut ranks = Ranks::new(exchange);
    if !ranks.is_alone() && (options.dry_run || options.part != Part::Whole) {
        return Err(StudyError::Invalid(
            "--join and --dry-run are for one process, and several ranks were started".into(),
        ));
    }
    ranks.greet(context, &options.only)?;
    let is_first = ranks.is_first();
    // The others would only remember that the folder is not there.
    let checked = if is_first { check_folder(context, out) } else { Ok(()) };
    let planned = ranks.agree(checked.and_then(|()| {
        if options.dry_run {
            context.must_be_here()?;
        }
        arm_plan::plan(context)
    }))?;
    // What the others find is the same.
    let mut quiet = Quiet(&*observer);
    let heard: &mut dyn Observer = if is_first { observer } else { &mut quiet };
    planned.tell(heard);
    let Plans { arms: plans, broken, .. } = planned;
    let preparation = Preparation::new(context, &plans, broken, &options.only, heard);
    let preparation = ranks.agree(preparation.and_then(|preparation| {
        preparation.evaluation.as_ref().filter(|_| !options.dry_run).map_or(Ok(()), |of| of.check_settings())?;
        Ok(preparation)
    }))?;
    ranks.compare_failures(&preparation.failures)?;
    if !is_first {
        return follow(preparation, out, &mut ranks, observer);
    }
    preparation.remarks(observer);
    preparation.idle_ranks(ranks.size(), observer);
    if options.dry_run {
        return dry_run(preparation, out, observer);
    }
    let result = lead(context, preparation, out, options, Ranks::new(ranks.exchange()), beside, observer);
    if !result.as_ref().is_err_and(StudyError::is_of_ranks_apart) {
        ranks.lead(&Order::End)?;
    }
    result
}

/// Goes through all work of a prepared study; of several ranks the first one does.
fn lead<'a>(
    context: &'a StudyContext,
    mut preparation: Preparation<'a>,
    out: &'a Path,
    options: &RunOptions,
    ranks: Ranks<'a>,
    beside: &mut Beside<'_>,
    observer: &mut dyn Observer,
) -> Result<(), StudyError> {
    let is_alone = ranks.is_alone();
    let is_worker = matches!(options.part, Part::Worker { .. });
    // What workers do now would belong to another study than what the frames say.
    if !is_worker && is_other_version(context, out)? && run_folder::has_workers(out)? {
        return Err(StudyError::Busy { folder: out.to_owned() });
    }
    let folder = RunFolder::open(out, options.part.sharing())?;
    let worker = Worker::new(out, options.patience)?;
    // Whoever runs all of it joins it too, so that no worker begins to.
    let end = if is_worker { None } else { worker.take_end()? };
    if end.is_none() && !is_worker {
        return Err(StudyError::Busy { folder: out.to_owned() });
    }
    begin_folder(context, &preparation, out, options.part)?;
    let calibration = Calibration::open(context.calibration_file.clone());
    let joining = Joining {
        out,
        study: &context.study,
        judges: preparation.evaluation.iter().flat_map(|evaluation| evaluation.immediate()).collect(),
        order: Vec::new(),
        identities: BTreeMap::new(),
    };
    let executor = Executor::new(context.backend, preparation.evaluation.clone(), folder, calibration, ranks);
    let progress = ProgressFile::new(out, &context.study.study.name, &worker.me, is_worker)?;
    let mut run = Run::new(executor, worker, options.part, progress, joining);
    run.failures = std::mem::take(&mut preparation.failures);
    let is_helped = is_alone && !is_worker;
    let helped = if is_helped { beside(&preparation.ahead(out)).map_err(|error| *error) } else { Ok(false) };
    let result = helped.and_then(|helped| {
        run.follows_workers = helped;
        rounds(&mut run, preparation, observer)
    });
    let result = result.and_then(|()| match is_worker {
        false => run.join(observer),
        true => run.join_as_worker(observer),
    });
    let state = match &result {
        // A worker ends when there is nothing for it to do, or it is stopped, which need not be the end of the run.
        _ if is_worker => None,
        Ok(()) if run.failures.is_empty() => Some(RunState::Finished),
        Err(StudyError::Stopped) => Some(RunState::Interrupted),
        Ok(()) | Err(_) => Some(RunState::Failed),
    };
    state.map_or(Ok(()), |state| run.progress.end(state))?;
    drop(end);
    result.and_then(|()| finish(run.failures))
}

/// Whether the folder holds another text of the study.
fn is_other_version(context: &StudyContext, out: &Path) -> Result<bool, StudyError> {
    let file = out.join("study.toml");
    Ok(file.exists() && std::fs::read_to_string(&file)? != context.study.to_toml()?)
}

/// Keeps what the run is of, and forgets what did not work the last time. A worker changes nothing that is there.
fn begin_folder(
    context: &StudyContext,
    preparation: &Preparation<'_>,
    out: &Path,
    part: Part,
) -> Result<(), StudyError> {
    let text = context.study.to_toml()?;
    let (file, is_worker) = (out.join("study.toml"), matches!(part, Part::Worker { .. }));
    if is_worker && is_other_version(context, out)? {
        return Err(StudyError::OtherVersion { folder: out.to_owned() });
    }
    let is_kept = |file: &Path| is_worker && file.exists();
    if !is_kept(&file) {
        tunebench_files::write_file(&file, |file| file.write_all(text.as_bytes()))?;
    }
    if let Some(evaluation) = &preparation.evaluation {
        if !is_kept(&run_folder::items(out)) {
            write_items(out, evaluation.items())?;
        }
        if !is_kept(&run_folder::local_models(out)) {
            let models = context.local_models()?;
            let home = models.home.canonicalize().unwrap_or_else(|_| models.home.clone());
            tunebench_files::write_json(&run_folder::local_models(out), &LocalModels { home, ..models })?;
        }
    }
    if part == Part::Whole {
        failures::forget(out)?;
    }
    if is_worker {
        return Ok(());
    }
    judged_file::forget_unfinished(out)?;
    run_folder::forget_joined(out)
}

/// Round after round, until nothing is left to decide or to do.
fn rounds<'a>(run: &mut Run<'a>, preparation: Preparation<'a>, observer: &mut dyn Observer) -> Result<(), StudyError> {
    let mut waiting = Some(preparation);
    while let Some(mut preparation) = waiting.take() {
        let round = look(run, &mut preparation, observer)?;
        run.failures.append(&mut preparation.failures);
        let undecided = round.undecided.clone();
        // What was prepared is needed until nothing is left to decide; its tokens then go with the work on them.
        waiting = (!undecided.is_empty()).then_some(preparation);
        let is_new = run.round(round, observer)?;
        if run.has_enough() {
            break;
        }
        if !is_new && waiting.is_some() {
            run.failures.extend(undecided.into_iter().map(|arm| StudyError::Undecided { arm }));
            break;
        }
    }
    Ok(())
}

/// What can be done now, as all ranks see it: another process may do something between their looks, and what it did may be seen
/// late.
fn look<'a>(
    run: &mut Run<'a>,
    preparation: &mut Preparation<'a>,
    observer: &mut dyn Observer,
) -> Result<Round<'a>, StudyError> {
    let begin = Instant::now();
    loop {
        let round = preparation.round(run.joining.out, observer)?;
        if run.executor.is_seen_by_all(&round.name()?)? {
            return Ok(round);
        }
        if begin.elapsed() > PATIENCE {
            return Err(StudyError::Invalid(format!(
                "{}: ranks do not see what rank 0 finds there; all need the same run folder and the same files",
                run.joining.out.display()
            )));
        }
        if observer.stop() != Stop::No {
            return Err(StudyError::Stopped);
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
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
    finish(preparation.failures)?;
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
    finish(preparation.failures)
}

/// Whether the folder is that of this study, or of none: another one's frames would be lost.
fn check_folder(context: &StudyContext, out: &Path) -> Result<(), StudyError> {
    // One that cannot be read any more names nothing to lose but frames, which are checked when they are read.
    let Ok(earlier) = run_folder::study(out) else { return Ok(()) };
    let (found, name) = (earlier.study.name, context.study.study.name.clone());
    if found == name { Ok(()) } else { Err(StudyError::OtherStudy { folder: out.to_owned(), found, name }) }
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

fn finish(failures: Vec<StudyError>) -> Result<(), StudyError> {
    if failures.is_empty() { Ok(()) } else { Err(StudyError::Failed(failures)) }
}
