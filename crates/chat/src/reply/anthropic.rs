//! Anthropic's messages, whole or as the events of a stream.

use serde_json::Value;

use super::draft::Draft;

/// What messages and their events say they are.
const TYPES: [&str; 7] = [
    "message",
    "message_start",
    "message_delta",
    "message_stop",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
];

/// Whether it is a message of this dialect, or an event of one.
pub(super) fn is_mine(value: &Value) -> bool {
    value.get("choices").is_none() && value.get("type").and_then(Value::as_str).is_some_and(|t| TYPES.contains(&t))
}

/// Adds what a message or an event says.
pub(super) fn add(draft: &mut Draft, value: &Value) {
    draft.is_reply = true;
    let whole = value.get("message").unwrap_or(value);
    draft.describe(whole);
    for stop in [value.pointer("/delta/stop_reason"), whole.get("stop_reason")].into_iter().flatten() {
        if let Some(reason) = stop.as_str() {
            draft.finish(reason);
        }
    }
    match whole.get("content") {
        Some(Value::String(text)) => draft.content.push_str(text),
        Some(Value::Array(blocks)) => blocks.iter().for_each(|block| add_block(draft, block)),
        _ => {}
    }
    for block in [value.get("content_block"), value.get("delta")].into_iter().flatten() {
        add_block(draft, block);
    }
}

/// A block, or a piece of one. What holds neither text nor thinking (signatures, redacted thinking, tools) adds nothing.
fn add_block(draft: &mut Draft, block: &Value) {
    for (field, name) in [(&mut draft.content, "text"), (&mut draft.reasoning, "thinking")] {
        field.push_str(block.get(name).and_then(Value::as_str).unwrap_or_default());
    }
}
