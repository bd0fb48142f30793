//! A run folder, looked at again and again: what the study says of itself, and the logs of its pieces.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tunebench_files as files;
use tunebench_spec::progress::{self, PieceProgress, Progress};

use crate::error::Error;
use crate::facts::{Facts, Log};
use crate::log::{ItemLog, TrainingLog};
use crate::process::{self, Process};
use crate::state::View;

/// What is known of a folder so far.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Where `proc` is.
    system: PathBuf,
    progress: Option<Progress>,
    process: Process,
    /// By the piece's name: the log's path as the study gives it, and what was read of it.
    logs: BTreeMap<String, (String, Log)>,
    troubles: Vec<String>,
    opened: Instant,
}

impl Folder {
    /// Looks at a folder for the first time.
    ///
    /// # Errors
    /// [`Error::NoFolder`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_on(path, Path::new("/"))
    }

    /// As [`Folder::open`], on a system whose `proc` is in another folder than `/`.
    ///
    /// # Errors
    /// [`Error::NoFolder`].
    pub fn open_on(path: &Path, system: &Path) -> Result<Self, Error> {
        if !path.is_dir() {
            return Err(Error::NoFolder { path: path.to_owned() });
        }
        let mut folder = Self {
            path: path.to_owned(),
            system: system.to_owned(),
            progress: None,
            process: Process::Elsewhere,
            logs: BTreeMap::new(),
            troubles: Vec::new(),
            opened: Instant::now(),
        };
        folder.refresh();
        Ok(folder)
    }

    /// Looks again. Of each log only what is new is read. What cannot be read is said in the view.
    pub fn refresh(&mut self) {
        self.troubles.clear();
        let file = self.path.join(progress::FILE);
        match files::read_json::<Progress>(&file) {
            Ok(progress) => self.progress = Some(progress),
            Err(files::Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                self.progress = None;
            }
            // What was known before is shown on, and this beside it.
            Err(error) => self.troubles.push(error.to_string()),
        }
        let Some(progress) = &self.progress else { return };
        let began = progress.process_unix_seconds.max(progress.started_unix_seconds);
        self.process = process::look(&self.system, &progress.host, progress.process, began);
        let mut known = std::mem::take(&mut self.logs);
        let now_seconds = self.opened.elapsed().as_secs_f64();
        for piece in &progress.pieces {
            let Some(name) = &piece.log else { continue };
            let before = known.remove(&piece.id).filter(|(path, _)| path == name).map(|(_, log)| log);
            match open_log(&self.path, piece, name, before).and_then(|log| read(log, name, now_seconds)) {
                Ok((log, words)) => {
                    self.troubles.extend(words);
                    self.logs.insert(piece.id.clone(), (name.clone(), log));
                }
                Err(words) => self.troubles.push(words),
            }
        }
    }

    /// What is to be shown of it now.
    pub fn view(&self) -> View<'_> {
        self.view_at(unix_seconds(SystemTime::now()))
    }

    /// What is to be shown of it at a time, seconds since 1970.
    pub fn view_at(&self, now_unix_seconds: f64) -> View<'_> {
        View::of(&Facts {
            progress: self.progress.as_ref(),
            logs: self.logs.iter().map(|(id, (_, log))| (id.as_str(), log)).collect(),
            process: self.process,
            total_memory: process::total_memory(&self.system),
            now_unix_seconds,
            last_change_unix_seconds: self.last_change(),
            troubles: self.troubles.clone(),
        })
    }

    /// When the study's own file or one of the logs changed last, seconds since 1970.
    fn last_change(&self) -> Option<f64> {
        let logs = self.logs.values().map(|(name, _)| name.as_str());
        let changed = |name: &str| fs::metadata(self.path.join(name)).and_then(|there| there.modified()).ok();
        logs.chain([progress::FILE]).filter_map(changed).max().map(unix_seconds)
    }
}

/// The log as it is known, or a new one. A path that leaves the folder is refused: it comes from a file.
fn open_log(folder: &Path, piece: &PieceProgress, name: &str, before: Option<Log>) -> Result<Log, String> {
    if let Some(log) = before {
        return Ok(log);
    }
    if !Path::new(name).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(format!("log {name}: is outside of the folder and is not read"));
    }
    let path = folder.join(name);
    match piece.kind.as_str() {
        "train" => Ok(Log::Training(TrainingLog::new(&path))),
        _ => Ok(Log::Items(ItemLog::new(&path))),
    }
}

/// Takes in what is new; words for lines that are left out.
fn read(mut log: Log, name: &str, now_seconds: f64) -> Result<(Log, Option<String>), String> {
    let read = match &mut log {
        Log::Training(log) => log.refresh(),
        Log::Items(log) => log.refresh(now_seconds),
    };
    read.map_err(|error| format!("log {name}: {error}"))?;
    let unreadable = match &log {
        Log::Training(log) => log.unreadable(),
        Log::Items(_) => 0,
    };
    let words =
        (unreadable > 0).then(|| format!("log {name} or losses.jsonl beside it: {unreadable} lines left out, damaged"));
    Ok((log, words))
}

fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
