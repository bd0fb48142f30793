//! Requests that cannot be answered: each is told why, and none harms the server.

use serde_json::{Value, json};
use tunebench_spec::random::Stream;

use crate::support::{Running, ask, with};

const CHAT: &str = "/v1/chat/completions";
const COMPLETIONS: &str = "/v1/completions";

fn complete() -> Value {
    json!({ "model": "babbling", "prompt": "a", "max_tokens": 3, "temperature": 0 })
}

#[test]
fn what_is_wrong_is_named() {
    let server = Running::babbling();
    let chat = |more: Value| (CHAT, with(ask("a"), more));
    let text = |more: Value| (COMPLETIONS, with(complete(), more));
    let format = |format: Value| chat(json!({ "response_format": format }));
    let schema = |strict: bool, schema: Value| {
        format(json!({ "type": "json_schema", "json_schema": { "name": "a", "strict": strict, "schema": schema } }))
    };
    let long = "x".repeat(3000);
    for ((path, body), status, param, code) in [
        (chat(json!({ "model": "nobody" })), 404, "model", "model_not_found"),
        (chat(json!({ "model": null })), 400, "model", "invalid_value"),
        (chat(json!({ "model": 5 })), 400, "model", "invalid_value"),
        (chat(json!({ "messages": null })), 400, "messages", "invalid_value"),
        (chat(json!({ "messages": [] })), 400, "messages", "invalid_value"),
        (chat(json!({ "messages": "a" })), 400, "messages", "invalid_value"),
        (chat(json!({ "messages": ["a"] })), 400, "messages[0]", "invalid_value"),
        (chat(json!({ "messages": [{ "content": "a" }] })), 400, "messages[0].role", "invalid_value"),
        (chat(json!({ "messages": [{ "role": "user" }] })), 400, "messages[0].content", "invalid_value"),
        (chat(json!({ "messages": [{ "role": "king", "content": "a" }] })), 400, "messages", "invalid_value"),
        (chat(json!({ "messages": [{ "role": "assistant", "content": "a" }] })), 400, "messages", "invalid_value"),
        (
            chat(json!({ "messages": [{ "role": "user", "content": "a", "name": "b" }] })),
            400,
            "messages[0].name",
            "unsupported_parameter",
        ),
        (
            chat(json!({ "messages": [{ "role": "user", "content": [{ "type": "image_url", "image_url": {} }] }] })),
            400,
            "messages[0].content[0].type",
            "unsupported_parameter",
        ),
        (
            chat(json!({ "messages": [{ "role": "user", "content": [{ "type": "text" }] }] })),
            400,
            "messages[0].content[0].text",
            "invalid_value",
        ),
        (
            chat(json!({ "messages": [{ "role": "assistant", "content": "a", "tool_calls": [1] }] })),
            400,
            "messages[0].tool_calls",
            "unsupported_parameter",
        ),
        (
            chat(json!({ "messages": [{ "role": "user", "content": long }] })),
            400,
            "messages",
            "context_length_exceeded",
        ),
        (chat(json!({ "max_tokens": 3000 })), 400, "messages", "context_length_exceeded"),
        (chat(json!({ "max_tokens": 0 })), 400, "max_tokens", "invalid_value"),
        (chat(json!({ "max_tokens": 1.5 })), 400, "max_tokens", "invalid_value"),
        (chat(json!({ "max_tokens": 3, "max_completion_tokens": 4 })), 400, "max_tokens", "invalid_value"),
        (chat(json!({ "temperature": 2.1 })), 400, "temperature", "invalid_value"),
        (chat(json!({ "temperature": "0" })), 400, "temperature", "invalid_value"),
        (chat(json!({ "top_p": -0.1 })), 400, "top_p", "invalid_value"),
        (chat(json!({ "n": 0 })), 400, "n", "invalid_value"),
        (chat(json!({ "n": 129 })), 400, "n", "invalid_value"),
        (chat(json!({ "seed": "a" })), 400, "seed", "invalid_value"),
        (chat(json!({ "stop": ["a", "b", "c", "d", "e"] })), 400, "stop", "invalid_value"),
        (chat(json!({ "stop": "" })), 400, "stop", "invalid_value"),
        (chat(json!({ "stop": [1] })), 400, "stop", "invalid_value"),
        (chat(json!({ "logprobs": 2 })), 400, "logprobs", "invalid_value"),
        (chat(json!({ "top_logprobs": 2 })), 400, "top_logprobs", "invalid_value"),
        (chat(json!({ "logprobs": true, "top_logprobs": 21 })), 400, "top_logprobs", "invalid_value"),
        (chat(json!({ "stream": "yes" })), 400, "stream", "invalid_value"),
        (chat(json!({ "stream_options": { "include_usage": true } })), 400, "stream_options", "invalid_value"),
        (
            chat(json!({ "stream": true, "stream_options": { "a": true } })),
            400,
            "stream_options.a",
            "unsupported_parameter",
        ),
        (chat(json!({ "frequency_penalty": 0.5 })), 400, "frequency_penalty", "unsupported_parameter"),
        (chat(json!({ "presence_penalty": -1 })), 400, "presence_penalty", "unsupported_parameter"),
        (chat(json!({ "logit_bias": { "5": 3 } })), 400, "logit_bias", "unsupported_parameter"),
        (chat(json!({ "tools": [{ "type": "function" }] })), 400, "tools", "unsupported_parameter"),
        (chat(json!({ "store": true })), 400, "store", "unsupported_parameter"),
        (chat(json!({ "top_k": 5 })), 400, "top_k", "unsupported_parameter"),
        (chat(json!({ "reasoning_effort": "high" })), 400, "reasoning_effort", "unsupported_parameter"),
        (chat(json!({ "no_such_field": 1 })), 400, "no_such_field", "unsupported_parameter"),
        (format(json!("text")), 400, "response_format", "invalid_value"),
        (format(json!({ "type": "grammar" })), 400, "response_format", "invalid_value"),
        (format(json!({ "type": "json_schema" })), 400, "response_format", "invalid_value"),
        (schema(false, json!({ "type": "object" })), 400, "response_format", "invalid_value"),
        (schema(true, json!({ "type": "string", "maxLength": 3 })), 400, "response_format", "invalid_value"),
        (schema(false, json!({ "enum": [long, long.repeat(30)] })), 400, "response_format", "invalid_value"),
        (text(json!({ "prompt": null })), 400, "prompt", "invalid_value"),
        (text(json!({ "prompt": "" })), 400, "prompt", "invalid_value"),
        (text(json!({ "prompt": [] })), 400, "prompt", "invalid_value"),
        (text(json!({ "prompt": [[]] })), 400, "prompt", "invalid_value"),
        (text(json!({ "prompt": [1, "a"] })), 400, "prompt", "invalid_value"),
        (text(json!({ "prompt": [-1] })), 400, "prompt", "invalid_value"),
        (text(json!({ "prompt": [264] })), 400, "prompt", "invalid_value"),
        (text(json!({ "prompt": [1e18] })), 400, "prompt", "invalid_value"),
        (text(json!({ "prompt": vec![1; 3000] })), 400, "prompt", "context_length_exceeded"),
        (text(json!({ "prompt": vec!["a"; 2049] })), 400, "prompt", "invalid_value"),
        (text(json!({ "prompt": vec!["a"; 600] })), 400, "n", "invalid_value"),
        (text(json!({ "max_tokens": 0 })), 400, "max_tokens", "invalid_value"),
        (text(json!({ "max_tokens": 9_000_000_000_000_000_000_i64 })), 400, "prompt", "context_length_exceeded"),
        (text(json!({ "logprobs": true })), 400, "logprobs", "invalid_value"),
        (text(json!({ "best_of": 2 })), 400, "best_of", "unsupported_parameter"),
        (text(json!({ "suffix": "b" })), 400, "suffix", "unsupported_parameter"),
        (("/tokenize", json!({ "model": "babbling" })), 400, "messages", "invalid_value"),
        (("/detokenize", json!({ "model": "babbling", "tokens": "a" })), 400, "tokens", "invalid_value"),
    ] {
        let response = server.post(path, &body);
        let shown: String = body.to_string().chars().take(300).collect();
        assert_eq!(response.status(), status, "{shown}");
        let found: Value = response.json().unwrap();
        let error = &found["error"];
        assert_eq!((error["param"].as_str(), error["code"].as_str()), (Some(param), Some(code)), "{shown}: {error}");
        assert_eq!(error["type"], "invalid_request_error");
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty() && message.len() < 500));
    }
}

