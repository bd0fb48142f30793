//! The loop over a round's work, beside other processes that go through the same: each takes a piece that nobody else does, finds
//! done what others did, and puts the rows of a model into the frames when all work on it is done, whoever did it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use tunebench_files::Taken;
use tunebench_spec::hash;
use tunebench_spec::progress::{PieceState, RunState};

use crate::company::Company;
use crate::error::StudyError;
use crate::evaluated_model::EvaluatedModel;
use crate::executor::Executor;
use crate::failures;
use crate::joining::Joining;
use crate::model_key::ModelKey;
use crate::observer::{Event, Observer, Stop};
use crate::preparation::Round;
use crate::progress_file::ProgressFile;
use crate::run_folder;
use crate::work::{Piece, PieceKind, WorkGraph};
use crate::workers::{Claimed, Part, Worker};

/// A run under way.
pub struct Run<'a> {
    pub executor: Executor<'a>,
    pub worker: Worker,
    pub part: Part,
    pub progress: ProgressFile,
    pub joining: Joining<'a>,
    /// Whether the judges' servers were asked whether they work.
    is_probed: bool,
    /// The work that is done: by model, its pieces and whether it stands for its arm.
    finished: BTreeSet<(ModelKey, Vec<String>, bool)>,
    /// The models whose work failed.
    failed: BTreeSet<ModelKey>,
    pub failures: Vec<StudyError>,
    /// Models that this process has done work on.
    worked_on: u32,
    /// Workers have told what they did: it is not told again when it is found done.
    pub follows_workers: bool,
    /// Whether a model may wait for others to answer beside: work went on since all were looked at.
    may_wait: bool,
    /// Answerings that were begun in a batch which did not work.
    apart: RefCell<BTreeSet<String>>,
}

/// The work on one model within a round.
struct ModelPieces {
    /// The pieces that are not done yet.
    left: Range<usize>,
    all: Range<usize>,
    /// Of a training, its number among them.
    number: usize,
    is_announced: bool,
    /// Told that another process works on it.
    is_elsewhere: bool,
    /// Whether this process did any of it.
    is_worked_on: bool,
}

/// How far the work on a model is.
enum Standing {
    /// Done or failed, as far as this process goes.
    Over,
    /// Another process does a piece of it, or of what it starts from; whether this one did any before that.
    Waits { is_further: bool },
}

impl<'a> Run<'a> {
    /// A run in which nothing was done yet.
    pub fn new(
        executor: Executor<'a>,
        worker: Worker,
        part: Part,
        progress: ProgressFile,
        joining: Joining<'a>,
    ) -> Self {
        Self {
            executor,
            worker,
            part,
            progress,
            joining,
            is_probed: false,
            finished: BTreeSet::new(),
            failed: BTreeSet::new(),
            failures: Vec::new(),
            worked_on: 0,
            follows_workers: false,
            may_wait: true,
            apart: RefCell::default(),
        }
    }

    /// Does the work of a round that is not done yet, beside other processes, until all of it is done or failed; whether there
    /// was any.
    ///
    /// # Errors
    /// [`StudyError::Stopped`], and what hinders all work: a file that cannot be written.
    pub fn round(&mut self, round: Round<'a>, observer: &mut dyn Observer) -> Result<bool, StudyError> {
        let Round { models, graph, order, identities, .. } = round;
        self.probe(&models, observer)?;
        self.executor.take(models);
        observer.on_event(&Event::WorkKnown { graph: &graph });
        self.progress.work(&graph, &identities)?;
        (self.joining.order, self.joining.identities) = (order, identities);
        let mut is_done = vec![false; graph.pieces.len()];
        let (mut waiting, mut number) = (Vec::new(), 0);
        for all in graph.by_model() {
            let first = &graph.pieces[all.start];
            number += usize::from(first.kind == PieceKind::Train);
            if self.failed.contains(&first.model) {
                continue;
            }
            if self.finished.contains(&self.named(&graph, &all)?) {
                is_done[all].fill(true);
                self.executor.forget(&first.model);
                continue;
            }
            let (left, is_announced) = (all.clone(), false);
            waiting.push(ModelPieces { left, all, number, is_announced, is_elsewhere: false, is_worked_on: false });
        }
        let (is_new, count) = (!waiting.is_empty(), number);
        let mut pause = Pause::default();
        self.may_wait = true;
        while !waiting.is_empty() {
            let mut is_further = false;
            let mut left = Vec::new();
            for mut model in waiting {
                if self.has_enough() {
                    return Ok(is_new);
                }
                match self.model(&graph, &mut model, count, &mut is_done, observer)? {
                    Standing::Over => {
                        is_further = true;
                        self.worked_on += u32::from(model.is_worked_on);
                    }
                    Standing::Waits { is_further: further } => {
                        is_further |= further;
                        left.push(model);
                    }
                }
            }
            waiting = left;
            self.may_wait = is_further;
            if !waiting.is_empty() {
                pause.wait(is_further, observer)?;
            }
        }
        Ok(is_new)
    }

