//! A piece of work with its log: how far it is, how fast, and how long it will take.

use std::collections::BTreeMap;

use tunebench_spec::progress::{PieceProgress, PieceState};

use crate::facts::{Facts, Log};
use crate::log::TrainingLog;

/// How it stands with work, as a sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Waiting,
    Running,
    /// It was running when its process ended.
    Stopped,
    Done,
    Failed,
    Skipped,
}

/// A piece and what its log says.
pub struct Work<'a> {
    pub piece: &'a PieceProgress,
    pub mark: Mark,
    /// Steps or items.
    pub done: u64,
    pub training: Option<&'a TrainingLog>,
    /// Measured by the log.
    seconds_per_unit: Option<f64>,
    /// What it took so far, where the log tells.
    seconds: Option<f64>,
}

impl<'a> Work<'a> {
    /// `goes_on`: somebody works on the study.
    pub fn of(piece: &'a PieceProgress, facts: &Facts<'a>, goes_on: bool) -> Self {
        let mark = match piece.state {
            PieceState::Waiting => Mark::Waiting,
            PieceState::Running if goes_on => Mark::Running,
            PieceState::Running => Mark::Stopped,
            PieceState::Done => Mark::Done,
            PieceState::Failed => Mark::Failed,
            PieceState::Skipped => Mark::Skipped,
        };
        let base = Self { piece, mark, done: 0, training: None, seconds_per_unit: None, seconds: None };
        let mut work = match facts.logs.get(piece.id.as_str()) {
            None => base,
            Some(Log::Training(log)) => {
                let seconds = Some(log.seconds()).filter(|seconds| *seconds > 0.0);
                let seconds_per_unit = log.seconds_per_step();
                Self { done: log.done(), training: Some(log), seconds_per_unit, seconds, ..base }
            }
            Some(Log::Items(log)) => Self { done: log.done, seconds_per_unit: log.seconds_per_item(), ..base },
        };
        if let (Mark::Done, Some(total)) = (mark, piece.total) {
            work.done = total; // its log may have been cleared away
        }
        work
    }

    /// From 0 to 1, where there is a total.
    pub fn share(&self) -> Option<f64> {
        let total = self.piece.total.filter(|total| *total > 0)?;
        Some((self.done as f64 / total as f64).min(1.0))
    }

    /// How long the rest takes: by the speed measured, else by what was predicted for it or what others of its kind
    /// took. None where nothing tells.
    pub fn seconds_left(&self, speeds: &Speeds<'_>) -> Option<f64> {
        if matches!(self.mark, Mark::Done | Mark::Failed | Mark::Skipped) {
            return Some(0.0);
        }
        if let (Some(each), Some(total)) = (self.seconds_per_unit, self.piece.total) {
            return Some(each * total.saturating_sub(self.done) as f64);
        }
        let (correction, mean) = speeds.of_kind(&self.piece.kind);
        let whole = self.piece.predicted_seconds.map(|predicted| predicted * correction).or(mean)?;
        let left = whole * (1.0 - self.share().unwrap_or(0.0));
        left.is_finite().then_some(left.max(0.0))
    }
}

/// What the work done so far says of the work to come, by kind.
#[derive(Default)]
pub struct Speeds<'a> {
    kinds: BTreeMap<&'a str, Speed>,
}

#[derive(Default)]
struct Speed {
    /// Of work that had a prediction: what it took, and what was predicted for as much of it.
    measured_seconds: f64,
    predicted_seconds: f64,
    /// Of whole pieces, in pieces' worth.
    seconds: f64,
    pieces: f64,
}

/// Less of a piece than this says nothing: the first steps are slow.
const LEAST_SHARE: f64 = 0.05;

impl<'a> Speeds<'a> {
    /// From all pieces of a study.
    pub fn of(works: &[Work<'a>]) -> Self {
        let mut kinds: BTreeMap<&str, Speed> = BTreeMap::new();
        for work in works {
            let (Some(seconds), Some(share)) = (work.seconds, work.share().filter(|share| *share >= LEAST_SHARE))
            else {
                continue;
            };
            let speed = kinds.entry(&work.piece.kind).or_default();
            speed.seconds += seconds;
            speed.pieces += share;
            if let Some(predicted) = work.piece.predicted_seconds.filter(|predicted| *predicted > 0.0) {
                speed.measured_seconds += seconds;
                speed.predicted_seconds += predicted * share;
            }
        }
        Self { kinds }
    }

    /// By what to multiply a prediction, and the mean seconds of a whole piece.
    fn of_kind(&self, kind: &str) -> (f64, Option<f64>) {
        let Some(speed) = self.kinds.get(kind) else { return (1.0, None) };
        let correction =
            if speed.predicted_seconds > 0.0 { speed.measured_seconds / speed.predicted_seconds } else { 1.0 };
        (correction, Some(speed.seconds / speed.pieces))
    }
}

/// How long all that is left takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    pub seconds: f64,
    /// Some pieces tell nothing, so that it will take longer.
    pub is_least: bool,
}

impl Estimate {
    /// Of every piece what is left, worked on as many at a time as now.
    pub fn of_all(works: &[Work<'_>], speeds: &Speeds<'_>) -> Self {
        let at_once = works.iter().filter(|work| work.mark == Mark::Running).count().max(1);
        let left: Vec<Option<f64>> = works.iter().map(|work| work.seconds_left(speeds)).collect();
        let seconds: f64 = left.iter().flatten().sum();
        let longest = left.iter().flatten().fold(0.0, |a: f64, b| a.max(*b));
        Self { seconds: (seconds / at_once as f64).max(longest), is_least: left.contains(&None) }
    }
}
