//! What is sent in each dialect, what is learned from refusals, and what bytes become.

mod bodies;
mod bytes;
mod refusals;

use serde_json::json;
use tunebench_spec::{ChatMessage, ChatRequest};

fn message(role: &str, content: &str) -> ChatMessage {
    ChatMessage { role: role.into(), content: content.into() }
}

/// A request that has everything.
fn full() -> ChatRequest {
    ChatRequest {
        model: "m".into(),
        messages: vec![message("system", "Be fair."), message("user", "Mark it.")],
        temperature: Some(0.0),
        max_tokens: Some(300),
        seed: Some(7),
        top_p: Some(0.9),
        reasoning_effort: Some("low".into()),
        response_format: Some(json!({
            "type": "json_schema", "json_schema": { "name": "mark", "strict": true, "schema": { "type": "object" } },
        })),
        top_logprobs: Some(5),
    }
}
