//! What is asked of a batch API by HTTP: what costs nothing is asked again until it is answered, what costs is sent once.

use std::time::Duration;

use serde_json::Value;

use super::create_error::CreateError;
use super::stop::Stop;
use crate::error::ChatError;
use crate::http::{Body, CallError, Connection, Method, Response};
use crate::reply::ErrorBody;

/// The longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Statuses of a server that may do better later.
const PASSING: [u16; 6] = [408, 409, 425, 429, 423, 529];

pub(super) struct Calls<'a> {
    pub connection: &'a Connection,
    pub stop: &'a Stop,
    /// Before the second attempt; each further wait is twice as long.
    pub first_wait: Duration,
}

impl Calls<'_> {
    /// The JSON at a path, which may have a query.
    pub(super) fn get(&self, path: &str) -> Result<Value, ChatError> {
        let response = self.again(path, || self.connection.call(Method::Get, path, Body::Nothing))?;
        self.json(path, &response)
    }

    /// Tells `each` of every line at a path. After a break it begins anew: `begin` is told each time, and lines come again.
    pub(super) fn lines(&self, path: &str, lines: &mut dyn Lines) -> Result<(), ChatError> {
        let response = self.again(path, || {
            lines.begin();
            self.connection.lines(path, &mut |line| lines.line(line))
        })?;
        self.accepted(path, &response)
    }

    /// The response to something that costs nothing, whatever it says.
    pub(super) fn again(
        &self,
        path: &str,
        mut send: impl FnMut() -> Result<Response, CallError>,
    ) -> Result<Response, ChatError> {
        let (mut wait, mut failures) = (self.first_wait, 0);
        loop {
            self.stop.pause(Duration::ZERO)?;
            let (reason, wish) = match send() {
                Ok(response) if is_passing(response.status) => (said(&response), wish(&response)),
                Ok(response) => return Ok(response),
                Err(CallError::NotSent(reason) | CallError::Lost(reason)) => (reason, None),
                Err(CallError::Unusable(reason) | CallError::Unread { reason, .. }) => {
                    return Err(self.refused(path, &reason));
                }
                Err(CallError::Client(error)) => return Err(error),
            };
            failures += 1;
            if failures > self.connection.retries() {
                let url = self.connection.base_url().to_owned();
                return Err(ChatError::Unreachable { url, failures, reason: format!("{path}: {reason}") });
            }
            self.stop.pause(wish.unwrap_or(wait))?;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// The JSON of a response to something that costs. It is sent again only when it surely had no effect.
    pub(super) fn once(
        &self,
        path: &str,
        mut send: impl FnMut() -> Result<Response, CallError>,
    ) -> Result<Value, CreateError> {
        let (mut wait, mut failures) = (self.first_wait, 0);
        loop {
            self.stop.pause(Duration::ZERO)?;
            let (status, reason, wish) = match send() {
                Ok(response) if (200..300).contains(&response.status) => {
                    // It was done, whatever it says.
                    return serde_json::from_str(&response.text)
                        .map_err(|_| CreateError::Unknown(format!("{path}: {}", said(&response))));
                }
                // Of too many requests none is done.
                Ok(response) if response.status == 429 => (429, said(&response), wish(&response)),
                Ok(response) if response.status >= 500 || is_passing(response.status) => {
                    return Err(CreateError::Unknown(format!("{path}: {}", said(&response))));
                }
                Ok(response) => {
                    let (status, reason) = (response.status, format!("{path}: {}", said(&response)));
                    return Err(CreateError::Refused { status, reason });
                }
                Err(CallError::NotSent(reason)) => (0, reason, None),
                Err(CallError::Lost(reason) | CallError::Unusable(reason) | CallError::Unread { reason, .. }) => {
                    return Err(CreateError::Unknown(format!("{path}: {reason}")));
                }
                Err(CallError::Client(error)) => return Err(CreateError::Ended(error)),
            };
            failures += 1;
            if failures > self.connection.retries() {
                return Err(CreateError::Refused { status, reason: format!("{path}: {reason}") });
            }
            self.stop.pause(wish.unwrap_or(wait))?;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// The JSON of a response that says yes.
    pub(super) fn json(&self, path: &str, response: &Response) -> Result<Value, ChatError> {
        self.accepted(path, response)?;
        let value: Value = serde_json::from_str(&response.text).unwrap_or_default();
        match value.is_object() && value.get("error").is_none_or(Value::is_null) {
            true => Ok(value),
            false => Err(self.refused(path, &said(response))),
        }
    }

    fn accepted(&self, path: &str, response: &Response) -> Result<(), ChatError> {
        match response.status {
            200..300 => Ok(()),
            _ => Err(self.refused(path, &said(response))),
        }
    }

    pub(super) fn refused(&self, path: &str, reason: &str) -> ChatError {
        ChatError::Refused { url: self.connection.base_url().to_owned(), reason: format!("{path}: {reason}") }
    }
}

pub(super) fn is_passing(status: u16) -> bool {
    status >= 500 || PASSING.contains(&status)
}

/// Who is told of lines.
pub(super) trait Lines {
    /// The first line comes next.
    fn begin(&mut self);

    /// A line; whether to go on.
    fn line(&mut self, line: &str) -> bool;
}

fn said(response: &Response) -> String {
    format!("HTTP {}: {}", response.status, ErrorBody::read(&response.text).message)
}

/// How long the server asks to wait.
fn wish(response: &Response) -> Option<Duration> {
    let seconds = response.headers.get("retry-after")?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_WAIT))
}
