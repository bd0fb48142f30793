//! Messages, as Anthropic has them: what the system says apart from the messages, a limit always, schemas and effort in
//! `output_config`.
//!
//! After <https://platform.claude.com/docs/en/api/messages> and its pages on structured outputs and effort, as of 2026-11.

use serde_json::{Map, Value, json};
use tunebench_spec::{ChatMessage, ChatRequest};

use super::adaptations::Adaptations;
use super::anthropic_gaps::{DEFAULT_MAX_TOKENS, effort, schema};
use super::field::{Field, is_system};

/// The body of `POST …/messages`.
pub(super) fn body(request: &ChatRequest, adaptations: &Adaptations) -> Value {
    let sends = |field| adaptations.sends(field, request);
    let (system, messages) = apart(request);
    let effort = effort(request).filter(|_| sends(Field::ReasoningEffort));
    let mut output = Map::new();
    if let Some(schema) = schema(request).filter(|_| sends(Field::ResponseFormat)) {
        output.insert("format".into(), json!({ "type": "json_schema", "schema": schema }));
    }
    if let Some(effort) = effort.filter(|effort| *effort != "none") {
        output.insert("effort".into(), json!(effort));
    }
    let fields = [
        ("model", Some(json!(request.model))),
        ("max_tokens", Some(json!(request.max_tokens.unwrap_or(DEFAULT_MAX_TOKENS)))),
        ("messages", Some(json!(messages))),
        ("system", Some(json!(system)).filter(|_| !system.is_empty())),
        ("temperature", request.temperature.filter(|_| sends(Field::Temperature)).map(Value::from)),
        ("top_p", request.top_p.filter(|_| sends(Field::TopP)).map(Value::from)),
        ("thinking", effort.filter(|effort| *effort == "none").map(|_| json!({ "type": "disabled" }))),
        ("output_config", (!output.is_empty()).then_some(Value::Object(output))),
    ];
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect::<Map<_, _>>().into()
}

/// What the system says, and the messages of the conversation, of which there must be one.
fn apart(request: &ChatRequest) -> (String, Vec<ChatMessage>) {
    let (system, messages): (Vec<&ChatMessage>, Vec<&ChatMessage>) =
        request.messages.iter().partition(|message| is_system(&message.role));
    let system = system.iter().map(|message| message.content.as_str()).collect::<Vec<_>>().join("\n\n");
    match messages.is_empty() {
        true => (String::new(), vec![ChatMessage { role: "user".into(), content: system }]),
        false => (system, messages.into_iter().cloned().collect()),
    }
}
