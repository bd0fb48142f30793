//! A chat server behind HTTP: one request, as many attempts as the settings allow, at the pace that the server allows.
//!
//! `settings` and `address` check what is given, `connection` sends, `retry` and `streak` say what an answer means for what
//! comes next, and `gate` with `pace` and `meter` who may send when.

mod address;
mod clock;
mod connection;
mod download;
mod estimate;
mod faults;
mod gate;
mod headers;
mod learnt;
mod meter;
mod pace;
mod patience;
mod patient_call;
mod probe;
mod retry;
mod settings;
#[cfg(test)]
mod simulation;
mod stated;
mod streak;
mod time_text;
mod upload;

use std::sync::atomic::{AtomicI64, Ordering};

use tunebench_spec::ChatRequest;
use tunebench_spec::random::Stream;
use tunebench_spec::study::ChatSettings;

pub use self::clock::Clock;
pub use self::connection::{Body, CallError, Connection, Method, Response};
pub use self::headers::Headers;
pub use self::upload::Upload;

use self::estimate::Estimator;
use self::gate::Gate;
use self::learnt::{Learnt, State};
use self::pace::{Outcome, Pace};
use self::patience::{Next, Patience};
use self::retry::RetryDecision;
use self::streak::Streak;
use crate::error::ChatError;
use crate::reply::{ErrorBody, Reply, Unreadable, Usage, shorten};
use crate::server::{ChatServer, Failure, Probe, RawResponse};
use crate::wire;

/// A chat server as the settings name it.
pub struct Chat {
    connection: Connection,
    concurrency: usize,
    gate: Gate,
    learnt: Learnt,
    estimator: Estimator,
    streak: Streak,
    /// Milliseconds that the server's clock is ahead, as last seen; [`probe::NO_SKEW`] before.
    skew_ms: AtomicI64,
}

/// What came of one attempt.
enum Attempt {
    Done(RawResponse),
    /// Worth another attempt at once, as what was refused is not sent again.
    Adapted,
    /// Worth another attempt after a wait. `is_limit`: it came too early, and nothing is wrong.
    Again {
        reason: String,
        after: Option<std::time::Duration>,
        is_limit: bool,
    },
    /// As [`Attempt::Again`], but the server may have answered, and billed it.
    Lost(String),
    Refused {
        reason: String,
        status: u16,
        code: String,
    },
    Unusable(String),
    Stop(ChatError),
}

impl Chat {
    /// Checks all of the settings and reads from the environment what they name; connects to nothing.
    ///
    /// # Errors
    /// What is wrong in which field, and what to do.
    pub fn new(settings: &ChatSettings) -> Result<Self, ChatError> {
        Self::with_clock(settings, Clock::new())
    }

    /// With limits and waits measured by another clock than the wall's.
    ///
    /// # Errors
    /// As [`Chat::new`].
    pub fn with_clock(settings: &ChatSettings, clock: Clock) -> Result<Self, ChatError> {
        let connection = Connection::new(settings)?;
        let concurrency = settings.concurrency as usize;
        let limits = (settings.requests_per_minute.map(f64::from), settings.tokens_per_minute.map(|n| n as f64));
        Ok(Self {
            learnt: Learnt::new(connection.dialect(), connection.base_url()),
            gate: Gate::new(Pace::new(concurrency, limits.0, limits.1), clock),
            concurrency,
            connection,
            estimator: Estimator::default(),
            streak: Streak::default(),
            skew_ms: AtomicI64::new(probe::NO_SKEW),
        })
    }

    /// The limits a minute, of the settings or as the server stated them so far: of requests, and of tokens.
    pub fn limits_per_minute(&self) -> [Option<f64>; 2] {
        self.gate.limits_per_minute()
    }