    /// Whether this process has done as many models as it was to.
    pub fn has_enough(&self) -> bool {
        matches!(self.part, Part::Worker { models: Some(models), .. } if self.worked_on >= models)
    }

    /// The name of the work on a model.
    fn named(&self, graph: &WorkGraph, pieces: &Range<usize>) -> Result<(ModelKey, Vec<String>, bool), StudyError> {
        let model = graph.pieces[pieces.start].model.clone();
        let ids = graph.pieces[pieces.clone()].iter().map(|piece| piece.id.clone()).collect();
        let is_selected = self.executor.model(&model)?.is_selected();
        Ok((model, ids, is_selected))
    }

    /// Before the first training: whether the judges' servers work. What is trained already needs no such caution.
    fn probe(&mut self, models: &[EvaluatedModel<'_>], observer: &mut dyn Observer) -> Result<(), StudyError> {
        let asks = self.part.does(PieceKind::Judge) && self.part.does(PieceKind::Train);
        if self.is_probed || !asks || !models.iter().any(|model| model.is_to_be_trained(self.joining.out)) {
            return Ok(());
        }
        self.is_probed = true;
        match self.executor.has_evaluation() {
            true => self.executor.evaluation()?.probe(observer),
            false => Ok(()),
        }
    }

    /// Goes on with the work on a model as far as it can; what went wrong with it is told.
    fn model(
        &mut self,
        graph: &WorkGraph,
        model: &mut ModelPieces,
        count: usize,
        is_done: &mut [bool],
        observer: &mut dyn Observer,
    ) -> Result<Standing, StudyError> {
        let begin = model.left.start;
        let key = &graph.pieces[model.all.start].model;
        let is_over = self.pieces(graph, model, count, is_done, observer);
        let failure = match is_over {
            Ok(false) => return Ok(Standing::Waits { is_further: model.left.start > begin }),
            Ok(true) => self.joining.rows(&self.executor, &graph.pieces[model.all.clone()], observer),
            Err(error) => Err(error),
        };
        let failure = match failure {
            Ok(stopped) => stopped,
            Err(StudyError::Stopped) => return Err(StudyError::Stopped),
            Err(error) => Some(error),
        };
        let work = self.named(graph, &model.all)?;
        self.executor.forget(key);
        if let Some(error) = failure {
            observer.on_event(&Event::ModelFailed { model: key, error: &error });
            self.failures.push(error);
            self.failed.insert(key.clone());
        } else {
            observer.on_event(&Event::ModelFinished { model: key });
            self.finished.insert(work);
        }
        Ok(Standing::Over)
    }

    /// Does the pieces of one model, in their order, until all are done or another process has the next one; whether all are.
    fn pieces(
        &mut self,
        graph: &WorkGraph,
        model: &mut ModelPieces,
        count: usize,
        is_done: &mut [bool],
        observer: &mut dyn Observer,
    ) -> Result<bool, StudyError> {
        while let Some(index) = model.left.clone().next() {
            let piece = &graph.pieces[index];
            if observer.stop() != Stop::No {
                return Err(StudyError::Stopped);
            }
            match self.before(graph, index, is_done) {
                Before::Done => {}
                Before::Waits => return Ok(false),
                Before::Failed(error) => {
                    self.progress.piece(piece, PieceState::Skipped, Some(&error))?;
                    return Err(error);
                }
            }
            if !self.part.does(piece.kind) {
                self.found(piece)?;
            } else if self.may_wait && self.company(graph, is_done).is_awaited_by(index)?
                || !self.piece(graph, index, model, count, is_done, observer)?
            {
                return Ok(false);
            }
            is_done[index] = true;
            model.left.start += 1;
        }
        Ok(true)
    }

    /// A piece that this process leaves to others: whether what it needs of it is there.
    fn found(&self, piece: &Piece) -> Result<(), StudyError> {
        // A worker that leaves judging needs nothing of it.
        if self.part != Part::Join || self.executor.is_done(piece)? {
            return Ok(());
        }
        if let Some(error) = failures::noted(self.joining.out, &piece.id)? {
            return Err(error);
        }
        let what = match piece.kind {
            PieceKind::Train => "its training is",
            PieceKind::Measure => "its losses are",
            PieceKind::Answer => "its answers are",
            PieceKind::Judge => "its judgements are",
        };
        Err(StudyError::Unjoined { model: piece.model.to_string(), pieces: what.to_owned() })
    }

    /// Does a piece, or finds it done; not while another process does it.
    fn piece(
        &mut self,
        graph: &WorkGraph,
        index: usize,
        model: &mut ModelPieces,
        count: usize,
        is_done: &[bool],
        observer: &mut dyn Observer,
    ) -> Result<bool, StudyError> {
        let piece = &graph.pieces[index];
        // Another process may judge for hours; what it has judged need not wait for that.
        if piece.kind == PieceKind::Judge && self.executor.is_done(piece)? {
            self.progress.piece(piece, PieceState::Done, None)?;
            return Ok(true);
        }
        let identity = self.joining.identities.get(&piece.model).map_or(piece.id.as_str(), String::as_str);
        let claim = match self.worker.take(piece, identity)? {
            Taken::Mine(claim) => claim,
            Taken::Busy(owner) => {
                if let Some(owner) = owner.filter(|_| !std::mem::replace(&mut model.is_elsewhere, true)) {
                    observer.on_event(&Event::Elsewhere { model: &piece.model, by: &failures::shown(&owner) });
                }
                return Ok(false);
            }
        };
        if let Some(error) = failures::noted(self.joining.out, &piece.id)? {
            self.progress.piece(piece, PieceState::Failed, Some(&error))?;
            return Err(error);
        }
        let was_done = self.executor.is_done(piece)?;
        let is_told = !(was_done && self.follows_workers);
        if is_told && !std::mem::replace(&mut model.is_announced, true) {
            self.announce(&graph.pieces[model.all.start], model.number, count, observer)?;
        }
        if !was_done {
            self.progress.piece(piece, PieceState::Running, None)?;
            model.is_worked_on = true;
        }
        // Of what is done only a training has something to tell.
        let done = match was_done && piece.kind != PieceKind::Train {
            true => Ok(()),
            false => self.company(graph, is_done).answer(index, &claim, observer).and_then(|()| {
                self.executor.execute(piece, &mut Claimed { observer: &mut *observer, claim: &claim, is_told })
            }),
        };
        match done {
            Ok(()) => self.progress.piece(piece, PieceState::Done, None)?,
            // Whoever took it over says how far it is.
            Err(_) if claim.is_lost() => return Err(StudyError::ClaimLost),
            Err(StudyError::Stopped) => {
                self.progress.piece(piece, PieceState::Waiting, Some(&StudyError::Stopped))?;
                return Err(StudyError::Stopped);
            }
            // Another one may have room for it.
            Err(error) if error.is_of_this_machine() => {
                self.progress.piece(piece, PieceState::Failed, Some(&error))?;
                model.is_worked_on = false;
                return Err(error);
            }
            Err(error) => {
                self.progress.piece(piece, PieceState::Failed, Some(&error))?;
                failures::note(self.joining.out, &piece.id, &error, &self.worker.me)?;
                return Err(error);
            }
        }
        Ok(true)
    }

    /// Whom a model may answer beside.
    fn company<'r>(&'r self, graph: &'r WorkGraph, is_done: &'r [bool]) -> Company<'r, 'a> {
        let Self { executor, worker, progress, failed, part, apart, .. } = self;
        Company { graph, is_done, executor, worker, progress, failed, part: *part, apart }
    }

