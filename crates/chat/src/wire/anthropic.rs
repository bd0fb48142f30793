//! Messages, as Anthropic has them: the system's words apart from the messages, a limit always, no seed, no log-probabilities.

use serde_json::{Map, Value, json};
use tunebench_spec::ChatRequest;

use super::adaptations::{Adaptations, DEFAULT_MAX_TOKENS, Field};

/// The body of `POST …/messages`.
pub(super) fn body(request: &ChatRequest, adaptations: &Adaptations) -> Value {
    let is_system = |role: &str| matches!(role, "system" | "developer");
    let (system, messages): (Vec<_>, Vec<_>) = request.messages.iter().partition(|m| is_system(&m.role));
    let system: Vec<&str> = system.iter().map(|message| message.content.as_str()).collect();
    let mut body = Map::new();
    body.insert("model".into(), json!(request.model));
    body.insert("max_tokens".into(), json!(request.max_tokens.unwrap_or(DEFAULT_MAX_TOKENS)));
    body.insert("messages".into(), json!(messages));
    let mut output = Map::new();
    if adaptations.sends(Field::ResponseFormat) {
        let schema = request.response_format.as_ref().and_then(|format| format.pointer("/json_schema/schema"));
        output.extend(schema.map(|schema| ("format".into(), json!({"type": "json_schema", "schema": schema}))));
    }
    if adaptations.sends(Field::ReasoningEffort) {
        output.extend(request.reasoning_effort.clone().map(|effort| ("effort".into(), json!(effort))));
    }
    let fields = [
        ("system", Some(json!(system.join("\n\n"))).filter(|_| !system.is_empty())),
        ("temperature", request.temperature.map(Value::from).filter(|_| adaptations.sends(Field::Temperature))),
        ("top_p", request.top_p.map(Value::from).filter(|_| adaptations.sends(Field::TopP))),
        ("output_config", Some(output).filter(|output| !output.is_empty()).map(Value::Object)),
    ];
    body.extend(fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    Value::Object(body)
}
