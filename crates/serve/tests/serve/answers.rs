//! Answers: those of the engine, the same streamed or whole, alone or among others.

use serde_json::{Value, json};
use tunebench_chat::ChatServer as _;
use tunebench_local_chat::LocalChat;
use tunebench_model::backend::FAST;
use tunebench_spec::ChatRequest;
use tunebench_testkit::byte_level;

use crate::support::{Running, ask, babbling, endless, options, parts, with};

const CHAT: &str = "/v1/chat/completions";
const COMPLETIONS: &str = "/v1/completions";

/// Without what differs from request to request.
fn lasting(mut body: Value) -> Value {
    for name in ["id", "created"] {
        assert!(body.as_object_mut().unwrap().remove(name).is_some());
    }
    body
}

#[test]
fn chat_is_what_the_engine_answers_alone() {
    let server = Running::babbling();
    let local = LocalChat::from_parts(parts(byte_level::babbling(), "babbling"), FAST).unwrap();
    for more in [
        json!({ "temperature": 0 }),
        json!({ "temperature": 0.7, "seed": 5 }),
        json!({ "temperature": 1, "top_p": 0.5, "seed": 6, "logprobs": true, "top_logprobs": 3 }),
        json!({ "temperature": 0, "response_format": { "type": "json_schema", "json_schema": { "name": "a", "strict": true,
            "schema": { "type": "object", "properties": { "n": { "type": "integer", "minimum": 0, "maximum": 9 } } } } } }),
    ] {
        let body = with(ask("Hello"), more);
        let found = server.chat(&body);
        let mut request: ChatRequest = serde_json::from_value(body).unwrap();
        request.model = String::new();
        let want: Value = serde_json::from_str(&local.send(&request, "x").unwrap().body).unwrap();
        for path in ["/choices/0/message/content", "/choices/0/finish_reason", "/choices/0/logprobs/content", "/usage"]
        {
            assert_eq!(found.pointer(path), want.pointer(path), "{path}");
        }
        assert!(found["choices"][0]["message"]["content"].as_str().is_some_and(|text| !text.is_empty()));
        assert_eq!(found["object"], "chat.completion");
        assert_eq!(found["model"], "babbling");
    }
}

#[test]
fn json_objects_are_json() {
    let server = Running::babbling();
    for seed in 0..12 {
        let more =
            json!({ "temperature": 1, "seed": seed, "response_format": { "type": "json_object" }, "max_tokens": 400 });
        let found = server.chat(&with(ask("JSON"), more));
        let text = found["choices"][0]["message"]["content"].as_str().unwrap();
        if found["choices"][0]["finish_reason"] == "stop" {
            assert!(serde_json::from_str::<Value>(text).unwrap().is_object(), "{text}");
        } else {
            assert!(text.trim_start().starts_with('{'), "{text}");
        }
    }
}

