//! Anthropic's message batches: all requests in one body.
//!
//! <https://platform.claude.com/docs/en/build-with-claude/batch-processing>: a batch has no metadata, and its requests' names
//! show in its results alone, which are there when it has ended, for 29 days, in any order.

use std::path::Path;

use serde_json::{Value, json};

use super::calls::{Calls, Lines};
use super::create_error::CreateError;
use super::journal::{Journal, Submission};
use super::lookup::{self, id, sum, text};
use super::provider::{End, Found, Line, Outcome, Provider, State};
use crate::error::ChatError;
use crate::http::{Body, Method};
use crate::reply::shorten;

pub(super) struct Anthropic;

const BATCHES: &str = "messages/batches";
/// Counts of requests that are over.
const OVER: [&str; 4] = ["succeeded", "errored", "canceled", "expired"];

/// The status that each type of an error has when it comes by itself.
const STATUSES: [(&str, u16); 9] = [
    ("invalid_request_error", 400),
    ("authentication_error", 401),
    ("billing_error", 402),
    ("permission_error", 403),
    ("not_found_error", 404),
    ("request_too_large", 413),
    ("rate_limit_error", 429),
    ("timeout_error", 504),
    ("overloaded_error", 529),
];

impl Provider for Anthropic {
    fn frame(&self) -> [&'static str; 3] {
        ["{\"requests\":[", ",", "]}"]
    }

    fn line(&self, name: &str, body: &Value) -> Value {
        json!({ "custom_id": name, "params": body })
    }

    fn newest(&self, calls: &Calls<'_>) -> Result<Option<String>, ChatError> {
        let page = calls.get(&format!("{BATCHES}?limit=1"))?;
        Ok(page.pointer("/data/0").map(id).filter(|id| !id.is_empty()))
    }

    fn upload(&self, _: &Calls<'_>, _: &Path) -> Result<Option<String>, CreateError> {
        Ok(None)
    }

    fn create(&self, calls: &Calls<'_>, _: &str, _: Option<&str>, payload: &Path) -> Result<String, CreateError> {
        let bytes = std::fs::read(payload)
            .map_err(|e| CreateError::Ended(ChatError::Journal(format!("{}: {e}", payload.display()))))?;
        let batch = calls.once(BATCHES, || calls.connection.call(Method::Post, BATCHES, Body::Json(&bytes)))?;
        match id(&batch) {
            id if id.is_empty() => {
                Err(CreateError::Unknown(format!("{BATCHES}: no id: {}", shorten(&batch.to_string()))))
            }
            id => Ok(id),
        }
    }

    fn look_up(&self, calls: &Calls<'_>, submission: &Submission, journal: &Journal) -> Result<Found, ChatError> {
        let plan = &submission.plan;
        let (mut found, count) = (Found::NotMade, plan.requests.len() as u64);
        lookup::batches(calls, BATCHES, "after_id", &mut |batch| {
            let number = id(batch);
            if plan.newest.as_ref() == Some(&number) {
                return Ok(false);
            }
            let counts = batch.get("request_counts");
            let total = sum(counts, &OVER) + sum(counts, &["processing"]);
            if total != count || journal.knows(&number) {
                return Ok(true);
            }
            if text(batch, "processing_status") != "ended" {
                found = Found::Perhaps(number);
                return Ok(true);
            }
            let is_ours = first_name(self, calls, &number)?
                .is_some_and(|name| plan.requests.iter().any(|request| request.name == name));
            if is_ours {
                found = Found::Made(number);
            }
            Ok(!is_ours)
        })?;
        Ok(found)
    }

    fn state(&self, calls: &Calls<'_>, batch: &str) -> Result<State, ChatError> {
        let value = calls.get(&format!("{BATCHES}/{batch}"))?;
        let counts = value.get("request_counts");
        let done = sum(counts, &OVER);
        let status = text(&value, "processing_status").to_owned();
        let end = (status == "ended").then(|| End::Results {
            paths: vec![format!("{BATCHES}/{batch}/results")],
            replies: sum(counts, &["succeeded"]),
        });
        Ok(State { status, done, total: done + sum(counts, &["processing"]), end })
    }

    fn read(&self, line: &str) -> Result<Line, String> {
        let value: Value = serde_json::from_str(line).map_err(|_| format!("not JSON: {}", shorten(line)))?;
        let name = text(&value, "custom_id").to_owned();
        let result = value.get("result").unwrap_or(&Value::Null);
        let outcome = match text(result, "type") {
            "succeeded" => {
                let message = result.get("message").unwrap_or(&Value::Null);
                Outcome::Answered { body: message.to_string(), request_id: text(message, "id").to_owned() }
            }
            "errored" => {
                // An error within what would have come by itself, or alone.
                let error = result.get("error").unwrap_or(&Value::Null);
                let inner = error.get("error").unwrap_or(error);
                let status = STATUSES.iter().find(|(kind, _)| *kind == text(inner, "type")).map_or(500, |row| row.1);
                Outcome::Refused { status, body: json!({ "type": "error", "error": inner }).to_string() }
            }
            kind @ ("canceled" | "expired") => Outcome::NotBegun(kind.to_owned()),
            _ => return Err(format!("no result: {}", shorten(line))),
        };
        Ok(Line { name, outcome })
    }
}

/// The name in the first result of a batch that has ended; none where it has no result.
fn first_name(provider: &Anthropic, calls: &Calls<'_>, batch: &str) -> Result<Option<String>, ChatError> {
    let mut first = First { provider, name: None };
    calls.lines(&format!("{BATCHES}/{batch}/results"), &mut first)?;
    Ok(first.name)
}

/// Looks for the first result.
struct First<'a> {
    provider: &'a Anthropic,
    name: Option<String>,
}

impl Lines for First<'_> {
    fn begin(&mut self) {}

    fn line(&mut self, line: &str) -> bool {
        self.name = self.provider.read(line).ok().map(|line| line.name);
        self.name.is_none()
    }
}
