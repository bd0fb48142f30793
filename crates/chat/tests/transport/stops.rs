//! When nothing more is sent: what every request would meet, and too much of the same.

use tunebench_chat::{ChatError, ChatServer, Failure};
use tunebench_scripted_server::{Response, Server};

use super::{chat, retrying, send};

#[test]
fn what_every_request_would_meet_stops_at_once() {
    let quota = r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota"}}"#;
    let anthropic = r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the API"}}"#;
    let page = "<!DOCTYPE html><title>Welcome</title>";
    for (status, body, headers, part) in [
        (429, quota, vec![], "You exceeded your current quota"),
        (400, anthropic, vec![], "credit balance is too low"),
        (402, r#"{"error":{"message":"Insufficient Balance"}}"#, vec![], "Insufficient Balance"),
        (403, r#"{"error":{"message":"Insufficient credits. Add more"}}"#, vec![], "Insufficient credits"),
        (401, r#"{"error":{"message":"Incorrect API key"}}"#, vec![], "Incorrect API key"),
        (404, r#"{"detail":"Not Found"}"#, vec![], "HTTP 404: Not Found"),
        (405, "", vec![], "HTTP 405"),
        (200, page, vec![], "is base_url right?"),
        (404, page, vec![], "is base_url right?"),
        (200, r#"{"error":{"message":"bad key","code":401}}"#, vec![], "bad key"),
        (429, "slow", vec![("retry-after", "3600")], "it asks to wait 3600 s; run again later"),
        (503, "slow", vec![("retry-after-ms", "121000")], "it asks to wait 121 s"),
        (429, "Rate limit reached, try again in 7m12s.", vec![], "it asks to wait 432 s"),
    ] {
        let server = Server::start(move |before, _| match before {
            0 => Response::reply("1"),
            _ => Response::new(status, body).with_headers(&headers),
        });
        let chat = chat(&retrying(&server, 3));
        send(&chat, "good").unwrap();
        let Err(Failure::Stopped(error)) = send(&chat, "bad") else { panic!("{status} {body} does not stop") };
        assert!(matches!(error, ChatError::Refused { .. }) && error.to_string().contains(part), "{error}");
        assert_eq!(chat.stopped(), Some(error.clone()));
        assert_eq!(send(&chat, "later"), Err(Failure::Stopped(error)), "and so it stays");
        assert_eq!(server.count(), 2, "{status} {body}");
    }
}

/// Asks until it stops, at most 40 times; how often, and why.
fn until_stopped(server: &Server, retries: u32) -> (usize, Option<ChatError>) {
    let chat = chat(&retrying(server, retries));
    for i in 0..40 {
        let _ = send(&chat, &format!("{i}"));
        if let Some(reason) = chat.stopped() {
            return (i + 1, Some(reason));
        }
    }
    (40, None)
}

#[test]
fn equal_refusals_with_no_reply_between_stop() {
    let refusal = || Response::error(400, "bad schema", "invalid_schema");
    let other = || Response::error(400, "too long", "context_length_exceeded");
    type Script = Box<dyn Fn(usize) -> Response + Send + Sync>;
    let cases: [(&str, Script, Option<usize>); 5] = [
        ("equal", Box::new(move |_| refusal()), Some(10)),
        (
            "with retries between",
            Box::new(move |n| if n % 2 == 0 { Response::new(500, "") } else { refusal() }),
            Some(10),
        ),
        (
            "with limits between",
            Box::new(move |n| if n % 2 == 0 { Response::new(429, "") } else { refusal() }),
            Some(10),
        ),
        ("with a reply between", Box::new(move |n| if n % 9 == 8 { Response::reply("1") } else { refusal() }), None),
        ("of two kinds", Box::new(move |n| if n % 2 == 0 { refusal() } else { other() }), None),
    ];
    for (name, script, expected) in cases {
        let server = Server::start(move |before, _| script(before));
        let (asked, reason) = until_stopped(&server, 3);
        assert_eq!(reason.is_some().then_some(asked), expected, "{name}: {reason:?}");
        if let Some(reason) = reason {
            let text = reason.to_string();
            assert!(text.contains("10 requests were refused alike") && text.contains("bad schema"), "{text}");
        }
    }
}

#[test]
fn failures_in_a_row_stop() {
    let server = Server::start(|_, _| Response::new(500, "down"));
    let (asked, reason) = until_stopped(&server, 1);
    assert_eq!((asked, server.count()), (10, 20));
    assert!(matches!(reason, Some(ChatError::Unreachable { failures: 10, .. })), "{reason:?}");
    // What is neither a reply nor an error is handed on, but not for ever.
    let server = Server::start(|_, _| Response::new(200, "{}"));
    let (asked, reason) = until_stopped(&server, 1);
    assert_eq!(asked, 10);
    assert!(reason.unwrap().to_string().contains("no reply"));
}
