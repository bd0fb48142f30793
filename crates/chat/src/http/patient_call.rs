//! A call that is tried again for as long as that does no harm.

use std::thread::sleep;
use std::time::{Duration, Instant};

use tunebench_spec::random::Stream;

use super::connection::{Body, CallError, Connection, Method, Response};
use super::patience::{Next, Patience};
use super::retry::{self, RetryDecision};
use crate::error::ChatError;
use crate::reply::ErrorBody;

impl Connection {
    /// As [`Connection::call`], and again after what passes: no connection, limits, a server that has too much to do. So
    /// often as the settings allow, and at least a minute for limits. A POST whose response was lost is not repeated, as the
    /// server may have done what it says: that is for the caller to find out.
    ///
    /// # Errors
    /// [`CallError`] of the last attempt.
    pub fn call_patiently(&self, method: Method, path: &str, body: Body<'_>) -> Result<Response, CallError> {
        let start = Instant::now();
        let mut jitter = Stream::named(0, path);
        let mut patience = Patience::new(self.retries(), 0.0);
        loop {
            let result = self.call(method, path, body);
            let (after, is_limit) = match &result {
                Err(CallError::NotSent(_)) => (None, false),
                Err(CallError::Lost(_)) if method != Method::Post => (None, false),
                Err(_) => return result,
                Ok(response) => match self.decide(response) {
                    RetryDecision::Retry { after } => (after, response.status == 429),
                    RetryDecision::Fail | RetryDecision::Stop | RetryDecision::TooLong { .. } => return result,
                },
            };
            match patience.next(start.elapsed().as_secs_f64(), after, is_limit, jitter.uniform()) {
                Next::GiveUp { .. } => return result,
                // No gate holds everybody here.
                Next::Wait(wait) if wait.is_zero() => sleep(after.unwrap_or(Duration::from_secs(2))),
                Next::Wait(wait) => sleep(wait),
            }
        }
    }

    /// What a response without success says, as the reason why the work ends.
    pub fn refusal(&self, response: &Response) -> ChatError {
        let message = ErrorBody::read(&response.text).message;
        let reason = match self.decide(response) {
            RetryDecision::TooLong { wait } => {
                format!("HTTP {}: {message} (it asks to wait {} s; run again later)", response.status, wait.as_secs())
            }
            _ => format!("HTTP {}: {message}", response.status),
        };
        self.refused(reason)
    }

    fn decide(&self, response: &Response) -> RetryDecision {
        if (200..300).contains(&response.status) {
            return RetryDecision::Fail;
        }
        let error = ErrorBody::read(&response.text);
        retry::decide(response.status, &response.headers, &error, &response.text, response.server_time())
    }
}
