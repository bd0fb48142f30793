//! Server-sent events, and JSON on lines: a reply in pieces, from servers that send no other.
//!
//! After the standard (<https://html.spec.whatwg.org/multipage/server-sent-events.html>), but an event that the end cuts off
//! is read as far as it is one, and a blank line between two may be missing.

use serde_json::Value;

/// The pieces of a stream.
#[derive(Debug, Default)]
pub(super) struct Events {
    pub values: Vec<Value>,
    /// Whether it said that it ends.
    pub ended: bool,
    /// Whether pieces came that are none: what was put together has a hole.
    pub broken: bool,
}

/// Whether a body is a stream of events and not JSON.
pub(super) fn is_stream(body: &str) -> bool {
    ["data:", "event:", "id:", "retry:", ":"].iter().any(|field| body.starts_with(field))
}

/// Reads a stream; `parse` reads one piece.
pub(super) fn read(body: &str, parse: impl Fn(&str) -> Option<Value>) -> Events {
    let mut events = Events::default();
    let mut data: Vec<&str> = Vec::new();
    for line in lines(body).chain([""]) {
        if line.is_empty() {
            add(&mut events, &std::mem::take(&mut data), &parse);
        } else if let Some(piece) = line.strip_prefix("data:") {
            data.push(piece.strip_prefix(' ').unwrap_or(piece));
        }
    }
    events
}

/// Reads JSON on lines; none where it is not.
pub(super) fn read_lines(body: &str, parse: impl Fn(&str) -> Option<Value>) -> Option<Events> {
    let mut events = Events::default();
    for line in lines(body).map(str::trim).filter(|line| !line.is_empty()) {
        match parse(line).filter(Value::is_object) {
            Some(value) => events.values.push(value),
            None => events.broken = true,
        }
    }
    (events.values.len() > 1).then_some(events)
}

/// Lines end with CR LF, LF or CR alone.
fn lines(body: &str) -> impl Iterator<Item = &str> {
    body.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

fn add(events: &mut Events, data: &[&str], parse: &impl Fn(&str) -> Option<Value>) {
    if data.is_empty() {
        return;
    }
    if let Some(value) = parse(&data.join("\n")) {
        events.values.push(value);
        return;
    }
    for piece in data.iter().map(|piece| piece.trim()).filter(|piece| !piece.is_empty()) {
        match parse(piece) {
            Some(value) => events.values.push(value),
            None if piece == "[DONE]" => events.ended = true,
            None => events.broken = true,
        }
    }
}
