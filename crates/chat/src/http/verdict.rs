//! What a response means: a reply, an error wherever it stands, or neither.

use serde_json::Value;

use super::connection::Response;
use super::pace::Outcome;
use super::retry::{self, RetryDecision};
use crate::reply::{ErrorBody, Reply, Unreadable, Usage};

pub(super) fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

/// What a response with an error means for the pace.
pub(super) fn outcome(status: u16, decision: &RetryDecision) -> Outcome {
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
pub(super) fn usage_of_reply(response: &Response) -> Option<Option<Usage>> {
    if !is_success(response.status) {
        return None;
    }
    match Reply::read(&response.text) {
        Ok(reply) => Some(reply.usage),
        Err(Unreadable::Empty { usage, .. }) => Some(usage),
        Err(Unreadable::NotAReply(_)) => None,
    }
}

/// Whether a body that is no reply says that something is wrong: an error as JSON or among events, or a page for people.
pub(super) fn is_error(text: &str) -> bool {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    let has_error = value.get("error").is_some_and(|error| !error.is_null());
    has_error || value.get("type").is_some_and(|kind| kind == "error") || is_page(text) || is_events(text)
}

fn is_events(text: &str) -> bool {
    ["data:", "event:"].iter().any(|start| text.trim_start().starts_with(start))
}

/// The status that a response means: some servers put an error into a 200, and its status, or a word for it, inside.
pub(super) fn true_status(response: &Response, error: &ErrorBody) -> u16 {
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
        200..300 if is_page(&response.text) => 404,
        200..300 => error.status.or_else(by_word).unwrap_or(502),
        status => status,
    }
}

/// `code` of an error, or else its type, as text; empty where there is none.
pub(super) fn error_code(text: &str) -> String {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    let found = ["/error/code", "/code", "/error/type", "/choices/0/error/code"]
        .iter()
        .find_map(|path| value.pointer(path).filter(|code| code.is_string() || code.is_number()));
    match found {
        Some(Value::String(code)) => code.clone(),
        Some(code) => code.to_string(),
        None => String::new(),
    }
}

pub(super) fn is_page(text: &str) -> bool {
    let start: String = text.trim_start().chars().take(9).flat_map(char::to_lowercase).collect();
    start.starts_with("<!doctype") || start.starts_with("<html")
}
