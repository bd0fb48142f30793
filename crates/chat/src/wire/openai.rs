//! Chat completions, as OpenAI and most others have them.

use serde_json::{Map, Value, json};
use tunebench_spec::{ChatMessage, ChatRequest};

use super::adaptations::Adaptations;
use super::field::{Field, is_system};

/// The body of `POST …/chat/completions`.
pub(super) fn body(request: &ChatRequest, adaptations: &Adaptations) -> Value {
    let mut body = Map::new();
    body.insert("model".into(), json!(request.model));
    body.insert(
        "messages".into(),
        match adaptations.sends(Field::SystemRole, request) {
            true => json!(request.messages),
            false => json!(without_system(&request.messages)),
        },
    );
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
        if let Some(value) = value.filter(|_| adaptations.sends(field, request)) {
            body.insert(name.into(), value);
        }
    }
    Value::Object(body)
}

/// The messages of the conversation, what the system says put before what the user says first.
fn without_system(messages: &[ChatMessage]) -> Vec<ChatMessage> {
    let (system, mut rest): (Vec<ChatMessage>, Vec<ChatMessage>) =
        messages.iter().cloned().partition(|message| is_system(&message.role));
    let mut content: Vec<String> = system.into_iter().map(|message| message.content).collect();
    match rest.first_mut().filter(|first| first.role == "user") {
        Some(first) => {
            content.push(std::mem::take(&mut first.content));
            first.content = content.join("\n\n");
        }
        None => rest.insert(0, ChatMessage { role: "user".into(), content: content.join("\n\n") }),
    }
    rest
}
