//! Server-sent events: a reply in pieces, from servers that send no other.

use serde_json::Value;

/// Whether a body is a stream of events and not JSON.
pub(super) fn is_stream(body: &str) -> bool {
    ["data:", "event:", "id:", "retry:", ":"].iter().any(|field| body.starts_with(field))
}

/// The data of each event that is JSON, and whether the stream said that it ends.
pub(super) fn read(body: &str) -> (Vec<Value>, bool) {
    let mut values = Vec::new();
    let mut ended = false;
    for event in body.replace("\r\n", "\n").replace('\r', "\n").split("\n\n") {
        let lines = event.lines().filter_map(|line| line.strip_prefix("data:"));
        let data: Vec<&str> = lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
        let data = data.join("\n");
        ended |= data.trim() == "[DONE]";
        values.extend(serde_json::from_str::<Value>(&data));
    }
    (values, ended)
}
