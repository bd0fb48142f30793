//! What a run says of itself in `work/progress.json`, for whoever watches it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use tunebench_files::{Lock, Owner};
use tunebench_spec::progress::{FILE, PieceProgress, PieceState, Progress, RunState};

use crate::error::StudyError;
use crate::failures::shown;
use crate::model_key::ModelKey;
use crate::run_folder;
use crate::work::{Piece, PieceKind, WorkGraph};

/// Most messages that are kept.
const MOST_MESSAGES: usize = 50;

/// The file, changed whenever the work changes, by all processes that work on the run.
pub struct ProgressFile {
    root: PathBuf,
    study: String,
    me: Owner,
    /// When this process began, seconds since 1970.
    began: u64,
}

impl ProgressFile {
    /// Of a run of this study that begins now, or, for a worker, goes on.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn new(root: &Path, study: &str, me: &Owner, is_worker: bool) -> Result<Self, StudyError> {
        // A clock before 1970 tells no time.
        let began = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let this = Self { root: root.to_owned(), study: study.to_owned(), me: me.clone(), began };
        if !is_worker {
            this.change(|progress| *progress = this.begin())?;
        }
        Ok(this)
    }

    /// The work that is known now; a piece that was there before keeps its state.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn work(&self, graph: &WorkGraph, identities: &BTreeMap<ModelKey, String>) -> Result<(), StudyError> {
        self.change(|progress| {
            let mut before: BTreeMap<String, PieceProgress> =
                progress.pieces.drain(..).map(|piece| (piece.id.clone(), piece)).collect();
            let known = |piece: &Piece| {
                let id = name(piece);
                before.remove(&id).unwrap_or_else(|| described(piece, id, identities))
            };
            let mut pieces: Vec<PieceProgress> = graph.pieces.iter().map(known).collect();
            // What was done in an earlier round is no part of this one's work, but of the run's.
            pieces.splice(0..0, before.into_values());
            progress.pieces = pieces;
        })
    }

    /// A piece is in another state, by this process.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn piece(&self, piece: &Piece, state: PieceState, error: Option<&StudyError>) -> Result<(), StudyError> {
        let id = name(piece);
        self.change(|progress| {
            if state == PieceState::Running {
                progress.state = RunState::Running;
            }
            if let Some(found) = progress.pieces.iter_mut().find(|found| found.id == id) {
                // Who did it stays, where another process only finds it done.
                if found.state != state || found.by.is_empty() {
                    found.by = shown(&self.me);
                }
                found.state = state;
                found.error = error.map(ToString::to_string);
            }
            if let Some(error) = error {
                progress.messages.push(error.to_string());
                let surplus = progress.messages.len().saturating_sub(MOST_MESSAGES);
                progress.messages.drain(..surplus);
            }
        })
    }

    /// The run is over.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn end(&self, state: RunState) -> Result<(), StudyError> {
        self.change(|progress| progress.state = state)
    }

    /// Reads the file, changes it and writes it, while no other process does.
    fn change(&self, change: impl FnOnce(&mut Progress)) -> Result<(), StudyError> {
        let _lock = Lock::wait(&self.root.join("work/progress.lock"))?;
        let path = self.root.join(FILE);
        // One that is missing or damaged is made anew: it says nothing that is not to be seen in the folder itself.
        let found = tunebench_files::read_json::<Progress>(&path).ok();
        let mut progress = found.filter(|found| found.study == self.study).unwrap_or_else(|| self.begin());
        (progress.process, progress.host) = (self.me.process, self.me.host.clone());
        progress.process_unix_seconds = self.began;
        change(&mut progress);
        Ok(tunebench_files::write_json(&path, &progress)?)
    }

    fn begin(&self) -> Progress {
        Progress {
            study: self.study.clone(),
            process: self.me.process,
            host: self.me.host.clone(),
            started_unix_seconds: self.began,
            process_unix_seconds: self.began,
            state: RunState::Running,
            pieces: Vec::new(),
            messages: Vec::new(),
        }
    }
}

/// Pieces of equal content have equal ids; what is done for a model has a name of its own.
fn name(piece: &Piece) -> String {
    format!("{} {}", piece.id, piece.model)
}

fn described(piece: &Piece, id: String, identities: &BTreeMap<ModelKey, String>) -> PieceProgress {
    let (kind, log) = match piece.kind {
        PieceKind::Train => ("train", identities.get(&piece.model).map(|of| run_folder::steps_log(of))),
        PieceKind::Measure => ("measure", None),
        PieceKind::Answer => ("answer", Some(run_folder::answers_log(&piece.id))),
        PieceKind::Judge => ("judge", None),
    };
    let ModelKey { arm, candidate, seed, .. } = piece.model.clone();
    let (state, total) = (PieceState::Waiting, piece.until.or(piece.total));
    let kind = kind.to_owned();
    PieceProgress {
        id,
        kind,
        arm,
        seed,
        candidate,
        state,
        total,
        predicted_seconds: None,
        log,
        error: None,
        by: String::new(),
    }
}