    fn attempt(&self, request: &ChatRequest) -> Result<Attempt, ChatError> {
        let permit = self.gate.enter(self.estimator.of(request))?;
        // Not before: while it waited, somebody may have learnt.
        let asked = self.learnt.of(&request.model);
        let body = asked.body(self.connection.dialect(), request);
        let Ok(bytes) = serde_json::to_vec(&body) else { return Ok(Attempt::Unusable("it cannot be written".into())) };
        let path = wire::path(self.connection.dialect());
        let response = match self.connection.call(Method::Post, path, Body::Json(&bytes)) {
            Ok(response) => response,
            Err(error) => {
                permit.finish(Outcome::Lost, &[]);
                return Ok(self.without_response(error));
            }
        };
        if response.headers.get("date").is_some() {
            self.skew_ms.store(probe::skew_ms(response.server_time()), Ordering::Relaxed);
        }
        let stated = stated::read(&response.headers, response.server_time());
        if let Some(usage) = usage_of_reply(&response) {
            permit.finish(Outcome::Answered(usage.map(|usage| self.estimator.learn(request, usage))), &stated);
            self.streak.end();
            return Ok(Attempt::Done(self.raw(request, &asked, response)));
        }
        if response.status == 200 && !is_error(&response.text) {
            // Neither a reply nor an error. It may be paid for, so it is handed on as it is; but it ends no streak.
            permit.finish(Outcome::Refused, &stated);
            self.count_refusal(format!("HTTP 200, but no reply: {}", shorten(&response.text)), 200, "");
            return Ok(Attempt::Done(self.raw(request, &asked, response)));
        }
        let error = ErrorBody::read(&response.text);
        let status = true_status(&response, &error);
        if matches!(status, 400 | 422) && self.learnt.learn(&request.model, &asked, &error, &body) {
            permit.finish(Outcome::Refused, &stated);
            return Ok(Attempt::Adapted);
        }
        let decision = retry::decide(status, &response.headers, &error, &response.text, response.server_time());
        permit.finish(outcome(status, &decision), &stated);
        Ok(self.conclude(&response, status, &error, decision))
    }

    fn raw(&self, request: &ChatRequest, asked: &State, response: Response) -> RawResponse {
        RawResponse {
            request_id: response.request_id(),
            seconds: response.seconds,
            body: response.text,
            adapted: asked.words(request),
            ..RawResponse::default()
        }
    }

    fn without_response(&self, error: CallError) -> Attempt {
        match error {
            CallError::NotSent(reason) => Attempt::Again { reason, after: None, is_limit: false },
            CallError::Lost(reason) => Attempt::Lost(reason),
            CallError::Unusable(reason) => Attempt::Unusable(reason),
            CallError::Client(error) => Attempt::Stop(error),
        }
    }

    fn conclude(&self, response: &Response, status: u16, error: &ErrorBody, decision: RetryDecision) -> Attempt {
        let reason = match (response.status, is_page(&response.text)) {
            (shown, true) => format!("HTTP {shown}, with a web page and no API's answer; is base_url right?"),
            (200, false) => format!("HTTP 200, but no reply: {}", error.message),
            (shown, false) => format!("HTTP {shown}: {}", error.message),
        };
        match decision {
            RetryDecision::Retry { after } => Attempt::Again { reason, after, is_limit: status == 429 },
            RetryDecision::Fail => Attempt::Refused { reason, status, code: error_code(&response.text) },
            RetryDecision::TooLong { wait } => {
                let reason = format!("{reason} (it asks to wait {} s; run again later)", wait.as_secs());
                Attempt::Stop(self.refused(reason))
            }
            RetryDecision::Stop => Attempt::Stop(self.refused(reason)),
        }
    }

    fn refused(&self, reason: String) -> ChatError {
        ChatError::Refused { url: self.connection.base_url().to_owned(), reason }
    }

    fn give_up(&self, reason: ChatError) -> Failure {
        self.stop(reason.clone());
        Failure::Stopped(reason)
    }

    /// A refusal that is final for this request, and for all when it is one too many.
    fn count_refusal(&self, reason: String, status: u16, code: &str) -> Failure {
        if let Some(n) = self.streak.refused(status, code) {
            self.stop(self.refused(format!("{n} requests were refused alike, and none answered between: {reason}")));
        }
        Failure::Request(reason)
    }

    fn count_failure(&self, reason: String) -> Failure {
        if let Some(failures) = self.streak.failed() {
            let url = self.connection.base_url().to_owned();
            self.stop(ChatError::Unreachable { url, failures, reason: reason.clone() });
        }
        Failure::Server(reason)
    }
}

impl ChatServer for Chat {
    fn url(&self) -> &str {
        self.connection.base_url()
    }

    fn concurrency(&self) -> usize {
        self.concurrency
    }

