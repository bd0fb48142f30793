//! Whoever answers chat requests, and what comes of one.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tunebench_spec::ChatRequest;

use crate::error::ChatError;

/// A response that was paid for, as text, with keys blanked out should the server echo them. It is kept as it came: what it
/// says is read by [`crate::Reply::read`], today and by any later and better reader.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RawResponse {
    /// The whole body, be it JSON or server-sent events.
    pub body: String,
    /// `x-request-id` or its like, for inquiries with the server's operator; empty when not given.
    pub request_id: String,
    /// Of the attempt that succeeded.
    pub seconds: f64,
    /// What the server refused by name and was left out of the request or renamed: `temperature left out`; empty where
    /// nothing was.
    #[serde(default)]
    pub adapted: String,
    /// Whether it came from a batch, at a batch's price.
    #[serde(default)]
    pub batch: bool,
}

/// Why a request got no response that could be kept.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// The server answered, but would not or could not serve this request.
    Request(String),
    /// The server could not be used, however often it was tried.
    Server(String),
    /// No request will be sent any more.
    Stopped(ChatError),
}

/// Answers one request at a time, to any thread.
pub trait ChatServer: Sync {
    /// Names it, in messages and in the names of stored replies. It holds no secret.
    fn url(&self) -> &str;

    /// How many threads should ask at once, at most.
    fn concurrency(&self) -> usize;

    /// Sends one request, as often as it takes. `name` seeds what is random about that.
    ///
    /// # Errors
    /// [`Failure`]; of [`Failure::Stopped`] the caller need not call [`ChatServer::stop`] again.
    fn send(&self, request: &ChatRequest, name: &str) -> Result<RawResponse, Failure>;

    /// Sends nothing more, now or later, and wakes who waits. The first reason stays.
    fn stop(&self, reason: ChatError);

    /// Why nothing is sent any more, if so.
    fn stopped(&self) -> Option<ChatError>;
}

/// A request under the name that its reply is kept under.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedRequest {
    /// SHA-256 of all that tells it from others.
    pub name: String,
    pub request: ChatRequest,
}

/// Answers many requests at once, whenever it can: a batch API, or an engine that computes them together.
pub trait BatchServer: Sync {
    /// As [`ChatServer::url`].
    fn url(&self) -> &str;

    /// Answers the requests, and tells `each` of every one once, in any order, by its name. What must be known to go on after
    /// a kill, such as which batches were sent, is kept in the folder `journal`: nothing is sent, or paid for, twice.
    /// `each` returns whether to go on; a reply that it was told of is kept by then.
    ///
    /// # Errors
    /// What hinders all requests that `each` was not told of.
    fn answer(
        &self,
        requests: &[NamedRequest],
        journal: &Path,
        each: &mut dyn FnMut(&str, Result<RawResponse, Failure>) -> bool,
    ) -> Result<(), ChatError>;
}