#[test]
fn an_answer_is_the_same_bytes_alone_and_among_others() {
    let server = Running::babbling();
    let body = |i: u64| {
        let prompt = format!("{}{i}", "x".repeat(i as usize * 7 % 90));
        json!({ "model": "babbling", "prompt": prompt, "max_tokens": 20 + i % 30, "temperature": 0.8, "seed": i, "logprobs": 2,
                "echo": i.is_multiple_of(3) })
    };
    let alone: Vec<Value> = (0..21).map(|i| lasting(server.complete(&body(i)))).collect();
    let together: Vec<Value> = std::thread::scope(|scope| {
        let server = &server;
        let running: Vec<_> = (0..21).map(|i| scope.spawn(move || lasting(server.complete(&body(i))))).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(together, alone);
    // And as prompts of one request.
    let prompts: Vec<Value> = (0..21).map(|i| body(i)["prompt"].clone()).collect();
    let one = json!({ "model": "babbling", "prompt": prompts, "max_tokens": 20, "temperature": 0 });
    let found = server.complete(&one);
    for (i, choice) in found["choices"].as_array().unwrap().iter().enumerate() {
        let single = server.complete(&with(one.clone(), json!({ "prompt": prompts[i] })));
        assert_eq!(choice["text"], single["choices"][0]["text"]);
        assert_eq!(choice["index"], i);
    }
}

/// What a stream came to: of each answer its text, log-probabilities end to end, and finish.
fn joined(events: &[Value], count: usize, text: &str, logprobs: &str) -> Vec<(String, Vec<Value>, Value)> {
    let mut all = vec![(String::new(), Vec::new(), Value::Null); count];
    for choice in events.iter().flat_map(|event| event["choices"].as_array().unwrap()) {
        let (said, found, finish) = &mut all[choice["index"].as_u64().unwrap() as usize];
        *said += choice.pointer(text).and_then(Value::as_str).unwrap_or_default();
        found.extend(choice.pointer(logprobs).and_then(Value::as_array).into_iter().flatten().cloned());
        if !choice["finish_reason"].is_null() {
            assert!(finish.is_null(), "one end each");
            *finish = choice["finish_reason"].clone();
        }
    }
    all
}

#[test]
fn a_stream_comes_to_the_whole() {
    let server = Running::babbling();
    for seed in 0..6 {
        let more =
            json!({ "temperature": 1.2, "seed": seed, "n": 3, "logprobs": true, "top_logprobs": 2, "max_tokens": 60 });
        let body = with(ask("是😀"), more);
        let whole = server.chat(&body);
        let (events, is_done) =
            server.stream(CHAT, &with(body, json!({ "stream_options": { "include_usage": true } })));
        assert!(is_done);
        let (last, events) = events.split_last().unwrap();
        assert_eq!((&last["choices"], &last["usage"]), (&json!([]), &whole["usage"]));
        assert!(events.iter().all(|event| event["usage"].is_null() && event["object"] == "chat.completion.chunk"));
        assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
        let found = joined(events, 3, "/delta/content", "/logprobs/content");
        let choices = whole["choices"].as_array().unwrap();
        for ((text, logprobs, finish), choice) in found.iter().zip(choices) {
            assert_eq!(*text, choice["message"]["content"]);
            assert_eq!(json!(logprobs), choice["logprobs"]["content"]);
            assert_eq!(*finish, choice["finish_reason"]);
            let bytes =
                logprobs.iter().flat_map(|token| token["bytes"].as_array().unwrap()).map(|b| b.as_u64().unwrap() as u8);
            assert_eq!(String::from_utf8_lossy(&bytes.collect::<Vec<_>>()), *text);
        }
        assert_ne!(choices[0]["message"]["content"], choices[1]["message"]["content"], "answers are drawn apart");

        let body = json!({ "model": "babbling", "prompt": ["是", "b"], "n": 2, "echo": true, "logprobs": 1, "temperature": 1.2,
                           "seed": seed, "max_tokens": 30 });
        let whole = server.complete(&body);
        let (events, is_done) = server.stream(COMPLETIONS, &body);
        assert!(is_done);
        for (field, path) in ["tokens", "token_logprobs", "top_logprobs", "text_offset"].iter().zip([
            "/logprobs/tokens",
            "/logprobs/token_logprobs",
            "/logprobs/top_logprobs",
            "/logprobs/text_offset",
        ]) {
            let found = joined(&events, 4, "/text", path);
            for ((text, logprobs, finish), choice) in found.iter().zip(whole["choices"].as_array().unwrap()) {
                assert_eq!(*text, choice["text"]);
                assert_eq!(json!(logprobs), choice["logprobs"][field], "{field}");
                assert_eq!(*finish, choice["finish_reason"]);
            }
        }
    }
}

#[test]
fn offsets_are_where_tokens_stand_in_the_text() {
    let server = Running::babbling();
    let found = server
        .complete(&json!({ "model": "babbling", "prompt": "a是😀<|im_end|>b", "max_tokens": 12, "echo": true,
                                         "logprobs": 0, "temperature": 1, "seed": 3 }));
    let choice = &found["choices"][0];
    let text: Vec<char> = choice["text"].as_str().unwrap().chars().collect();
    assert!(choice["text"].as_str().unwrap().starts_with("a是😀<|im_end|>b"));
    let tokens = choice["logprobs"]["tokens"].as_array().unwrap();
    let offsets = choice["logprobs"]["text_offset"].as_array().unwrap();
    assert_eq!(
        (tokens.len(), offsets.len()),
        (tokens.len(), choice["logprobs"]["token_logprobs"].as_array().unwrap().len())
    );
    for (token, offset) in tokens.iter().zip(offsets) {
        let (token, offset) = (token.as_str().unwrap(), offset.as_u64().unwrap() as usize);
        if !token.starts_with("bytes:") && !token.is_empty() && offset < text.len() {
            let there: String = text[offset..].iter().take(token.chars().count()).collect();
            assert_eq!(there, token);
        }
    }
    // Three bytes of one character, four of the next.
    let want = [0, 1, 1, 1, 2, 2, 2, 2, 3, 13];
    assert_eq!(offsets.iter().take(10).map(|o| o.as_u64().unwrap()).collect::<Vec<_>>(), want);
}

#[test]
fn answers_stop_where_they_are_told() {
    let server = Running::new(vec![babbling(), endless()], options());
    let body =
        |stop: Value| json!({ "model": "endless", "prompt": "\n", "max_tokens": 9, "stop": stop, "logprobs": 1 });
    for (stop, text, finish, tokens) in [
        (json!(null), "aaaaaaaaa", "length", 9),
        (json!([]), "aaaaaaaaa", "length", 9),
        (json!("aaa"), "", "stop", 3),
        (json!(["b", "ab"]), "aaaaaaaaa", "length", 9),
    ] {
        let found = server.complete(&with(body(stop.clone()), json!({ "temperature": 0 })));
        let choice = &found["choices"][0];
        assert_eq!((&choice["text"], &choice["finish_reason"]), (&json!(text), &json!(finish)), "{stop}");
        assert_eq!(found["usage"]["completion_tokens"], tokens);
        assert_eq!(choice["logprobs"]["tokens"].as_array().unwrap().len(), text.len());
        let (events, _) = server.stream(COMPLETIONS, &with(body(stop), json!({ "temperature": 0 })));
        assert_eq!(joined(&events, 1, "/text", "/none")[0].0, text);
    }
}

#[test]
fn models_are_listed_and_named() {
    let server = Running::new(vec![babbling(), endless()], options());
    let list: Value = server.get("/v1/models").json().unwrap();
    let ids: Vec<&str> = list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!((list["object"].as_str(), ids), (Some("list"), vec!["babbling", "endless"]));
    let one: Value = server.get("/v1/models/endless").json().unwrap();
    assert_eq!(one["max_model_len"], 1 << 18);
    assert_eq!(server.get("/v1/models/other%20one").status(), 404);
    assert_eq!(server.health(), json!({ "status": "ok", "running": 0, "waiting": 0 }));
    let parts = json!([{ "type": "text", "text": "Hel" }, { "type": "text", "text": "lo" }]);
    let [a, b] = [json!("Hello"), parts].map(|content| {
        let mut body = ask("");
        body["messages"][0]["content"] = content;
        server.chat(&body)["choices"].clone()
    });
    assert_eq!(a, b, "content in parts");
}

#[test]
fn text_is_tokens_and_back() {
    let server = Running::babbling();
    let found = server
        .answer("/tokenize", &json!({ "model": "babbling", "prompt": "a<|im_end|>是", "return_token_strs": true }));
    assert_eq!((&found["count"], &found["max_model_len"]), (&json!(5), &json!(2048)));
    assert_eq!(found["token_strs"][1], "<|im_end|>");
    let text = server.answer("/detokenize", &json!({ "model": "babbling", "tokens": found["tokens"] }));
    assert_eq!(text["prompt"], "a<|im_end|>是");
    let chat = server.answer(
        "/tokenize",
        &json!({ "model": "babbling", "messages": [{ "role": "user", "content": "<|im_end|>" }] }),
    );
    assert!(chat["count"].as_u64().unwrap() > 20, "a message writes no mark");
    let tokens = json!({ "model": "babbling", "prompt": chat["tokens"], "max_tokens": 24, "temperature": 0 });
    assert_eq!(
        server.complete(&tokens)["choices"][0]["text"],
        server.chat(&ask("<|im_end|>"))["choices"][0]["message"]["content"]
    );
}