#[test]
fn what_changes_nothing_is_taken() {
    let server = Running::babbling();
    let harmless = json!({
        "user": "me", "metadata": { "a": "b" }, "store": false, "frequency_penalty": 0, "presence_penalty": 0.0, "logit_bias": {},
        "tools": [], "tool_choice": "none", "service_tier": "auto", "top_k": -1, "n": null, "stop": null, "seed": null,
        "response_format": { "type": "text" }, "no_such_field": null, "top_p": 1, "logprobs": false, "top_logprobs": 0,
    });
    assert_eq!(server.chat(&with(ask("a"), harmless))["choices"], server.chat(&ask("a"))["choices"]);
    let harmless = json!({ "suffix": null, "best_of": 1, "logprobs": null, "echo": false, "user": "", "suffix": "" });
    assert_eq!(server.complete(&with(complete(), harmless))["choices"], server.complete(&complete())["choices"]);
    let held_in_part = json!({ "response_format": { "type": "json_schema", "json_schema": { "name": "a", "schema":
        { "type": "string", "maxLength": 3 } } } });
    let response = server.post(CHAT, &with(ask("a"), held_in_part));
    assert_eq!(response.headers()["x-tunebench-adapted"], "maxLength of response_format left out");
}

#[test]
fn what_is_no_request_is_told_so() {
    let server = Running::babbling();
    let send = |body: &str, kind: &str| {
        let request = server.client.post(format!("{}{CHAT}", server.url)).header("content-type", kind);
        let response = request.body(body.to_owned()).send().unwrap();
        let status = response.status().as_u16();
        let body: Value = response.json().unwrap();
        assert!(body["error"]["message"].is_string());
        status
    };
    for body in
        ["", "{", "[]", "null", "5", "{\"a\":1e999}", "\"\\ud800\"", "{\"model\":\"\\ud800\"}", &"[".repeat(100_000)]
    {
        assert_eq!(send(body, "application/json"), 400, "{body:.20}");
    }
    assert_eq!(send("{}", "text/plain"), 415);
    assert_eq!(send("{}", "Application/JSON; charset=utf-8"), 400);
    for (path, status, code) in
        [("/", 404, "unknown_url"), ("/v1/none", 404, "unknown_url"), (CHAT, 405, "method_not_allowed")]
    {
        let response = server.get(path);
        assert_eq!(response.status(), status, "{path}");
        let body: Value = response.json().unwrap();
        assert_eq!(body["error"]["code"], code);
    }
}

