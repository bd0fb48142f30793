//! Replies that must be JSON of a schema, from a model that would say anything.

use serde_json::{Value, json};
use tunebench_chat::{ChatServer, Reply};
use tunebench_spec::ChatRequest;

use crate::models::{CHATML, ask, babbling, chat};

fn format(schema: Value) -> Option<Value> {
    Some(json!({ "type": "json_schema", "json_schema": { "name": "verdict", "strict": true, "schema": schema } }))
}

#[test]
fn a_reply_has_the_schema_that_is_asked_for() {
    let chat = chat(babbling(), CHATML);
    let schema = json!({
        "type": "object",
        "properties": {
            "winner": { "enum": ["A", "B", "一样"] },
            "score": { "type": "integer", "minimum": 1, "maximum": 10 },
            "share": { "type": "number", "minimum": 0, "maximum": 1 },
            "checks": { "type": "object", "properties": { "a": { "type": "boolean" }, "b": { "type": ["null", "boolean"] } } },
        },
        "required": ["winner", "score", "share", "checks"],
        "additionalProperties": false,
    });
    for (seed, temperature) in [(0, 0.0), (1, 1.0), (2, 2.0), (3, 2.0)] {
        let request = ChatRequest {
            response_format: format(schema.clone()),
            temperature: Some(temperature),
            seed: Some(seed),
            top_logprobs: Some(1),
            ..ask("x")
        };
        let response = chat.send(&request, "a").unwrap();
        assert_eq!(response.adapted, "");
        let reply = Reply::read(&response.body).unwrap().chat;
        let value: Value = serde_json::from_str(&reply.content).unwrap_or_else(|e| panic!("{e}: {}", reply.content));
        assert_eq!(reply.finish_reason, "stop");
        assert!(["A", "B", "一样"].contains(&value["winner"].as_str().unwrap()));
        assert!((1..=10).contains(&value["score"].as_i64().unwrap()));
        assert!((0.0..=1.0).contains(&value["share"].as_f64().unwrap()));
        assert!(value["checks"]["a"].is_boolean() && !value["checks"]["b"].is_number());
        let mut places: Vec<usize> = Vec::new();
        for name in ["winner", "score", "share", "checks", "\"a\"", "\"b\""] {
            places.push(reply.content.find(name).unwrap());
        }
        assert!(places.is_sorted(), "{}", reply.content);
        // The model would rather have said something else, and that is what its log-probabilities say.
        assert!(reply.logprobs.iter().any(|token| token.logprob < token.top_logprobs[0].logprob));
    }
}

#[test]
fn a_reply_that_never_ends_is_cut_and_says_so() {
    let schema = json!({ "type": "object", "properties": { "reason": { "type": "string" } } });
    let request = ChatRequest { response_format: format(schema), max_tokens: Some(40), ..ask("x") };
    let reply = Reply::read(&chat(babbling(), CHATML).send(&request, "a").unwrap().body).unwrap().chat;
    assert!(reply.content.trim_start().starts_with('{') && reply.content.contains("\"reason\":"), "{}", reply.content);
    let is_whole = serde_json::from_str::<Value>(&reply.content).is_ok();
    assert_eq!(reply.finish_reason, if is_whole { "stop" } else { "length" });
}

#[test]
fn what_is_not_held_is_said() {
    let chat = chat(babbling(), CHATML);
    let object = |value: Value| format(json!({ "type": "object", "properties": { "a": value } }));
    for (response_format, adapted) in [
        (Some(json!({ "type": "text" })), ""),
        (Some(json!({ "type": "json_object" })), "response_format left out"),
        (Some(json!({ "type": "json_schema" })), "response_format left out"),
        (Some(json!("json")), "response_format left out"),
        (object(json!({ "type": "boolean", "description": "a", "title": "b" })), ""),
        (object(json!({ "type": "number", "exclusiveMinimum": 0 })), "exclusiveMinimum of response_format left out"),
        (object(json!({ "type": "integer", "minimum": 0 })), "minimum of response_format left out"),
        (object(json!({ "$ref": "#/a" })), "response_format left out: a schema in it has no `type`"),
        (object(json!({ "type": "object" })), "response_format left out: an object in it has no `properties`"),
        (object(json!({ "type": "boolean", "not": {} })), "response_format left out: it has `not`"),
        (object(json!({ "enum": [] })), "response_format left out: `enum` is not a list of choices"),
        (object(json!({ "type": "date" })), "response_format left out: it has the type `date`"),
        (object(json!(true)), "response_format left out: it is no object"),
    ] {
        let request = ChatRequest { response_format, max_tokens: Some(2), ..ask("x") };
        assert_eq!(chat.send(&request, "a").unwrap().adapted, adapted);
    }
}
