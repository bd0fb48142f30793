//! Errors as servers word them, and what is learned from each.

use serde_json::{Value, json};
use tunebench_spec::ChatRequest;
use tunebench_spec::study::Dialect::{self, Anthropic, OpenAi};

use super::full;
use crate::reply::ErrorBody;
use crate::wire::{Adaptations, body};

const LOCAL: &str = "http://127.0.0.1:8000/v1";
const OPENAI: &str = "https://api.openai.com/v1";

/// What a request does without after this error; none where it would not be sent again.
fn learned(dialect: Dialect, base_url: &str, error: &str) -> Option<String> {
    let mut adaptations = Adaptations::new(dialect, "m", base_url);
    let before = adaptations.words(&full());
    let sent = body(dialect, &full(), &adaptations);
    let helps = adaptations.learn(&ErrorBody::read(error), &sent);
    let again = body(dialect, &full(), &adaptations);
    assert_eq!(helps, sent != again, "{error}");
    assert_eq!(helps, before != adaptations.words(&full()), "{error}: what changes is said");
    assert!(["model", "messages"].iter().all(|name| again.get(name).is_some()), "{error}");
    helps.then(|| adaptations.words(&full()))
}

fn openai(message: &str, param: Value, code: Value) -> String {
    json!({ "error": { "message": message, "type": "invalid_request_error", "param": param, "code": code } })
        .to_string()
}

