//! What it means that the one small request before the work is refused.

use serde_json::Value;

use super::connection::{Body, Connection, Method};
use crate::error::ChatError;
use crate::reply::shorten;
use crate::server::Failure;

/// Names of models that are told where the one asked for is not among them.
const MOST_NAMES: usize = 8;

/// Why no request can be answered, in a sentence that says what to do.
pub(super) fn explain(connection: &Connection, model: &str, failure: Failure) -> ChatError {
    let reason = match failure.reason() {
        Ok(reason) | Err(ChatError::Refused { reason, .. }) => reason,
        Err(error) => return error,
    };
    let meanings = [
        (401, "the key is not accepted: is it this server's, whole, and still valid?"),
        (402, "the account has no money left, or none was ever paid in"),
        (403, "the key may not use this model, or not from here"),
        (429, "the account's quota is used up, or its limit too low for one request"),
    ];
    let has_status = |status: u16| reason.starts_with(&format!("HTTP {status}:"));
    if has_status(404) {
        return connection.refused(format!("{} ({reason})", models(connection, model)));
    }
    match meanings.iter().find(|(status, _)| has_status(*status)) {
        Some((_, meaning)) => connection.refused(format!("{meaning} ({reason})")),
        None => connection.refused(reason),
    }
}

/// What may be wrong where the server knows no such path or model.
fn models(connection: &Connection, model: &str) -> String {
    let listed = connection.call(Method::Get, "models", Body::Nothing).ok().filter(|r| r.status == 200);
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
