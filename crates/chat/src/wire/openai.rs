//! Chat completions, as OpenAI and most others have them.

use serde_json::{Map, Value, json};
use tunebench_spec::ChatRequest;

use super::adaptations::{Adaptations, Field};

/// The body of `POST …/chat/completions`.
pub(super) fn body(request: &ChatRequest, adaptations: &Adaptations) -> Value {
    let mut body = Map::new();
    body.insert("model".into(), json!(request.model));
    body.insert("messages".into(), json!(request.messages));
    let fields = [
        (Field::Temperature, "temperature", request.temperature.map(Value::from)),
        (Field::TopP, "top_p", request.top_p.map(Value::from)),
        (Field::Seed, "seed", request.seed.map(Value::from)),
        (Field::MaxTokens, adaptations.limit_name(), request.max_tokens.map(Value::from)),
        (Field::ReasoningEffort, "reasoning_effort", request.reasoning_effort.clone().map(Value::from)),
        (Field::ResponseFormat, "response_format", request.response_format.clone()),
        (Field::Logprobs, "logprobs", request.top_logprobs.map(|_| Value::Bool(true))),
        (Field::Logprobs, "top_logprobs", request.top_logprobs.map(Value::from)),
    ];
    for (field, name, value) in fields {
        if let Some(value) = value.filter(|_| adaptations.sends(field)) {
            body.insert(name.into(), value);
        }
    }
    Value::Object(body)
}
