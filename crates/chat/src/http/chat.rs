//! One request to its reply, by as many attempts as the settings allow.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tunebench_spec::ChatRequest;
use tunebench_spec::random::Stream;
use tunebench_spec::study::ChatSettings;

use super::clock::Clock;
use super::connection::{Body, CallError, Connection, Method, Response};
use super::estimate::Estimator;
use super::gate::Gate;
use super::learnt::{Learnt, State};
use super::pace::{Outcome, Pace};
use super::patience::{Next, Patience};
use super::retry::{self, RetryDecision};
use super::streak::Streak;
use super::{probe, stated, verdict};
use crate::error::ChatError;
use crate::reply::{ErrorBody, shorten};
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
    /// As of the last response: [`Response::clock_skew_seconds`].
    skew: Mutex<Option<f64>>,
}

/// What came of one attempt.
enum Attempt {
    Done(RawResponse),
    /// Worth another attempt at once, as what was refused is not sent again.
    Adapted,
    /// Worth another attempt after a wait. `is_limit`: it came too early, and nothing is wrong.
    Again {
        reason: String,
        after: Option<Duration>,
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
            skew: Mutex::new(None),
        })
    }

    /// The limits a minute, of the settings or as the server stated them so far: of requests, and of tokens.
    pub fn limits_per_minute(&self) -> [Option<f64>; 2] {
        self.gate.limits_per_minute()
    }

    fn attempt(&self, request: &ChatRequest) -> Result<Attempt, ChatError> {
        let permit = self.gate.enter(&|| self.estimator.of(request))?;
        // Not before: while it waited, somebody may have learnt.
        let asked = self.learnt.of(&request.model);
        let body = asked.body(self.connection.dialect(), request);
        let Ok(bytes) = serde_json::to_vec(&body) else { return Ok(Attempt::Unusable("it cannot be written".into())) };
        let path = wire::path(self.connection.dialect());
        let response = match self.connection.call(Method::Post, path, Body::Json(&bytes)) {
            Ok(response) => response,
            Err(CallError::Unread { reason, response }) => {
                // Whatever it says, it may be paid for, and is handed on.
                let stated = stated::read(&response.headers, response.server_time());
                permit.finish(Outcome::Lost, &stated);
                self.count_refusal(reason, response.status, "");
                return Ok(Attempt::Done(self.raw(request, &asked, *response)));
            }
            Err(error) => {
                permit.finish(Outcome::Lost, &[]);
                return Ok(self.without_response(error));
            }
        };
        *self.skew.lock().unwrap_or_else(PoisonError::into_inner) = response.clock_skew_seconds();
        let stated = stated::read(&response.headers, response.server_time());
        if let Some(usage) = verdict::usage_of_reply(&response) {
            permit.finish(Outcome::Answered(usage.map(|usage| self.estimator.learn(request, usage))), &stated);
            self.streak.end();
            return Ok(Attempt::Done(self.raw(request, &asked, response)));
        }
        if verdict::is_success(response.status) && !verdict::is_error(&response.text) {
            // Neither a reply nor an error. It may be paid for, so it is handed on as it is; but it ends no streak.
            permit.finish(Outcome::Refused, &stated);
            self.count_refusal(format!("HTTP 200, but no reply: {}", shorten(&response.text)), 200, "");
            return Ok(Attempt::Done(self.raw(request, &asked, response)));
        }
        let error = ErrorBody::read(&response.text);
        let status = verdict::true_status(&response, &error);
        if matches!(status, 400 | 422) && self.learnt.learn(&request.model, &asked, &error, &body) {
            permit.finish(Outcome::Refused, &stated);
            return Ok(Attempt::Adapted);
        }
        let decision = retry::decide(status, &response.headers, &error, &response.text, response.server_time());
        permit.finish(verdict::outcome(status, &decision), &stated);
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
            CallError::Unusable(reason) | CallError::Unread { reason, .. } => Attempt::Unusable(reason),
            CallError::Client(error) => Attempt::Stop(error),
        }
    }

    fn conclude(&self, response: &Response, status: u16, error: &ErrorBody, decision: RetryDecision) -> Attempt {
        let shown = response.status;
        let reason = match verdict::is_page(&response.text) {
            true if shown < 500 => format!("HTTP {shown}, with a web page and no API's answer; is base_url right?"),
            false if verdict::is_success(shown) => format!("HTTP {shown}, but no reply: {}", error.message),
            _ => format!("HTTP {shown}: {}", error.message),
        };
        match decision {
            RetryDecision::Retry { after } => Attempt::Again { reason, after, is_limit: status == 429 },
            RetryDecision::Fail => Attempt::Refused { reason, status, code: verdict::error_code(&response.text) },
            RetryDecision::TooLong { wait } => {
                let reason = format!("{reason} (it asks to wait {} s; run again later)", wait.as_secs());
                Attempt::Stop(self.refused(reason))
            }
            RetryDecision::Stop => Attempt::Stop(self.refused(reason)),
        }
    }

    fn refused(&self, reason: String) -> ChatError {
        self.connection.refused(reason)
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

    /// As [`ChatServer::send`]; `lost` counts the attempts whose responses were lost.
    fn ask(&self, request: &ChatRequest, name: &str, lost: &mut u32) -> Result<RawResponse, Failure> {
        let mut jitter = Stream::named(0, name);
        let mut patience = Patience::new(self.connection.retries(), self.gate.clock().now());
        loop {
            let (reason, after, is_limit) = match self.attempt(request).map_err(Failure::Stopped)? {
                Attempt::Done(response) => return Ok(response),
                Attempt::Adapted if patience.adapts() => continue,
                Attempt::Adapted => {
                    return Err(Failure::Request("the server refuses one field after another".into()));
                }
                Attempt::Stop(reason) => return Err(self.give_up(reason)),
                Attempt::Unusable(reason) => return Err(self.count_refusal(reason, 0, "")),
                Attempt::Refused { reason, status, code } => return Err(self.count_refusal(reason, status, &code)),
                Attempt::Again { reason, after, is_limit } => (reason, after, is_limit),
                Attempt::Lost(reason) => {
                    *lost += 1;
                    (reason, None, false)
                }
            };
            match patience.next(self.gate.clock().now(), after, is_limit, jitter.uniform()) {
                Next::Wait(delay) => self.gate.pause(delay).map_err(Failure::Stopped)?,
                Next::GiveUp { attempts } => {
                    return Err(self.count_failure(format!("gave up after attempt {attempts}: {reason}")));
                }
            }
        }
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
        let mut lost = 0;
        match self.ask(request, name, &mut lost) {
            Ok(response) => Ok(RawResponse { lost, ..response }),
            Err(failure) => Err(failure.after(lost)),
        }
    }

    fn probe(&self, like: &ChatRequest) -> Result<Probe, ChatError> {
        let sent = self.send(&Probe::request(like), "probe");
        let response = sent.map_err(|failure| probe::explain(&self.connection, &like.model, failure))?;
        let [requests_per_minute, tokens_per_minute] = self.limits_per_minute();
        let clock_skew_seconds = *self.skew.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Probe { requests_per_minute, tokens_per_minute, clock_skew_seconds, ..Probe::read(&response) })
    }

    fn stop(&self, reason: ChatError) {
        self.gate.stop(reason);
    }

    fn stopped(&self) -> Option<ChatError> {
        self.gate.stopped()
    }
}
