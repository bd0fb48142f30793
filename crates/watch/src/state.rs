//! What is shown of a study, made of what it says of itself and of the logs of its pieces. Nothing here reads or draws.

use std::collections::BTreeMap;

use tunebench_spec::progress::RunState;

use crate::facts::Facts;
use crate::log::TrainingLog;
use crate::process::Process;
use crate::text::clean;
use crate::work::{Estimate, Mark, Speeds, Work};

/// What is shown. All text is safe for a terminal.
#[derive(Debug)]
pub struct View<'a> {
    pub study: String,
    pub standing: Standing,
    /// The machine, where it is known.
    pub host: String,
    pub process: u32,
    pub elapsed_seconds: Option<f64>,
    /// None where nothing is left, or nobody goes on with it.
    pub left: Option<Estimate>,
    /// Bytes resident now, and at most so far.
    pub resident: Option<u64>,
    pub peak: Option<u64>,
    pub total_memory: Option<u64>,
    pub counts: Counts,
    /// One for each arm, candidate and seed, in the order of the study's work.
    pub rows: Vec<Row<'a>>,
    /// Oldest first.
    pub messages: Vec<String>,
}

/// How it stands with a study, as far as can be told from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No study has begun in the folder.
    None,
    Running,
    /// It says that it runs, on another machine.
    Elsewhere,
    Finished,
    Failed,
    Interrupted,
    /// It says that it runs, and its process is gone.
    Gone,
}

/// Pieces of work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub all: usize,
    pub done: usize,
    pub failed: usize,
    pub skipped: usize,
}

/// An arm with one candidate and seed, and all its pieces of work.
#[derive(Debug)]
pub struct Row<'a> {
    /// What is done, for work that is no arm's.
    pub arm: String,
    pub candidate: String,
    pub seed: u64,
    pub mark: Mark,
    /// What is done for it, in order, each kind once.
    pub work: Vec<(String, Mark)>,
    /// The piece that is worked on, or will be next, or was last.
    pub current: Current,
    /// Smoothed, nats per token.
    pub loss: Option<f64>,
    /// The last one, nats per token.
    pub held_out: Option<f64>,
    /// While it trains.
    pub tokens_per_second: Option<f64>,
    pub left_seconds: Option<f64>,
    /// Why it failed or was skipped.
    pub error: Option<String>,
    /// The process that works on it, or did last.
    pub by: String,
    pub training: Option<&'a TrainingLog>,
    /// Steps of that training.
    pub training_total: Option<u64>,
}

/// A piece and how far it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Current {
    pub kind: String,
    pub done: u64,
    pub total: Option<u64>,
    /// From 0 to 1.
    pub share: Option<f64>,
}

impl<'a> View<'a> {
    /// What is to be seen of a folder.
    pub fn of(facts: &Facts<'a>) -> Self {
        let messages = facts.progress.iter().flat_map(|progress| &progress.messages).chain(&facts.troubles);
        let mut view = Self {
            study: String::new(),
            standing: Standing::None,
            host: String::new(),
            process: 0,
            elapsed_seconds: None,
            left: None,
            resident: None,
            peak: None,
            total_memory: facts.total_memory,
            counts: Counts::default(),
            rows: Vec::new(),
            messages: messages.map(|text| clean(text)).collect(),
        };
        let Some(progress) = facts.progress else { return view };
        view.study = clean(&progress.study);
        view.host = clean(&progress.host);
        view.process = progress.process;
        view.standing = match (progress.state, facts.process) {
            (RunState::Finished, _) => Standing::Finished,
            (RunState::Failed, _) => Standing::Failed,
            (RunState::Interrupted, _) => Standing::Interrupted,
            (RunState::Running, Process::Here { .. }) => Standing::Running,
            (RunState::Running, Process::Elsewhere) => Standing::Elsewhere,
            (RunState::Running, Process::Gone) => Standing::Gone,
        };
        let goes_on = matches!(view.standing, Standing::Running | Standing::Elsewhere);
        if let (Standing::Running, Process::Here { resident, peak }) = (view.standing, facts.process) {
            (view.resident, view.peak) = (resident, peak);
        }
        let until = if goes_on { Some(facts.now_unix_seconds) } else { facts.last_change_unix_seconds };
        let started = Some(progress.started_unix_seconds as f64).filter(|started| *started > 0.0);
        view.elapsed_seconds = started.and_then(|started| Some((until? - started).max(0.0)));

        let works: Vec<Work<'a>> = progress.pieces.iter().map(|piece| Work::of(piece, facts, goes_on)).collect();
        let speeds = Speeds::of(&works);
        let counted = |mark: Mark| works.iter().filter(|work| work.mark == mark).count();
        view.counts = Counts {
            all: works.len(),
            done: counted(Mark::Done),
            failed: counted(Mark::Failed),
            skipped: counted(Mark::Skipped),
        };
        view.left = goes_on.then(|| Estimate::of_all(&works, &speeds));
        view.rows = groups(&works).iter().map(|group| row(group, &speeds, goes_on)).collect();
        view
    }
}

