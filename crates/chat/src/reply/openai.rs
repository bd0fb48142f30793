//! Chat completions, whole or as chunks of a stream: a whole message is one large delta.

use serde_json::Value;

use super::draft::Draft;

/// Adds what a response or a chunk says.
pub(super) fn add(draft: &mut Draft, value: &Value) {
    let value = unwrap(value);
    draft.describe(value);
    let choices = value.get("choices").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    // Only one was asked for; a server that sends more is read as far as that one goes.
    let is_first = |choice: &&Value| choice.get("index").and_then(Value::as_u64).unwrap_or(0) == 0;
    let Some(choice) = choices.iter().find(is_first).filter(|choice| choice.is_object()) else { return };
    draft.is_reply = true;
    if let Some(reason) = choice.get("finish_reason").and_then(Value::as_str).filter(|reason| !reason.is_empty()) {
        draft.finish(reason);
    }
    if let Some(tokens) = choice.pointer("/logprobs/content").and_then(Value::as_array) {
        draft.add_logprobs(tokens);
    }
    if let Some(error) = choice.get("error").filter(|error| !error.is_null()) {
        draft.error = Some(error.clone());
    }
    let message = choice.get("message").or_else(|| choice.get("delta"));
    let Some(message) = message.filter(|message| !message.is_null()) else {
        draft.content.push_str(word(choice, "text")); // as plain completions have it
        return;
    };
    add_content(draft, message.get("content").unwrap_or(&Value::Null));
    draft.refusal.push_str(word(message, "refusal"));
    // The same under its older and its newer name; some servers send both.
    let reasoning = ["reasoning_content", "reasoning", "thinking"].map(|name| word(message, name));
    draft.reasoning.push_str(reasoning.into_iter().find(|text| !text.is_empty()).unwrap_or_default());
}

/// What gateways put around a response.
fn unwrap(value: &Value) -> &Value {
    let inner = ["data", "result", "output"].iter().filter_map(|name| value.get(name));
    match value.get("choices") {
        Some(_) => value,
        None => inner.into_iter().find(|inner| inner.get("choices").is_some()).unwrap_or(value),
    }
}

/// Text, or a list of parts that are text, reasoning or a refusal.
fn add_content(draft: &mut Draft, content: &Value) {
    match content {
        Value::String(text) => draft.content.push_str(text),
        Value::Array(parts) => parts.iter().for_each(|part| add_part(draft, part)),
        Value::Object(_) => add_part(draft, content),
        _ => {}
    }
}

fn add_part(draft: &mut Draft, part: &Value) {
    match (part, word(part, "type")) {
        (Value::String(text), _) => draft.content.push_str(text),
        (_, "" | "text" | "output_text") => draft.content.push_str(word(part, "text")),
        (_, "refusal") => draft.refusal.push_str(word(part, "refusal")),
        (_, "thinking" | "reasoning" | "reasoning_text") => {
            let names = ["thinking", "reasoning", "text"];
            draft.reasoning.extend(names.map(|name| word(part, name)));
            // Mistral's thinking is itself a list of parts.
            let inner = part.get("thinking").and_then(Value::as_array);
            draft.reasoning.extend(inner.into_iter().flatten().map(|part| word(part, "text")));
        }
        _ => {}
    }
}

fn word<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}
