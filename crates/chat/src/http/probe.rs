//! One small request before the work begins, and what a refusal of it means.

use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tunebench_spec::ChatRequest;

use super::{Body, Chat, Method};
use crate::error::ChatError;
use crate::reply::shorten;
use crate::server::{ChatServer, Failure, Probe};

/// Names of models that are told where the one asked for is not among them.
const MOST_NAMES: usize = 8;

pub(super) fn probe(chat: &Chat, like: &ChatRequest) -> Result<Probe, ChatError> {
    let response = chat.send(&Probe::request(like), "probe").map_err(|failure| explain(chat, like, failure))?;
    let [requests_per_minute, tokens_per_minute] = chat.limits_per_minute();
    let skew = chat.skew_ms.load(Ordering::Relaxed);
    let clock_skew_seconds = (skew != NO_SKEW).then_some(skew as f64 / 1e3);
    Ok(Probe { requests_per_minute, tokens_per_minute, clock_skew_seconds, ..Probe::read(&response) })
}

/// In place of a skew that is not known.
pub(super) const NO_SKEW: i64 = i64::MIN;

/// Milliseconds that the server's clock is ahead. Its dates are whole seconds, so less than two is none.
pub(super) fn skew_ms(server: SystemTime) -> i64 {
    let ms = |time: SystemTime| time.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64);
    let skew = ms(server) - ms(SystemTime::now());
    if skew.abs() < 2000 { 0 } else { skew }
}

fn explain(chat: &Chat, like: &ChatRequest, failure: Failure) -> ChatError {
    let reason = match failure {
        Failure::Stopped(ChatError::Refused { reason, .. }) | Failure::Request(reason) | Failure::Server(reason) => {
            reason
        }
        Failure::Stopped(error) => return error,
    };
    let has_status = |status: u16| reason.starts_with(&format!("HTTP {status}"));
    let meaning = match () {
        () if has_status(401) => "the key is not accepted: is it this server's, whole, and still valid?".to_owned(),
        () if has_status(402) => "the account has no money left, or none was ever paid in".to_owned(),
        () if has_status(403) => "the key may not use this model, or not from here".to_owned(),
        () if has_status(404) => models(chat, &like.model),
        () if has_status(429) => "the account's quota is used up, or its limit too low for one request".to_owned(),
        () => return chat.refused(reason),
    };
    chat.refused(format!("{meaning} ({reason})"))
}

/// What may be wrong where the server knows no such path or model.
fn models(chat: &Chat, model: &str) -> String {
    let listed = chat.connection.call(Method::Get, "models", Body::Nothing).ok().filter(|r| r.status == 200);
    let names = listed.map(|response| names(&response.text)).unwrap_or_default();
    let model = shorten(model);
    if names.is_empty() {
        return format!("there is no model `{model}`, or nothing at this address: are model and base_url right?");
    }
    if names.contains(&model) {
        return format!("it lists the model `{model}`, but does not answer for it at this path: is base_url right?");
    }
    let shown: Vec<&str> = nearest(&names, &model).take(MOST_NAMES).collect();
    let rest = names.len() - shown.len();
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    format!("there is no model `{model}`; there are: {}{more}", shown.join(", "))
}

fn names(text: &str) -> Vec<String> {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    let list = value.get("data").or_else(|| value.get("models")).and_then(Value::as_array);
    let ids = list.into_iter().flatten().filter_map(|model| model.get("id").or_else(|| model.get("name"))?.as_str());
    ids.map(shorten).collect()
}

/// Those that begin most like the name, first.
fn nearest<'a>(names: &'a [String], model: &str) -> impl Iterator<Item = &'a str> {
    let common = |name: &str| name.chars().zip(model.chars()).take_while(|(a, b)| a == b).count();
    let mut sorted: Vec<&str> = names.iter().map(String::as_str).collect();
    sorted.sort_by_key(|name| (std::cmp::Reverse(common(name)), *name));
    sorted.into_iter()
}