impl View<'_> {
    /// The process that is named above, as pieces name theirs.
    pub fn by(&self) -> String {
        format!("{}, process {}", self.host, self.process)
    }
}

/// The pieces of each arm, candidate and seed, in the order in which each is named first.
fn groups<'w, 'a>(works: &'w [Work<'a>]) -> Vec<Vec<&'w Work<'a>>> {
    let mut groups: Vec<Vec<&Work<'_>>> = Vec::new();
    let mut places: BTreeMap<(&str, &str, u64), usize> = BTreeMap::new();
    for work in works {
        let piece = work.piece;
        let name = if piece.arm.is_empty() { &piece.kind } else { &piece.arm };
        let place = *places.entry((name, &piece.candidate, piece.seed)).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push(work),
            None => groups.push(vec![work]),
        }
    }
    groups
}

fn row<'a>(group: &[&Work<'a>], speeds: &Speeds<'a>, goes_on: bool) -> Row<'a> {
    let mut work: Vec<(String, Mark)> = Vec::new();
    for piece in group {
        match work.iter_mut().find(|(kind, _)| *kind == piece.piece.kind) {
            Some((_, mark)) => *mark = together(*mark, piece.mark),
            None => work.push((piece.piece.kind.clone(), piece.mark)),
        }
    }
    let first = |wanted: Mark| group.iter().find(|work| work.mark == wanted);
    let order = [Mark::Running, Mark::Stopped, Mark::Failed, Mark::Waiting, Mark::Skipped];
    let current = order.into_iter().find_map(first).or(group.last());
    let training = group.iter().rev().find(|work| work.training.is_some_and(|log| log.done() > 0));
    let log = training.and_then(|work| work.training);
    let left: Option<f64> = group.iter().map(|work| work.seconds_left(speeds)).sum();
    let is_training = training.is_some_and(|work| work.mark == Mark::Running);
    let error = group.iter().find_map(|work| work.piece.error.as_deref().filter(|_| work.mark != Mark::Done));
    let by = current
        .filter(|work| !work.piece.by.is_empty())
        .or_else(|| group.iter().rev().find(|work| !work.piece.by.is_empty()));
    let piece = group.first().map(|work| work.piece);
    Row {
        arm: piece.map_or(String::new(), |piece| clean(if piece.arm.is_empty() { &piece.kind } else { &piece.arm })),
        candidate: piece.map_or(String::new(), |piece| clean(&piece.candidate)),
        seed: piece.map_or(0, |piece| piece.seed),
        mark: work.iter().map(|(_, mark)| *mark).reduce(together).unwrap_or(Mark::Waiting),
        work: work.into_iter().map(|(kind, mark)| (clean(&kind), mark)).collect(),
        current: current.map_or(Current::default(), |work| Current {
            kind: clean(&work.piece.kind),
            done: work.done,
            total: work.piece.total,
            share: work.share(),
        }),
        loss: log.and_then(TrainingLog::loss),
        held_out: log.and_then(|log| log.held_out().last()?.loss),
        tokens_per_second: log.filter(|_| is_training).and_then(TrainingLog::tokens_per_second),
        left_seconds: left.filter(|_| goes_on),
        error: error.map(clean),
        by: by.map_or(String::new(), |work| clean(&work.piece.by)),
        training: log,
        training_total: training.and_then(|work| work.piece.total),
    }
}

/// One sign for two pieces: what most wants to be seen, and done only where both are.
fn together(a: Mark, b: Mark) -> Mark {
    let order = [Mark::Running, Mark::Stopped, Mark::Failed, Mark::Waiting, Mark::Skipped];
    order.into_iter().find(|mark| a == *mark || b == *mark).unwrap_or(Mark::Done)
}
