//! OpenAI's files and batches.

use serde_json::{Value, json};

use crate::batches::{BatchScript, Fate, Ledger, MadeBatch};
use crate::{Response, Seen};

/// The answer to a request; none where there is no such thing.
pub(crate) fn answer(script: &BatchScript, ledger: &mut Ledger, seen: &Seen) -> Option<Response> {
    let path: Vec<&str> = seen.path.trim_start_matches("/v1/").split('/').collect();
    let json = |value: Value| Some(Response::new(200, value.to_string()));
    match (seen.method.as_str(), path.as_slice()) {
        // A request by itself, as a probe sends one.
        ("POST", ["chat", "completions"]) => Some(Response::reply("1")),
        ("POST", ["files"]) => {
            let id = format!("file-{}", ledger.files.len());
            ledger.files.insert(id.clone(), file_of_form(seen)?);
            json(json!({ "id": id, "object": "file", "purpose": "batch" }))
        }
        ("POST", ["batches"]) => {
            let file = seen.body["input_file_id"].as_str()?.to_owned();
            let bodies = requests(ledger.files.get(&file)?)?;
            let is_sound = seen.body["endpoint"] == "/v1/chat/completions" && seen.body["completion_window"] == "24h";
            let models: std::collections::BTreeSet<String> =
                bodies.iter().map(|(_, b)| b["model"].to_string()).collect();
            if !is_sound || models.len() != 1 {
                return Some(Response::error(
                    400,
                    "no batch of one model and of chat completions within 24h",
                    "invalid",
                ));
            }
            Some(ledger.make(script, bodies, (seen.body["metadata"].clone(), file), |batch| show(batch, false)))
        }
        ("GET", ["batches"]) if script.lists => {
            let (page, has_more) = ledger.page(script, &seen.query, "after");
            let data: Vec<Value> = page.iter().map(|batch| show(batch, batch.looks > script.polls)).collect();
            json(json!({ "object": "list", "data": data, "has_more": has_more }))
        }
        ("GET", ["batches", id]) => {
            let (batch, ended) = ledger.look(script, id)?;
            json(show(&batch, ended))
        }
        ("GET", ["files", id, "content"]) => {
            let (kind, id) = id.split_once('-')?;
            let batch = ledger.batches.iter().find(|batch| batch.id == id)?.clone();
            let wants = |fate: &Fate| matches!(fate, Fate::Reply(_) | Fate::Garbled(_)) == (kind == "output");
            let wanted = batch.requests.iter().filter(|(_, fate)| wants(fate));
            let mut lines: Vec<String> = wanted.filter_map(|(name, fate)| line(name, fate)).collect();
            // In any order.
            lines.reverse();
            if kind == "output" {
                lines.splice(0..0, script.extra_lines.iter().cloned());
            }
            Some(ledger.download(script, &lines))
        }
        _ => None,
    }
}

fn show(batch: &MadeBatch, ended: bool) -> Value {
    let replies = batch.count(|fate| matches!(fate, Fate::Reply(_) | Fate::Garbled(_)));
    let failed = batch.count(|fate| matches!(fate, Fate::Error(..)));
    let not_begun = batch.count(|fate| matches!(fate, Fate::Expired | Fate::Cancelled));
    let status = match (ended, batch.errors.is_null()) {
        (false, _) => "in_progress",
        (true, false) => "failed",
        (true, true) if batch.count(|fate| matches!(fate, Fate::Expired)) > 0 => "expired",
        (true, true) if batch.count(|fate| matches!(fate, Fate::Cancelled)) > 0 => "cancelled",
        (true, true) => "completed",
    };
    let is_valid = ended && batch.errors.is_null();
    let file = |kind: &str, n: usize| (is_valid && n > 0).then(|| format!("{kind}-{}", batch.id));
    let counts = |n: usize| if is_valid { n } else { 0 };
    json!({
        "id": batch.id, "object": "batch", "status": status, "input_file_id": batch.file, "metadata": batch.metadata,
        "errors": if ended { json!({ "object": "list", "data": batch.errors }) } else { Value::Null },
        "output_file_id": file("output", replies), "error_file_id": file("error", failed + not_begun),
        "request_counts": { "total": batch.requests.len(), "completed": counts(replies), "failed": counts(failed) },
    })
}

/// A line of results.
fn line(name: &str, fate: &Fate) -> Option<String> {
    let response = |status: u16, body: Value| json!({ "status_code": status, "request_id": "req_1", "body": body });
    let (response, error) = match fate {
        Fate::Reply(text) => (response(200, serde_json::from_slice(&Response::reply(text).body).ok()?), Value::Null),
        Fate::Error(status, error) => (response(*status, json!({ "error": error })), Value::Null),
        Fate::Expired => (Value::Null, json!({ "code": "batch_expired", "message": "not begun in time" })),
        Fate::Cancelled => (Value::Null, json!({ "code": "batch_cancelled", "message": "cancelled" })),
        Fate::Unmentioned => return None,
        Fate::Garbled(line) => return Some(line.clone()),
    };
    Some(json!({ "id": "batch_req_1", "custom_id": name, "response": response, "error": error }).to_string())
}

/// Names and bodies of a file of requests.
fn requests(file: &[u8]) -> Option<Vec<(String, Value)>> {
    let text = std::str::from_utf8(file).ok()?;
    let request = |line: &str| {
        let mut value: Value = serde_json::from_str(line).ok()?;
        let is_sound = value["method"] == "POST" && value["url"] == "/v1/chat/completions";
        is_sound.then(|| Some((value["custom_id"].as_str()?.to_owned(), value["body"].take())))?
    };
    text.lines().map(request).collect()
}

/// The file in a form that says that it is for a batch.
fn file_of_form(seen: &Seen) -> Option<Vec<u8>> {
    let boundary = format!("--{}", seen.header("content-type")?.split_once("boundary=")?.1);
    let text = String::from_utf8(seen.bytes.clone()).ok()?;
    let parts: Vec<(&str, &str)> = text.split(&boundary).filter_map(|part| part.split_once("\r\n\r\n")).collect();
    let part = |name: &str| {
        let name = format!("name=\"{name}\"");
        parts.iter().find(|(head, _)| head.contains(&name)).map(|(_, body)| body.trim_end_matches("\r\n"))
    };
    (part("purpose")? == "batch").then(|| part("file").map(|file| file.as_bytes().to_vec()))?
}