#[test]
fn refusals_of_all_servers_are_understood() {
    let limit =
        "Unsupported parameter: 'max_completion_tokens' is not supported with this model. Use 'max_tokens' instead.";
    let cases: Vec<(&str, String, &str)> = vec![
        // OpenAI and Azure.
        (LOCAL, openai("Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.", json!("max_tokens"), json!("unsupported_parameter")), "max_tokens sent as max_completion_tokens"),
        (OPENAI, openai(limit, json!("max_completion_tokens"), json!("unsupported_parameter")), "max_tokens sent as max_tokens"),
        (LOCAL, openai("Unsupported value: 'temperature' does not support 0.0 with this model. Only the default (1) value is supported.", json!("temperature"), json!("unsupported_value")), "temperature left out"),
        (LOCAL, openai("Unsupported parameter: 'temperature' is not supported with this model.", json!("temperature"), json!(null)), "temperature left out"),
        (LOCAL, openai("Unsupported value: 'reasoning_effort' does not support 'low' with this model. Supported values are: 'high'.", json!("reasoning_effort"), json!("unsupported_value")), "reasoning_effort left out"),
        (LOCAL, openai("Unrecognized request argument supplied: reasoning_effort", json!(null), json!(null)), "reasoning_effort left out"),
        (LOCAL, openai("Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.", json!("response_format"), json!(null)), "response_format left out"),
        (LOCAL, openai("Invalid schema for response_format 'mark'", json!("response_format.json_schema.schema"), json!("invalid_json_schema")), "response_format left out"),
        (LOCAL, openai("You are not allowed to request logprobs from this model", json!(null), json!(null)), "top_logprobs left out"),
        (LOCAL, openai("logprobs are not supported with reasoning models.", json!("logprobs"), json!(null)), "top_logprobs left out"),
        (LOCAL, openai("Unsupported value: 'messages[0].role' does not support 'system' with this model.", json!("messages[0].role"), json!("unsupported_value")), "system messages put before the user's"),
        // FastAPI, pydantic, Mistral, vLLM.
        (LOCAL, json!({ "detail": [{ "loc": ["body", "seed"], "msg": "Extra inputs are not permitted", "type": "extra_forbidden" }, { "loc": ["body", "top_p"], "msg": "Extra inputs are not permitted", "type": "extra_forbidden" }] }).to_string(), "top_p left out; seed left out"),
        (LOCAL, json!({ "object": "error", "message": { "detail": [{ "type": "extra_forbidden", "loc": ["body", "top_logprobs"], "msg": "Extra inputs are not permitted", "input": 5 }] }, "type": "invalid_request_error" }).to_string(), "top_logprobs left out"),
        (LOCAL, json!({ "object": "error", "message": "[{'type': 'extra_forbidden', 'loc': ('body', 'reasoning_effort'), 'msg': 'Extra inputs are not permitted', 'input': 'low'}]", "type": "BadRequestError", "param": null, "code": 400 }).to_string(), "reasoning_effort left out"),
        (LOCAL, json!({ "object": "error", "message": "System role not supported", "type": "BadRequestError", "code": 400 }).to_string(), "system messages put before the user's"),
        (LOCAL, json!({ "object": "error", "message": "Conversation roles must alternate user/assistant/user/assistant/...", "code": 400 }).to_string(), "system messages put before the user's"),
        // llama.cpp, Ollama.
        (LOCAL, json!({ "error": { "code": 400, "message": "Failed to initialize samplers: failed to parse grammar", "type": "invalid_request_error" } }).to_string(), "response_format left out"),
        (LOCAL, json!({ "error": { "message": "\"gemma3\" does not support thinking", "type": "invalid_request_error", "param": null, "code": null } }).to_string(), "reasoning_effort left out"),
        // Google.
        (LOCAL, json!([{ "error": { "code": 400, "message": "Invalid JSON payload received. Unknown name \"seed\": Cannot find field.", "status": "INVALID_ARGUMENT", "details": [{ "@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [{ "description": "Unknown name" }] }] } }]).to_string(), "seed left out"),
        (LOCAL, json!([{ "error": { "code": 400, "message": "Request contains an invalid argument.", "status": "INVALID_ARGUMENT", "details": [{ "fieldViolations": [{ "field": "generation_config.temperature", "description": "x" }] }] } }]).to_string(), "temperature left out"),
        (LOCAL, json!({ "error": { "message": "Developer instruction is not enabled for models/gemma-4" } }).to_string(), "system messages put before the user's"),
        // OpenRouter hands on what others say.
        (LOCAL, json!({ "error": { "message": "Provider returned error", "code": 400, "metadata": { "raw": openai("Unsupported parameter: 'top_p'", json!("top_p"), json!(null)), "provider_name": "X" } } }).to_string(), "top_p left out"),
        (LOCAL, json!({ "error": { "message": "Provider returned error", "code": 400, "metadata": { "raw": "seed is not supported" } } }).to_string(), "seed left out"),
        // Groq, DeepSeek, plain text.
        (LOCAL, openai("This model does not support response format `json_schema`.", json!(null), json!(null)), "response_format left out"),
        (LOCAL, openai("This response_format type is unavailable now", json!(null), json!("invalid_request_error")), "response_format left out"),
        (LOCAL, "{\"detail\":\"Unsupported parameter: temperature\"}".to_owned(), "temperature left out"),
        (LOCAL, "unknown field `seed`, expected one of `model`, `messages`".to_owned(), "seed left out"),
        (LOCAL, openai("Unsupported parameters: temperature, top_p and seed", json!(null), json!(null)), "temperature left out; top_p left out; seed left out"),
    ];
    for (base_url, error, expected) in cases {
        assert_eq!(learned(OpenAi, base_url, &error).as_deref(), Some(expected), "{error}");
    }
    let anthropic = |message: &str| {
        json!({ "type": "error", "error": { "type": "invalid_request_error", "message": message } }).to_string()
    };
    for (message, expected) in [
        ("`temperature` is deprecated for this model.", "temperature left out; seed left out; top_logprobs left out"),
        (
            "`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
            "top_p left out; seed left out; top_logprobs left out",
        ),
        (
            "`temperature` may only be set to 1 when thinking is enabled.",
            "temperature left out; seed left out; top_logprobs left out",
        ),
        (
            "temperature: Input should be less than or equal to 1",
            "temperature left out; seed left out; top_logprobs left out",
        ),
        (
            "output_config.effort: Extra inputs are not permitted",
            "seed left out; reasoning_effort left out; top_logprobs left out",
        ),
        (
            "output_config.format: Extra inputs are not permitted",
            "seed left out; response_format left out; top_logprobs left out",
        ),
        (
            "output_config: Extra inputs are not permitted",
            "seed left out; reasoning_effort left out; response_format left out; top_logprobs left out",
        ),
        (
            "This model does not support the effort parameter.",
            "seed left out; reasoning_effort left out; top_logprobs left out",
        ),
    ] {
        assert_eq!(learned(Anthropic, LOCAL, &anthropic(message)).as_deref(), Some(expected), "{message}");
    }
}

#[test]
fn what_cannot_be_helped_is_not_tried_again() {
    for error in [
        "",
        "null",
        "<html><title>400 Bad Request</title></html>",
        &openai("you must provide a model parameter", json!(null), json!(null)),
        &openai("The model `m` does not exist", json!("model"), json!("model_not_found")),
        &openai(
            "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens.",
            json!("messages"),
            json!("context_length_exceeded"),
        ),
        // Its value is wrong, not its name.
        &openai(
            "max_tokens is too large: 300. This model supports at most 200 completion tokens, whereas you provided 300.",
            json!("max_tokens"),
            json!(null),
        ),
        &openai("'max_tokens' must be at least 1000", json!("max_tokens"), json!("integer_below_min_value")),
        &openai("Unsupported parameter: 'presence_penalty'", json!("presence_penalty"), json!(null)),
        &openai("unknown field max_tokens_to_sample or seeds", json!(null), json!(null)),
        &openai("The temperature in the room", json!(null), json!(null)),
        &openai("The response was filtered due to the prompt", json!("prompt"), json!("content_filter")),
        &json!({ "error": { "message": "messages.0.content: Input should be a valid string" } }).to_string(),
    ] {
        assert_eq!(learned(OpenAi, LOCAL, error), None, "{error}");
    }
    // A limit is demanded by the dialect.
    assert_eq!(learned(Anthropic, LOCAL, "max_tokens: Extra inputs are not permitted"), None);
}

#[test]
fn learning_ends() {
    // Servers that refuse whatever they are sent: all of it, or one after the other.
    for (most, expected) in [(usize::MAX, 1), (1, 8)] {
        let mut adaptations = Adaptations::new(OpenAi, "m", LOCAL);
        let mut attempts = 0;
        loop {
            let sent = body(OpenAi, &full(), &adaptations);
            let names =
                sent.as_object().unwrap().keys().rev().filter(|name| !["model", "messages"].contains(&name.as_str()));
            let named: Vec<String> = names.take(most).map(|name| format!("'{name}' is not supported")).collect();
            let error = openai(&named.join(", "), json!(null), json!(null));
            if !adaptations.learn(&ErrorBody::read(&error), &sent) {
                break;
            }
            attempts += 1;
        }
        assert!(attempts <= expected, "{attempts}");
        let rest = body(OpenAi, &full(), &adaptations);
        let rest: Vec<&String> = rest.as_object().unwrap().keys().collect();
        assert!(rest.iter().any(|name| name.starts_with("max_")), "{rest:?}: a limit stays, whatever becomes of it");
    }
}

#[test]
fn requests_in_flight_learn_the_same() {
    let mut adaptations = Adaptations::new(OpenAi, "m", LOCAL);
    let sent = body(OpenAi, &full(), &adaptations);
    let refusal =
        |name: &str| ErrorBody::read(&openai(&format!("Unsupported parameter: '{name}'"), json!(name), json!(null)));
    for _ in 0..3 {
        assert!(
            adaptations.learn(&refusal("temperature"), &sent),
            "each of those that had it is worth another attempt"
        );
        assert!(adaptations.learn(&refusal("max_tokens"), &sent));
    }
    let again = body(OpenAi, &full(), &adaptations);
    assert!(!adaptations.learn(&refusal("temperature"), &again));
    assert!(!adaptations.learn(&refusal("max_completion_tokens"), &again), "both names are refused");
    let words = adaptations.words(&full());
    assert_eq!(words, "temperature left out", "no name is better than the other");
    // Only what a request has is spoken of.
    assert_eq!(adaptations.words(&ChatRequest { temperature: None, ..full() }), "");
}

#[test]
fn system_messages_go_before_the_first_of_the_user() {
    let mut adaptations = Adaptations::new(OpenAi, "m", LOCAL);
    let sent = body(OpenAi, &full(), &adaptations);
    assert!(adaptations.learn(&ErrorBody::read("System role not supported"), &sent));
    let folded = |request: &ChatRequest| body(OpenAi, request, &adaptations)["messages"].clone();
    assert_eq!(folded(&full()), json!([{ "role": "user", "content": "Be fair.\n\nMark it." }]));
    let alone = ChatRequest { messages: vec![super::message("system", "a")], ..full() };
    assert_eq!(folded(&alone), json!([{ "role": "user", "content": "a" }]));
}