    fn send(&self, request: &ChatRequest, name: &str) -> Result<RawResponse, Failure> {
        let mut jitter = Stream::named(0, name);
        let mut patience = Patience::new(self.connection.retries(), self.gate.clock().now());
        let mut lost = 0;
        loop {
            let (reason, after, is_limit) = match self.attempt(request).map_err(Failure::Stopped)? {
                Attempt::Done(response) => return Ok(RawResponse { lost, ..response }),
                Attempt::Adapted if patience.adapts() => continue,
                Attempt::Adapted => {
                    return Err(Failure::Request("the server refuses one field after another".into()));
                }
                Attempt::Stop(reason) => return Err(self.give_up(reason)),
                Attempt::Unusable(reason) => return Err(self.count_refusal(reason, 0, "")),
                Attempt::Refused { reason, status, code } => return Err(self.count_refusal(reason, status, &code)),
                Attempt::Again { reason, after, is_limit } => (reason, after, is_limit),
                Attempt::Lost(reason) => {
                    lost += 1;
                    (reason, None, false)
                }
            };
            match patience.next(self.gate.clock().now(), after, is_limit, jitter.uniform()) {
                Next::Wait(delay) => self.gate.pause(delay).map_err(Failure::Stopped)?,
                Next::GiveUp { attempts } => {
                    let bill = match lost {
                        0 => String::new(),
                        _ => format!(" ({lost} may have been billed, as the response was lost)"),
                    };
                    return Err(self.count_failure(format!("gave up after attempt {attempts}: {reason}{bill}")));
                }
            }
        }
    }

    fn probe(&self, like: &ChatRequest) -> Result<Probe, ChatError> {
        probe::probe(self, like)
    }

    fn stop(&self, reason: ChatError) {
        self.gate.stop(reason);
    }

    fn stopped(&self) -> Option<ChatError> {
        self.gate.stopped()
    }
}

/// What a response with an error means for the pace.
fn outcome(status: u16, decision: &RetryDecision) -> Outcome {
    let wait = match decision {
        RetryDecision::Retry { after } => after.map(|after| after.as_secs_f64()),
        _ => None,
    };
    match status {
        _ if retry::is_overloaded(status) => Outcome::Overloaded { wait, for_all: status == 429 },
        500.. => Outcome::Lost,
        _ => Outcome::Refused,
    }
}

/// Of a reply, readable or not, the tokens that it says it took; none where the response is no reply.
fn usage_of_reply(response: &Response) -> Option<Option<Usage>> {
    if response.status != 200 {
        return None;
    }
    match Reply::read(&response.text) {
        Ok(reply) => Some(reply.usage),
        Err(Unreadable::Empty { usage, .. }) => Some(usage),
        Err(Unreadable::NotAReply(_)) => None,
    }
}

/// Whether a body that is no reply says that something is wrong: an error as JSON or among events, or a page for people.
fn is_error(text: &str) -> bool {
    let value: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    let has_error = value.get("error").is_some_and(|error| !error.is_null());
    has_error || value.get("type").is_some_and(|kind| kind == "error") || is_page(text) || is_events(text)
}

fn is_events(text: &str) -> bool {
    ["data:", "event:"].iter().any(|start| text.trim_start().starts_with(start))
}

/// The status that a response means: some servers put an error into a 200, and its status, or a word for it, inside.
fn true_status(response: &Response, error: &ErrorBody) -> u16 {
    const WORDS: [(&str, u16); 8] = [
        ("overloaded_error", 529),
        ("rate_limit_error", 429),
        ("rate_limit_exceeded", 429),
        ("authentication_error", 401),
        ("invalid_api_key", 401),
        ("permission_error", 403),
        ("not_found_error", 404),
        ("invalid_request_error", 400),
    ];
    let by_word = || WORDS.iter().find(|(word, _)| error.is(word)).map(|(_, status)| *status);
    match response.status {
        200 if is_page(&response.text) => 404,
        200 => error.status.or_else(by_word).unwrap_or(502),
        status => status,
    }
}

/// `code` of an error, or else its type, as text; empty where there is none.
fn error_code(text: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    let found = ["/error/code", "/code", "/error/type", "/choices/0/error/code"]
        .iter()
        .find_map(|path| value.pointer(path).filter(|code| code.is_string() || code.is_number()));
    match found {
        Some(serde_json::Value::String(code)) => code.clone(),
        Some(code) => code.to_string(),
        None => String::new(),
    }
}

fn is_page(text: &str) -> bool {
    let start: String = text.trim_start().chars().take(9).flat_map(char::to_lowercase).collect();
    start.starts_with("<!doctype") || start.starts_with("<html")
}
