//! Secrets reach the server, and nothing else.

use std::collections::BTreeMap;

use tunebench_chat::{ChatServer, Failure};
use tunebench_scripted_server::{Response, Server};
use tunebench_spec::study::{ChatSettings, Dialect};

use super::{chat, retrying, send};

// cargo sets these for tests: variables whose values are known without setting one.
const KEY: &str = env!("CARGO_PKG_NAME");
const FOLDER: &str = env!("CARGO_MANIFEST_DIR");

fn with_secrets(server: &Server) -> ChatSettings {
    ChatSettings {
        key_variable: Some("CARGO_PKG_NAME".into()),
        headers: BTreeMap::from([("x-folder-key".into(), "at ${CARGO_MANIFEST_DIR}".into())]),
        query: BTreeMap::from([("api-version".into(), "1 2".into()), ("token".into(), "${CARGO_MANIFEST_DIR}".into())]),
        ..retrying(server, 0)
    }
}

#[test]
fn everything_is_sent_and_nothing_comes_back() {
    let server = Server::start(move |before, _| {
        let text = format!("{KEY} {FOLDER} {}", FOLDER.replace('/', "\\/"));
        let headers = [("x-request-id", text.as_str())];
        match before {
            0 => Response::reply(&text).with_headers(&headers),
            1 => Response::new(400, format!(r#"{{"error":{{"message":"{KEY} at {FOLDER}"}}}}"#)),
            _ => Response::new(401, format!("{KEY} {FOLDER}")),
        }
    });
    let chat = chat(&with_secrets(&server));
    let first = send(&chat, "x").unwrap();
    let shown = [
        first.body,
        first.request_id,
        format!("{:?}", send(&chat, "x")),
        format!("{:?}", send(&chat, "x")),
        format!("{:?}", chat.stopped()),
        chat.url().to_owned(),
    ];
    for text in shown {
        assert!(!text.contains(KEY) && !text.contains(FOLDER), "{text}");
    }
    let seen = &server.seen()[0];
    assert_eq!(seen.header("authorization"), Some(format!("Bearer {KEY}").as_str()));
    assert_eq!(seen.header("x-folder-key"), Some(format!("at {FOLDER}").as_str()));
    assert!(seen.query.starts_with("api-version=1+2&token=%2F"), "{}", seen.query);
}

#[test]
fn an_address_with_a_secret_in_its_query_is_in_no_message() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = Server::start(|_, _| Response::reply("1"));
    let settings = ChatSettings { base_url: format!("http://{free}/v1"), ..with_secrets(&server) };
    let Err(Failure::Server(reason)) = send(&chat(&settings), "x") else { panic!("nobody listens there") };
    assert!(!reason.contains("token=") && !reason.contains(FOLDER), "{reason}");
}

#[test]
fn each_dialect_has_its_path_and_its_headers() {
    let server = Server::start(|_, seen| {
        let body = r#"{"type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"1"}],
            "stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":1}}"#;
        if seen.path.ends_with("messages") { Response::new(200, body) } else { Response::reply("1") }
    });
    let with = |dialect, headers: &[(&str, &str)]| ChatSettings {
        dialect: Some(dialect),
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        key_variable: Some("CARGO_PKG_NAME".into()),
        ..server.settings()
    };
    send(&chat(&with(Dialect::OpenAi, &[])), "x").unwrap();
    send(&chat(&with(Dialect::Anthropic, &[("anthropic-beta", "some-2026")])), "x").unwrap();
    // A key that the headers carry is the only one, unless another is named.
    let own = ChatSettings { key_variable: None, ..with(Dialect::OpenAi, &[("Api-Key", "${CARGO_MANIFEST_DIR}")]) };
    send(&chat(&own), "x").unwrap();
    let seen = server.seen();
    assert_eq!(seen[0].path, "/v1/chat/completions");
    assert_eq!(seen[1].path, "/v1/messages");
    assert_eq!(seen[1].header("x-api-key"), Some(KEY));
    assert_eq!((seen[1].header("anthropic-beta"), seen[1].header("authorization")), (Some("some-2026"), None));
    assert!(seen[1].header("anthropic-version").is_some());
    assert_eq!((seen[2].header("api-key"), seen[2].header("authorization")), (Some(FOLDER), None));
}
