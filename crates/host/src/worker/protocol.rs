//! What host and worker say to each other: a command, then its response; in a thread as values, to a process as JSON.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::adapter::{Reading, Reply, Request, SourceFiles};
use crate::error::HostError;
use crate::load::{LoadCheck, LockFile, Plugin};
use crate::options::Options;

/// What a worker is told: files are opened first of all, then a plugin is loaded, then a session begun and asked.
#[derive(Serialize, Deserialize)]
pub(crate) enum Command {
    /// The source of a dataset.
    OpenFiles(SourceFiles, Reading),
    Load {
        path: PathBuf,
        lock_file: LockFile,
    },
    Begin(Options),
    Ask(Request),
}

/// What it says of one command; one more after the last says what became of dropping the plugin's value.
#[derive(Serialize, Deserialize)]
pub(crate) enum Response {
    /// Of [`Command::Load`], before the response itself: one for each check.
    Passed(LoadCheck),
    Loaded(Box<Plugin>),
    Replied(Reply),
    Done,
}

/// A response, or why there is none.
pub(crate) type Answer = Result<Response, HostError>;

/// The host's way to a worker.
pub(crate) trait Connection: Send {
    /// Tells it one more thing. That nobody listens any more shows when its answer is waited for.
    ///
    /// # Errors
    /// Why this cannot be told.
    fn send(&mut self, command: Command) -> Result<(), String>;

    /// Tells it that there is no more: it drops the plugin's value, answers that, and ends.
    fn close(&mut self);

    /// Ends it, where that can be done; says how it ended.
    fn end(&mut self) -> String;
}
