//! Whoever answers chat requests, and what comes of one.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tunebench_spec::{ChatMessage, ChatRequest};

use crate::error::ChatError;
use crate::reply::{Reply, Unreadable, Usage};

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
    /// Attempts before whose responses were lost on their way: each may have been billed like this one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lost: u32,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// What one small request told of a server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Probe {
    /// That answered, as the server names it; empty when it does not.
    pub model: String,
    /// As [`RawResponse::adapted`].
    pub adapted: String,
    /// The limits a minute, as far as they are known.
    pub requests_per_minute: Option<f64>,
    pub tokens_per_minute: Option<f64>,
    /// Until the reply was there.
    pub seconds: f64,
    /// How far the server's clock is ahead of ours; none where it does not say.
    pub clock_skew_seconds: Option<f64>,
    pub usage: Option<Usage>,
}

impl Probe {
    /// Tokens that a probe's reply may have: models that reason need many before they say anything, and OpenAI's answer with
    /// an error when these do not suffice.
    const MAX_TOKENS: u32 = 1024;

    /// The request that a probe sends: `like` another, but short and cheap.
    pub fn request(like: &ChatRequest) -> ChatRequest {
        // Servers that answer in JSON want the word in the prompt.
        let content = "This is a test. Reply with 1; where JSON is asked for, with any valid JSON.";
        ChatRequest {
            messages: vec![ChatMessage { role: "user".into(), content: content.into() }],
            max_tokens: Some(like.max_tokens.unwrap_or(Self::MAX_TOKENS).min(Self::MAX_TOKENS)),
            ..like.clone()
        }
    }

    /// What a response to it tells; the limits and the clock are not in it.
    pub fn read(response: &RawResponse) -> Self {
        let (model, usage) = match Reply::read(&response.body) {
            Ok(reply) => (reply.model, reply.usage),
            Err(Unreadable::Empty { usage, .. }) => (String::new(), usage),
            Err(Unreadable::NotAReply(_)) => (String::new(), None),
        };
        Self { model, usage, adapted: response.adapted.clone(), seconds: response.seconds, ..Self::default() }
    }
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
    /// As `failure`, and the responses of so many attempts before were lost on their way: each may have been billed.
    Lost { lost: u32, failure: Box<Failure> },
}

impl Failure {
    /// Attempts whose responses were lost on their way: each may have been billed.
    pub fn lost(&self) -> u32 {
        if let Self::Lost { lost, .. } = self { *lost } else { 0 }
    }

    /// What may have been billed, to be said behind a reason; empty where nothing was lost.
    pub fn bill(&self) -> String {
        match self.lost() {
            0 => String::new(),
            lost => format!(" ({lost} may have been billed, as the response was lost)"),
        }
    }

    /// In words, with what may have been billed.
    ///
    /// # Errors
    /// Why no request is sent any more, where it is that.
    pub fn reason(self) -> Result<String, ChatError> {
        let bill = self.bill();
        match self {
            Self::Request(reason) | Self::Server(reason) => Ok(reason),
            Self::Stopped(error) => Err(error),
            Self::Lost { failure, .. } => failure.reason().map(|reason| reason + &bill),
        }
    }

    pub(crate) fn after(self, lost: u32) -> Self {
        if lost == 0 { self } else { Self::Lost { lost, failure: self.into() } }
    }
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

    /// Sends one request with the fields of `like`, its messages replaced by a few words, and tells what is learnt from it.
    /// It is paid for.
    ///
    /// # Errors
    /// Why no request of this kind can be answered, in a sentence that says what to do.
    fn probe(&self, like: &ChatRequest) -> Result<Probe, ChatError> {
        let refused = |reason| ChatError::Refused { url: self.url().to_owned(), reason };
        let response = self
            .send(&Probe::request(like), "probe")
            .map_err(|failure| failure.reason().map_or_else(std::convert::identity, refused))?;
        Ok(Probe::read(&response))
    }

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

    /// The names of requests that an earlier run sent and was not told of. They are paid for, or will be, whatever is asked now;
    /// who asks again asks for them too, or their replies are lost.
    ///
    /// # Errors
    /// When the journal cannot be read.
    fn sent(&self, _journal: &Path) -> Result<BTreeSet<String>, ChatError> {
        Ok(BTreeSet::new())
    }

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

    /// As [`BatchServer::answer`], and asks `goes_on` about once a second while there is nothing to tell, where that may take
    /// long. When it says no, this ends as when `each` does.
    ///
    /// # Errors
    /// As [`BatchServer::answer`].
    fn answer_while(
        &self,
        requests: &[NamedRequest],
        journal: &Path,
        each: &mut dyn FnMut(&str, Result<RawResponse, Failure>) -> bool,
        goes_on: &mut dyn FnMut() -> bool,
    ) -> Result<(), ChatError> {
        let _ = goes_on;
        self.answer(requests, journal, each)
    }
}
