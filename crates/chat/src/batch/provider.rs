//! What a batch API is to `run`, whoever's it is.

use std::path::Path;

use serde_json::Value;

use super::calls::Calls;
use super::create_error::CreateError;
use super::journal::{Journal, Submission};
use crate::error::ChatError;

/// A batch API, in the words of its provider.
pub(super) trait Provider: Sync {
    /// What stands before the requests of a submission, between two of them, and behind them.
    fn frame(&self) -> [&'static str; 3];

    /// A request of a submission, by its name and body.
    fn line(&self, name: &str, body: &Value) -> Value;

    /// The newest batch of all that the server has.
    ///
    /// # Errors
    /// When the server does not say.
    fn newest(&self, calls: &Calls<'_>) -> Result<Option<String>, ChatError>;

    /// Uploads the requests, where that comes first; the file's number. It is paid for only by [`Provider::create`].
    ///
    /// # Errors
    /// When the server does not take them.
    fn upload(&self, calls: &Calls<'_>, payload: &Path) -> Result<Option<String>, CreateError>;

    /// Makes the batch, of the file or of the payload; its number. It is sent once.
    ///
    /// # Errors
    /// [`CreateError`] says whether the batch may have been made.
    fn create(&self, calls: &Calls<'_>, token: &str, file: Option<&str>, payload: &Path)
    -> Result<String, CreateError>;

    /// Looks for the batch of a submission that has no number yet.
    ///
    /// # Errors
    /// When the server cannot be asked.
    fn look_up(&self, calls: &Calls<'_>, submission: &Submission, journal: &Journal) -> Result<Found, ChatError>;

    /// How a batch is.
    ///
    /// # Errors
    /// When the server does not say.
    fn state(&self, calls: &Calls<'_>, batch: &str) -> Result<State, ChatError>;

    /// What a line of results says.
    ///
    /// # Errors
    /// What it is instead of a result.
    fn read(&self, line: &str) -> Result<Line, String>;
}

/// What a look for a batch found.
#[derive(Debug, PartialEq)]
pub(super) enum Found {
    /// It is this one.
    Made(String),
    /// None of those that the server has.
    NotMade,
    /// It cannot have been made.
    Never,
    /// Maybe this one, which must end before that shows.
    Perhaps(String),
}

/// How a batch is.
#[derive(Debug, Default)]
pub(super) struct State {
    /// In the server's words.
    pub status: String,
    /// Requests that are answered or failed.
    pub done: u64,
    pub total: u64,
    pub end: Option<End>,
}

/// How a batch ended.
#[derive(Debug)]
pub(super) enum End {
    /// It has results, maybe not of all requests, at these paths; so many of them are replies, 0 where the server does not
    /// say.
    Results { paths: Vec<String>, replies: u64 },
    /// It was not begun: something is wrong with it as a whole.
    Invalid(Vec<Fault>),
}

/// What is wrong with a batch.
#[derive(Debug, Default)]
pub(super) struct Fault {
    pub code: String,
    pub message: String,
    /// The field of a request.
    pub param: String,
    /// Of the submission, counted from 1.
    pub line: Option<usize>,
}

/// A line of results.
#[derive(Debug)]
pub(super) struct Line {
    pub name: String,
    pub outcome: Outcome,
}

/// What came of one request.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The body of a response with a good status, as it would have come by itself.
    Answered { body: String, request_id: String },
    /// A response that says no.
    Refused { status: u16, body: String },
    /// Never begun: expired, or cancelled. Not billed.
    NotBegun(String),
}
