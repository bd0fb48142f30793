//! Chat completions, whole or as chunks of a stream: a whole message is one large delta.

use serde_json::Value;

use super::draft::Draft;

/// Adds what a response or a chunk says.
pub(super) fn add(draft: &mut Draft, value: &Value) {
    draft.describe(value);
    let choices = value.get("choices").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    // Only one was asked for; a server that sends more is read as far as that one goes.
    let is_first = |choice: &&Value| choice.get("index").and_then(Value::as_u64).unwrap_or(0) == 0;
    let Some(choice) = choices.iter().find(is_first) else { return };
    draft.is_reply = true;
    if let Some(reason) = choice.get("finish_reason").and_then(Value::as_str).filter(|reason| !reason.is_empty()) {
        reason.clone_into(&mut draft.finish_reason);
    }
    if let Some(tokens) = choice.pointer("/logprobs/content").and_then(Value::as_array) {
        draft.add_logprobs(tokens);
    }
    if let Some(error) = choice.get("error").filter(|error| !error.is_null()) {
        draft.error = Some(error.clone());
    }
    // `text` is what plain completions have.
    let message = choice.get("message").or_else(|| choice.get("delta"));
    let content = message.map_or(choice.get("text"), |message| message.get("content"));
    add_content(draft, content.unwrap_or(&Value::Null));
    let Some(message) = message else { return };
    let word = |name: &str| message.get(name).and_then(Value::as_str).unwrap_or_default();
    draft.refusal.push_str(word("refusal"));
    // The same under its older and its newer name; some servers send both.
    let reasoning = ["reasoning_content", "reasoning", "thinking"].map(word);
    draft.reasoning.push_str(reasoning.into_iter().find(|text| !text.is_empty()).unwrap_or_default());
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
    let word = |name: &str| part.get(name).and_then(Value::as_str).unwrap_or_default();
    match (part, word("type")) {
        (Value::String(text), _) => draft.content.push_str(text),
        (_, "" | "text" | "output_text") => draft.content.push_str(word("text")),
        (_, "refusal") => draft.refusal.push_str(word("refusal")),
        // Mistral's thinking is itself a list of parts.
        (_, "thinking" | "reasoning" | "reasoning_text") => match part.get("thinking") {
            Some(Value::Array(inner)) => {
                let texts = inner.iter().filter_map(|part| part.get("text")?.as_str());
                draft.reasoning.extend(texts);
            }
            _ => draft.reasoning.push_str([word("thinking"), word("text"), word("reasoning")].concat().as_str()),
        },
        _ => {}
    }
}