/// A value near one of a good request.
fn mutated(value: &Value, stream: &mut Stream) -> Value {
    const STRANGE: [&str; 12] = [
        "null",
        "true",
        "-1",
        "0",
        "1e308",
        "18446744073709551615",
        "\"\"",
        "\"\\u0000\\ud83d\\ude00\"",
        "[]",
        "{}",
        "[[[]]]",
        "{\"type\":\"json_object\"}",
    ];
    let any = |stream: &mut Stream| serde_json::from_str(STRANGE[stream.below(STRANGE.len() as u64) as usize]).unwrap();
    match value {
        _ if stream.below(12) == 0 => any(stream),
        Value::Object(map) => {
            let mut out = serde_json::Map::new();
            for (name, value) in map {
                match stream.below(14) {
                    0 => {}
                    1 => drop(out.insert(format!("{name}x"), any(stream))),
                    _ => drop(out.insert(name.clone(), mutated(value, stream))),
                }
            }
            Value::Object(out)
        }
        Value::Array(values) => {
            let mut out: Vec<Value> = values.iter().map(|value| mutated(value, stream)).collect();
            if stream.below(6) == 0 {
                out.push(any(stream));
            }
            Value::Array(out)
        }
        Value::String(text) if stream.below(4) == 0 => {
            let at = text.char_indices().map(|(i, _)| i).nth(stream.below(1 + text.len() as u64) as usize).unwrap_or(0);
            let insert = ["\u{0}", "<|im_end|>", "😀", "\u{202e}", "{{ 1 }}", "\n"][stream.below(6) as usize];
            Value::String(format!("{}{insert}{}", &text[..at], &text[at..]))
        }
        other => other.clone(),
    }
}

#[test]
fn no_request_harms_the_server() {
    let server = Running::babbling();
    let schema = json!({ "type": "object", "properties": { "a": { "type": "array", "items": { "type": "string" } } } });
    let seeds = [
        (
            CHAT,
            with(
                ask("Hello"),
                json!({ "n": 2, "stop": ["a"], "seed": 1, "logprobs": true, "top_logprobs": 2, "max_tokens": 4 }),
            ),
        ),
        (
            CHAT,
            with(
                ask("a"),
                json!({ "max_tokens": 4, "response_format": { "type": "json_schema", "json_schema": { "name": "a", "schema": schema } } }),
            ),
        ),
        (CHAT, with(ask("a"), json!({ "max_tokens": 4, "stream": true, "stream_options": { "include_usage": true } }))),
        (
            COMPLETIONS,
            json!({ "model": "babbling", "prompt": ["a", [5, 6]], "max_tokens": 3, "echo": true, "logprobs": 2, "stop": "b" }),
        ),
        ("/tokenize", json!({ "model": "babbling", "prompt": "a", "add_special_tokens": false })),
        ("/detokenize", json!({ "model": "babbling", "tokens": [1, 2, 263] })),
    ];
    let mut answered = 0;
    for key in 0..1500 {
        let mut stream = Stream::new(key, &[3]);
        let (path, body) = &seeds[key as usize % seeds.len()];
        let mut body = mutated(body, &mut stream);
        if body.is_object() {
            body["model"] = json!("babbling");
        }
        if body.get("max_tokens").is_none() && path.starts_with("/v1/chat") {
            continue; // it would answer to the end of its positions
        }
        let response = server.post(path, &body);
        let status = response.status().as_u16();
        assert!(matches!(status, 200 | 400 | 404), "{status} for {body}: {}", response.text().unwrap());
        answered += u32::from(status == 200);
        drop(response);
    }
    assert!(answered > 200, "{answered}");
    assert_eq!(server.health()["status"], "ok");
    assert!(server.chat(&ask("a"))["choices"][0]["message"]["content"].is_string());
}
