//! What a run says of itself in `work/progress.json`, for whoever watches it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use tunebench_spec::progress::{FILE, PieceProgress, PieceState, Progress, RunState};

use crate::error::StudyError;
use crate::model_key::ModelKey;
use crate::run_folder;
use crate::work::{Piece, PieceKind, WorkGraph};

/// Most messages that are kept.
const MOST_MESSAGES: usize = 50;

/// The file, written anew whenever the work changes.
pub struct ProgressFile {
    root: PathBuf,
    progress: Progress,
}

impl ProgressFile {
    /// Of a run of this study that begins now.
    pub fn new(root: &Path, study: &str) -> Self {
        // A clock before 1970 tells no time.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let progress = Progress {
            study: study.to_owned(),
            process: std::process::id(),
            host: host.trim().to_owned(),
            started_unix_seconds: now,
            state: RunState::Running,
            pieces: Vec::new(),
            messages: Vec::new(),
        };
        Self { root: root.to_owned(), progress }
    }

    /// The work that is known now; a piece that was there before keeps its state.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn work(&mut self, graph: &WorkGraph, identities: &BTreeMap<ModelKey, String>) -> Result<(), StudyError> {
        let mut before: BTreeMap<String, PieceProgress> =
            self.progress.pieces.drain(..).map(|piece| (piece.id.clone(), piece)).collect();
        let known = |piece: &Piece| {
            let id = name(piece);
            before.remove(&id).unwrap_or_else(|| described(piece, id, identities))
        };
        let mut pieces: Vec<PieceProgress> = graph.pieces.iter().map(known).collect();
        // What was done in an earlier round is no part of this one's work, but of the run's.
        pieces.splice(0..0, before.into_values());
        self.progress.pieces = pieces;
        self.write()
    }

    /// A piece is in another state.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn piece(&mut self, piece: &Piece, state: PieceState, error: Option<&StudyError>) -> Result<(), StudyError> {
        let id = name(piece);
        if let Some(found) = self.progress.pieces.iter_mut().find(|found| found.id == id) {
            found.state = state;
            found.error = error.map(ToString::to_string);
        }
        if let Some(error) = error {
            self.progress.messages.push(error.to_string());
            let surplus = self.progress.messages.len().saturating_sub(MOST_MESSAGES);
            self.progress.messages.drain(..surplus);
        }
        self.write()
    }

    /// The run is over.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn end(&mut self, state: RunState) -> Result<(), StudyError> {
        self.progress.state = state;
        self.write()
    }

    fn write(&self) -> Result<(), StudyError> {
        Ok(tunebench_files::write_json(&self.root.join(FILE), &self.progress)?)
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
    PieceProgress { id, kind, arm, seed, candidate, state, total, predicted_seconds: None, log, error: None }
}