    /// Tells that work on a model begins.
    fn announce(
        &self,
        first: &Piece,
        number: usize,
        count: usize,
        observer: &mut dyn Observer,
    ) -> Result<(), StudyError> {
        let model = &first.model;
        observer.on_event(&match first.kind {
            PieceKind::Train => Event::ArmStarted { model, number, count },
            PieceKind::Measure | PieceKind::Answer | PieceKind::Judge => match self.executor.model(model)? {
                EvaluatedModel::Variant(variant) => {
                    Event::VariantStarted { model, of: &variant.parent.key, form: variant.form }
                }
                EvaluatedModel::Base { .. } | EvaluatedModel::Arm(_) => Event::BaseStarted { model },
            },
        });
        Ok(())
    }

    /// Whether all that a piece needs of another model is there. A piece of the same content that failed hinders nothing: this
    /// one may tell why.
    fn before(&self, graph: &WorkGraph, index: usize, is_done: &[bool]) -> Before {
        let piece = &graph.pieces[index];
        for before in piece.depends_on.iter().filter(|before| !is_done[**before]) {
            let before = &graph.pieces[*before];
            let has_failed = self.failed.contains(&before.model);
            match (has_failed, before.id == piece.id) {
                (true, true) => {}
                (true, false) => {
                    let (arm, parent) = (piece.model.to_string(), before.model.to_string());
                    return Before::Failed(StudyError::ParentFailed { arm, parent });
                }
                (false, _) => return Before::Waits,
            }
        }
        Before::Done
    }

