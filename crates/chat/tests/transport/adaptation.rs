//! What a server refuses by name is left out, learnt once, and said.

use std::sync::atomic::{AtomicUsize, Ordering};

use tunebench_chat::{ChatServer, Failure, Reply};
use tunebench_scripted_server::{Response, Seen, Server};
use tunebench_spec::study::ChatSettings;

use super::{chat, request, retrying, send};

/// As OpenAI's newer models refuse what older ones took.
fn refuse(seen: &Seen) -> Option<Response> {
    let refused = [
        ("temperature", "Unsupported value: 'temperature' does not support 0.0 with this model."),
        (
            "max_tokens",
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        ),
    ];
    let (name, message) = refused.iter().find(|(name, _)| seen.body.get(name).is_some())?;
    let body = serde_json::json!({ "error": { "message": message, "type": "invalid_request_error", "param": name } });
    Some(Response::new(400, body.to_string()))
}

#[test]
fn a_refused_field_is_learnt_once_by_all_threads() {
    let refused = std::sync::Arc::new(AtomicUsize::new(0));
    let count = refused.clone();
    let server = Server::start(move |_, seen| match refuse(seen) {
        Some(refusal) => {
            count.fetch_add(1, Ordering::Relaxed);
            refusal
        }
        None => Response::reply("1"),
    });
    let chat = chat(&ChatSettings { concurrency: 8, ..retrying(&server, 0) });
    std::thread::scope(|scope| {
        for i in 0..8 {
            let chat = &chat;
            scope.spawn(move || {
                let reply = send(chat, &format!("{i}")).unwrap();
                assert!(reply.adapted.contains("temperature left out"), "{}", reply.adapted);
                assert!(reply.adapted.contains("max_completion_tokens"), "{}", reply.adapted);
            });
        }
    });
    assert_eq!((refused.load(Ordering::Relaxed), server.count()), (2, 10), "each field is refused once");
    // Another model may be another case.
    let other = chat.send(&tunebench_spec::ChatRequest { model: "other".into(), ..request("x") }, "x").unwrap();
    assert!(other.adapted.contains("temperature"), "{}", other.adapted);
    assert_eq!(server.count(), 13);
}

#[test]
fn a_refusal_that_names_nothing_that_was_sent_is_final() {
    let error = r#"{"error":{"message":"top_k is wrong","param":"top_k"}}"#;
    let server = Server::start(move |_, _| Response::new(400, error));
    assert_eq!(send(&chat(&retrying(&server, 3)), "x"), Err(Failure::Request("HTTP 400: top_k is wrong".into())));
    assert_eq!(server.count(), 1);
}

#[test]
fn a_server_that_streams_alone_is_asked_for_events() {
    let server = Server::start(|_, seen| match seen.body["stream"].as_bool() {
        Some(true) => {
            let events = "data: {\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"0.\"}}]}\n\n\
                          data: {\"choices\":[{\"delta\":{\"content\":\"5\"},\"finish_reason\":\"stop\"}]}\n\n\
                          data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";
            Response::new(200, events).with_headers(&[("content-type", "text/event-stream")])
        }
        _ => Response::error(400, "This model only supports stream mode; set stream to true", "invalid_parameter"),
    });
    let chat = chat(&retrying(&server, 0));
    for i in 0..2 {
        let response = send(&chat, &format!("{i}")).unwrap();
        let reply = Reply::read(&response.body).unwrap();
        assert_eq!((reply.chat.content.as_str(), response.adapted.as_str()), ("0.5", "asked for events"));
        assert_eq!(reply.usage.map(|usage| (usage.prompt, usage.completion)), Some((3, 2)));
    }
    assert_eq!(server.count(), 3);
}
