//! Paths, headers and bodies.

use serde_json::{Value, json};
use tunebench_spec::ChatRequest;
use tunebench_spec::study::Dialect::{self, Anthropic, OpenAi};

use super::{full, message};
use crate::models;
use crate::wire::{Adaptations, body, dialect, headers, key_variable, path};

const LOCAL: &str = "http://127.0.0.1:8000/v1";
const OPENAI: &str = "https://api.openai.com/v1";

fn sent(dialect: Dialect, request: &ChatRequest, base_url: &str) -> (Value, String) {
    let adaptations = Adaptations::new(dialect, &request.model, base_url);
    (body(dialect, request, &adaptations), adaptations.words(request))
}

#[test]
fn hosts_have_their_dialect_headers_and_key() {
    for (host, expected, variable, header) in [
        ("api.openai.com", OpenAi, "OPENAI_API_KEY", ("authorization", "Bearer k")),
        ("127.0.0.1", OpenAi, "OPENAI_API_KEY", ("authorization", "Bearer k")),
        ("openrouter.ai", OpenAi, "OPENAI_API_KEY", ("authorization", "Bearer k")),
        ("me.openai.azure.com", OpenAi, "AZURE_OPENAI_API_KEY", ("api-key", "k")),
        ("me.cognitiveservices.azure.com", OpenAi, "AZURE_OPENAI_API_KEY", ("api-key", "k")),
        ("api.anthropic.com", Anthropic, "ANTHROPIC_API_KEY", ("x-api-key", "k")),
    ] {
        let found = dialect(host);
        assert_eq!((found, key_variable(found, host)), (expected, variable), "{host}");
        let all = headers(found, host, Some("k"));
        assert_eq!(all.last(), Some(&(header.0, header.1.to_owned())), "{host}");
        assert_eq!(all.iter().any(|(name, _)| *name == "anthropic-version"), found == Anthropic, "{host}");
        assert!(headers(found, host, None).iter().all(|(_, value)| !value.contains('k')), "{host}");
    }
    assert_eq!((path(OpenAi), path(Anthropic)), ("chat/completions", "messages"));
}

#[test]
fn openai_is_sent_what_the_request_has() {
    let (all, words) = sent(OpenAi, &full(), LOCAL);
    let expected = json!({
        "model": "m", "temperature": 0.0, "top_p": 0.9, "seed": 7, "max_tokens": 300, "reasoning_effort": "low",
        "messages": [{ "role": "system", "content": "Be fair." }, { "role": "user", "content": "Mark it." }],
        "response_format": full().response_format, "logprobs": true, "top_logprobs": 5,
    });
    assert_eq!((all, words.as_str()), (expected, ""));
    let bare = ChatRequest { model: "m".into(), messages: vec![message("user", "hi")], ..ChatRequest::default() };
    let (least, words) = sent(OpenAi, &bare, LOCAL);
    assert_eq!(
        (least, words.as_str()),
        (json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] }), "")
    );
    let none = ChatRequest { top_logprobs: Some(0), ..bare };
    assert_eq!(sent(OpenAi, &none, LOCAL).0["logprobs"], json!(true));
}

#[test]
fn what_a_model_refuses_is_not_tried() {
    let of = |model: &str, effort: Option<&str>| {
        let request = ChatRequest { model: model.into(), reasoning_effort: effort.map(str::to_owned), ..full() };
        sent(OpenAi, &request, OPENAI)
    };
    let (reasoning, words) = of(models::DEFAULT_MODEL, Some("low"));
    assert_eq!(words, "temperature left out; top_p left out; top_logprobs left out");
    for name in ["temperature", "top_p", "logprobs", "top_logprobs", "max_tokens"] {
        assert!(reasoning.get(name).is_none(), "{name}");
    }
    assert_eq!(reasoning["max_completion_tokens"], json!(300), "its usual name there, which is nothing to speak of");
    assert_eq!(of(models::DEFAULT_MODEL, None).1, words, "it reasons unless it is told not to");
    let (plain, words) = of(models::DEFAULT_MODEL, Some("none"));
    assert_eq!((plain.get("temperature"), words.as_str()), (Some(&json!(0.0)), ""));
    let (_, words) = of("gpt-6.1-sol", Some("none"));
    assert_eq!(words, "temperature left out; top_p left out; top_logprobs left out", "it always reasons");
    // The same name on a server of one's own says nothing.
    let request = ChatRequest { model: models::DEFAULT_MODEL.into(), ..full() };
    assert_eq!(sent(OpenAi, &request, LOCAL).1, "");
}

#[test]
fn anthropic_is_sent_what_it_can_say() {
    let (all, words) = sent(Anthropic, &full(), LOCAL);
    let expected = json!({
        "model": "m", "max_tokens": 300, "system": "Be fair.", "messages": [{ "role": "user", "content": "Mark it." }],
        "temperature": 0.0, "top_p": 0.9,
        "output_config": { "format": { "type": "json_schema", "schema": { "type": "object" } }, "effort": "low" },
    });
    assert_eq!((all, words.as_str()), (expected, "seed left out; top_logprobs left out"));
    let effort = |effort: &str| {
        let request = ChatRequest {
            reasoning_effort: Some(effort.into()),
            response_format: Some(json!({ "type": "json_object" })),
            max_tokens: None,
            seed: None,
            top_logprobs: None,
            ..full()
        };
        sent(Anthropic, &request, LOCAL)
    };
    let (none, words) = effort("none");
    assert_eq!((none.get("output_config"), &none["thinking"]), (None, &json!({ "type": "disabled" })));
    assert_eq!(
        (&none["max_tokens"], words.as_str()),
        (&json!(4096), "response_format left out; max_tokens set to 4096")
    );
    let (minimal, words) = effort("minimal");
    assert_eq!(minimal["output_config"], json!({ "effort": "low" }));
    assert!(words.ends_with("max_tokens set to 4096; reasoning_effort sent as low"), "{words}");
    let alone = ChatRequest {
        model: "m".into(),
        messages: vec![message("system", "a"), message("developer", "b")],
        max_tokens: Some(1),
        ..ChatRequest::default()
    };
    let (body, words) = sent(Anthropic, &alone, LOCAL);
    assert_eq!(body, json!({ "model": "m", "max_tokens": 1, "messages": [{ "role": "user", "content": "a\n\nb" }] }));
    assert_eq!(words, "system messages sent as the user's");
    let request = ChatRequest { model: "claude-haiku-5-5".into(), ..full() };
    let (known, words) = sent(Anthropic, &request, "https://api.anthropic.com/v1");
    assert!(known.get("temperature").is_none());
    assert_eq!(words, "temperature left out; top_p left out; seed left out; top_logprobs left out");
}