    /// What comes together when all models are done: the judges that wait for all answers.
    ///
    /// # Errors
    /// As [`Run::round`].
    pub fn join(&mut self, observer: &mut dyn Observer) -> Result<(), StudyError> {
        if self.joining.has_waiting_judges(&self.executor) {
            let mut pause = Pause::default();
            let _claim = loop {
                match self.worker.take_judging()? {
                    Taken::Mine(claim) => break claim,
                    Taken::Busy(_) => pause.wait(false, observer)?,
                }
            };
            self.failures.extend(self.joining.judge_together(&self.executor, observer)?);
        }
        let joined = self.joined()?;
        Ok(tunebench_files::write_json(&run_folder::joined(self.joining.out), &joined)?)
    }

    /// As [`Run::join`], unless another process does it or did.
    ///
    /// # Errors
    /// As [`Run::round`].
    pub fn join_as_worker(&mut self, observer: &mut dyn Observer) -> Result<(), StudyError> {
        if matches!(self.part, Part::Worker { models: Some(_), .. } | Part::Worker { leaves_judging: true, .. }) {
            return Ok(());
        }
        let Some(_end) = self.worker.take_end()? else {
            observer.on_event(&Event::JoinedElsewhere);
            return Ok(());
        };
        let file = run_folder::joined(self.joining.out);
        let before: Option<String> = if file.exists() { tunebench_files::read_json(&file).ok() } else { None };
        if before.is_some_and(|before| self.joined().is_ok_and(|joined| joined == before)) {
            observer.on_event(&Event::JoinedElsewhere);
        } else {
            self.join(observer)?;
        }
        self.progress.end(if self.failures.is_empty() { RunState::Finished } else { RunState::Failed })
    }

    /// What is joined, by name: the same for every process that has seen the end of it.
    fn joined(&self) -> Result<String, StudyError> {
        let identities = &self.joining.identities;
        let models: BTreeMap<String, Option<&String>> =
            self.finished.iter().map(|(model, ..)| (model.to_string(), identities.get(model))).collect();
        let failed: Vec<String> = self.failed.iter().map(ToString::to_string).collect();
        Ok(hash::of_json(&(models, failed))?)
    }
}

/// How it stands with what a piece needs.
enum Before {
    Done,
    Waits,
    Failed(StudyError),
}

/// How long to wait for other processes: longer each time that nothing came of it.
struct Pause {
    next: Duration,
}

impl Default for Pause {
    fn default() -> Self {
        Self { next: Self::FIRST }
    }
}

impl Pause {
    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(2);
    /// The user is heard at least this often.
    const SLICE: Duration = Duration::from_millis(50);

    fn wait(&mut self, is_further: bool, observer: &dyn Observer) -> Result<(), StudyError> {
        if is_further {
            *self = Self::default();
            return Ok(());
        }
        let mut left = self.next;
        while left > Duration::ZERO {
            if observer.stop() != Stop::No {
                return Err(StudyError::Stopped);
            }
            std::thread::sleep(left.min(Self::SLICE));
            left = left.saturating_sub(Self::SLICE);
        }
        self.next = (self.next * 2).min(Self::LONGEST);
        Ok(())
    }
}
