//! Anthropic's message batches.

use serde_json::{Value, json};

use crate::batches::{BatchScript, Fate, Ledger, MadeBatch};
use crate::{Response, Seen};

/// The answer to a request; none where there is no such thing.
pub(crate) fn answer(script: &BatchScript, ledger: &mut Ledger, seen: &Seen) -> Option<Response> {
    let path: Vec<&str> = seen.path.trim_start_matches("/v1/messages/").split('/').collect();
    let json = |value: Value| Some(Response::new(200, value.to_string()));
    match (seen.method.as_str(), path.as_slice()) {
        ("POST", ["batches"]) => {
            let requests = seen.body["requests"].as_array()?.iter();
            let bodies: Option<Vec<(String, Value)>> = requests
                .map(|request| Some((request["custom_id"].as_str()?.to_owned(), request["params"].clone())))
                .collect();
            let bodies = bodies?;
            if bodies.iter().any(|(name, body)| name.len() > 64 || body["max_tokens"].is_null()) {
                return Some(Response::error(400, "a name is too long, or a limit missing", "invalid_request_error"));
            }
            Some(ledger.make(script, bodies, (Value::Null, String::new()), |batch| show(batch, false)))
        }
        ("GET", ["batches"]) if script.lists => {
            let (page, has_more) = ledger.page(script, &seen.query, "after_id");
            let data: Vec<Value> = page.iter().map(|batch| show(batch, batch.looks > script.polls)).collect();
            json(json!({ "data": data, "has_more": has_more }))
        }
        ("GET", ["batches", id]) => {
            let (batch, ended) = ledger.look(script, id)?;
            json(show(&batch, ended))
        }
        ("GET", ["batches", id, "results"]) => {
            let batch = ledger.batches.iter().find(|batch| batch.id == *id)?.clone();
            let lines = batch.requests.iter().rev().filter_map(|(name, fate)| line(name, fate));
            let lines: Vec<String> = script.extra_lines.iter().cloned().chain(lines).collect();
            Some(ledger.download(script, &lines))
        }
        _ => None,
    }
}

fn show(batch: &MadeBatch, ended: bool) -> Value {
    let count = |ended: bool, is: fn(&Fate) -> bool| if ended { batch.count(is) } else { 0 };
    json!({
        "id": batch.id, "type": "message_batch", "processing_status": if ended { "ended" } else { "in_progress" },
        "request_counts": {
            "processing": if ended { 0 } else { batch.requests.len() },
            "succeeded": count(ended, |fate| matches!(fate, Fate::Reply(_) | Fate::Garbled(_))),
            "errored": count(ended, |fate| matches!(fate, Fate::Error(..))),
            "canceled": count(ended, |fate| matches!(fate, Fate::Cancelled)),
            "expired": count(ended, |fate| matches!(fate, Fate::Expired)),
        },
    })
}

/// A line of results.
fn line(name: &str, fate: &Fate) -> Option<String> {
    let result = match fate {
        Fate::Reply(text) => json!({ "type": "succeeded", "message": {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "test-model", "stop_reason": "end_turn",
            "content": [{ "type": "text", "text": text }], "usage": { "input_tokens": 100, "output_tokens": 10 },
        } }),
        Fate::Error(_, error) => json!({ "type": "errored", "error": { "type": "error", "error": error } }),
        Fate::Expired => json!({ "type": "expired" }),
        Fate::Cancelled => json!({ "type": "canceled" }),
        Fate::Unmentioned => return None,
        Fate::Garbled(line) => return Some(line.clone()),
    };
    Some(json!({ "custom_id": name, "result": result }).to_string())
}
