//! What goes wrong with one response, and what becomes of its request.

use std::time::Duration;

use tunebench_chat::{ChatError, Failure, Reply, Unreadable};
use tunebench_scripted_server::{Framing, Response, Server};
use tunebench_spec::study::ChatSettings;

use super::{chat, retrying, send};

const MS: Duration = Duration::from_millis(1);

fn good() -> Response {
    Response::reply("1")
}

/// A server whose first answer is this one, and whose later ones are good.
fn first(response: Response) -> Server {
    Server::start(move |before, _| if before == 0 { response.clone() } else { good() })
}

#[test]
fn what_can_come_right_is_asked_again_and_what_may_be_billed_is_counted() {
    let error_in_200 = |code: &str| Response::new(200, format!(r#"{{"error":{{"message":"no","code":{code}}}}}"#));
    let pieces = |bytes| Some((bytes, MS));
    let cases: Vec<(&str, Response, usize, u32)> = vec![
        ("good", good(), 1, 0),
        ("chunked", Response { framing: Framing::Chunked, trickle: pieces(7), ..good() }, 1, 0),
        ("until the end of the connection", Response { framing: Framing::Close, ..good() }, 1, 0),
        ("in small pieces", Response { trickle: pieces(50), ..good() }, 1, 0),
        ("gzip", Response { is_gzip: true, ..good() }, 1, 0),
        ("gzip, chunked", Response { is_gzip: true, framing: Framing::Chunked, ..good() }, 1, 0),
        ("no answer", Response { hangs_up: true, ..good() }, 2, 1),
        ("cut", Response { cut_after: Some(30), ..good() }, 2, 1),
        ("cut before the body", Response { cut_after: Some(0), ..good() }, 2, 1),
        ("cut, chunked", Response { cut_after: Some(30), framing: Framing::Chunked, ..good() }, 2, 1),
        ("too long a length", Response { framing: Framing::WrongLength(10), ..good() }, 2, 1),
        ("500", Response::new(500, "oops"), 2, 0),
        ("502, a page", Response::new(502, "<html>Bad Gateway</html>"), 2, 0),
        ("503", Response::new(503, ""), 2, 0),
        (
            "529",
            Response::new(529, r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#),
            2,
            0,
        ),
        ("408", Response::new(408, ""), 2, 0),
        ("429", Response::error(429, "slow down", "rate_limit_exceeded"), 2, 0),
        ("an error in a 200", error_in_200("502"), 2, 0),
        ("a limit in a 200", error_in_200("429"), 2, 0),
        ("an overload in a 200", error_in_200("\"overloaded_error\""), 2, 0),
        ("an error among events", Response::new(200, "data: {\"error\":{\"message\":\"upstream\"}}\n\n"), 2, 0),
    ];
    for (name, response, requests, lost) in cases {
        let server = first(response);
        let sent = send(&chat(&retrying(&server, 2)), "x");
        let reply = sent.unwrap_or_else(|failure| panic!("{name}: {failure:?}"));
        assert_eq!(Reply::read(&reply.body).unwrap().chat.content, "1", "{name}");
        assert_eq!((server.count(), reply.lost), (requests, lost), "{name}");
    }
}

#[test]
fn what_may_be_paid_for_is_handed_on_as_it_came() {
    for (name, body) in [
        ("empty", ""),
        ("no choices", r#"{"choices":[]}"#),
        ("cut by the server", r#"{"choices":[{"message":{"content":"0."#),
        ("no JSON", "0.5"),
        ("refused", r#"{"choices":[{"message":{"content":null,"refusal":"No."},"finish_reason":"stop"}]}"#),
    ] {
        let server = first(Response::new(200, body));
        let sent = send(&chat(&retrying(&server, 2)), "x").unwrap();
        assert_eq!((sent.body.as_str(), server.count()), (body, 1), "{name}");
    }
}

#[test]
fn what_cannot_be_read_is_handed_on_as_far_as_it_can_be_kept() {
    let key = env!("CARGO_PKG_NAME");
    let reply = r#"{"choices":[{"message":{"content":""#;
    let not_json = |read: &Result<Reply, Unreadable>| matches!(read, Err(Unreadable::NotAReply(_)));
    let broken_off = |read: &Result<Reply, Unreadable>| matches!(read, Err(Unreadable::Empty { usage: None, .. }));
    let huge = format!("{reply}{key}{}", "é".repeat(4 << 20));
    let packed = |encoding, text: &str| {
        let bytes = [&[0xff_u8][..], text.as_bytes()].concat();
        Response::new(200, bytes).with_headers(&[("content-encoding", encoding)])
    };
    type Check<'a> = &'a dyn Fn(&Result<Reply, Unreadable>) -> bool;
    let cases: [(&str, Response, usize, Check<'_>); 5] = [
        ("huge", Response::new(200, "x".repeat((8 << 20) + 1)), 1 << 20, &not_json),
        ("a huge reply", Response::new(200, huge), 1 << 20, &broken_off),
        ("said to be packed", packed("br", key), 20, &not_json),
        ("packed in a way that nobody knows", packed("lz77", &key.repeat(300_000)), 1 << 20, &not_json),
        ("broken gzip", Response::new(200, vec![0x1f, 0x8b, 8, 0, 0xff]), 11, &not_json),
    ];
    for (name, response, most_bytes, expected) in cases {
        let server = first(response);
        let settings = ChatSettings { key_variable: Some("CARGO_PKG_NAME".into()), ..retrying(&server, 2) };
        let sent = send(&chat(&settings), "x").unwrap_or_else(|failure| panic!("{name}: {failure:?}"));
        let read = Reply::read(&sent.body);
        assert!(expected(&read), "{name}: {read:?}");
        assert!((5..=most_bytes).contains(&sent.body.len()) && !sent.body.contains(key), "{name}: {}", sent.body.len());
        assert_eq!((server.count(), sent.lost), (1, 0), "{name}");
    }
    let server = Server::start(|_, _| Response::new(200, vec![0x1f, 0x8b, 8, 0, 0xff]));
    let chat = chat(&retrying(&server, 2));
    let stopped = (0..99).find_map(|i| send(&chat, &format!("{i}")).err());
    assert!(format!("{stopped:?}").contains("cannot be unpacked (gzip)"), "it never ends: {stopped:?}");
}

#[test]
fn what_stays_wrong_fails_with_its_reason() {
    for (name, response, requests, part) in [
        (
            "refused",
            Response::error(400, "context too long", "context_length_exceeded"),
            1,
            "HTTP 400: context too long",
        ),
        ("too big", Response::new(413, ""), 1, "HTTP 413"),
        ("broken", Response::new(500, "oops"), 3, "gave up after attempt 3: HTTP 500: oops"),
        (
            "cut",
            Response { cut_after: Some(9), ..good() },
            3,
            "gave up after attempt 3: the response broke off after 9 bytes",
        ),
        (
            "cut, said",
            Response { cut_after: Some(9), ..good() },
            3,
            "(3 may have been billed, as the response was lost)",
        ),
        (
            "broken, and packed in a way that nobody knows",
            Response::new(400, vec![0xff; 9]).with_headers(&[("content-encoding", "lz77")]),
            1,
            "HTTP 400: \u{fffd}",
        ),
        (
            "broken, and huge",
            Response::new(500, "x".repeat((8 << 20) + 1)),
            3,
            "gave up after attempt 3: HTTP 500: xxx",
        ),
    ] {
        let server = Server::start(move |_, _| response.clone());
        let failure = send(&chat(&retrying(&server, 2)), "x").unwrap_err();
        let reason = failure.reason().unwrap_or_else(|stopped| panic!("{name}: {stopped}"));
        assert!(reason.contains(part), "{name}: {reason}");
        assert_eq!(server.count(), requests, "{name}");
    }
}

#[test]
fn what_was_lost_before_a_failure_is_counted_whatever_the_failure_is() {
    let cut = || Response { cut_after: Some(9), ..good() };
    let refusal = Response::error(400, "too long", "context_length_exceeded");
    let rows: [(&str, Response, u32, &str); 4] = [
        ("never anything else", cut(), 3, "gave up after attempt 3: the response broke off"),
        ("then refused", refusal, 2, "HTTP 400: too long"),
        ("then nobody is let in", Response::new(401, "no"), 2, "HTTP 401: no"),
        ("then broken", Response::new(500, "oops"), 2, "gave up after attempt 3: HTTP 500: oops"),
    ];
    for (name, last, lost, part) in rows {
        let server = Server::start(move |before, _| if before < 2 { cut() } else { last.clone() });
        let failure = send(&chat(&retrying(&server, 2)), "x").unwrap_err();
        assert_eq!((failure.lost(), server.count()), (lost, 3), "{name}");
        assert_eq!(failure.bill(), format!(" ({lost} may have been billed, as the response was lost)"), "{name}");
        match failure.clone().reason() {
            Ok(reason) => assert!(reason.contains(part) && reason.ends_with(&failure.bill()), "{name}: {reason}"),
            Err(stopped) => assert!(stopped.to_string().contains(part), "{name}: {stopped}"),
        }
    }
}

#[test]
fn slow_responses_end_in_time() {
    for response in [
        Response { delay: Duration::from_secs(5), ..good() },
        Response { trickle: Some((1, 20 * MS)), ..good() }, // for some 4 seconds
        Response { trickle: Some((1, 20 * MS)), framing: Framing::Chunked, ..good() },
    ] {
        let server = Server::start(move |_, _| response.clone());
        let settings = ChatSettings { timeout_seconds: 1, ..retrying(&server, 0) };
        let reason = send(&chat(&settings), "x").unwrap_err().reason().unwrap();
        assert!(reason.contains("no complete response within 1 s") && reason.contains("(1 may have"), "{reason}");
    }
}

#[test]
fn connections_are_kept_and_those_that_were_dropped_are_no_harm() {
    let server = Server::start(|before, _| Response { drops: before % 2 == 1, ..good() });
    let chat = chat(&retrying(&server, 3));
    for i in 0..6 {
        send(&chat, &format!("{i}")).unwrap();
        std::thread::sleep(20 * MS); // so that the end of the connection is here
    }
    let connections: Vec<usize> = server.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [0, 0, 1, 1, 2, 2]);
}

#[test]
fn the_key_follows_no_redirect() {
    let elsewhere = Server::start(|_, _| good());
    let target = elsewhere.base_url.clone();
    for status in [301, 302, 303, 307, 308] {
        let target = target.clone();
        let server =
            Server::start(move |_, _| Response::new(status, "").with_headers(&[("location", target.as_str())]));
        let Err(Failure::Stopped(ChatError::Refused { reason, .. })) = send(&chat(&retrying(&server, 2)), "x") else {
            panic!("{status} is followed");
        };
        assert!(reason.contains(&format!("HTTP {status}")), "{reason}");
        assert_eq!((server.count(), elsewhere.count()), (1, 0));
    }
}

#[test]
fn what_hinders_a_connection_is_said_in_words() {
    let server = Server::start(|_, _| good());
    let tls = server.base_url.replace("http://", "https://");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (base_url, part) in [
        (tls, "tls handshake"),
        (format!("http://{free}/v1"), "is the server running"),
        ("http://no-such-host.localhost.invalid/v1".to_owned(), "is not known"),
    ] {
        let settings = ChatSettings { base_url, key_variable: Some("CARGO_PKG_NAME".into()), ..retrying(&server, 0) };
        let Err(Failure::Server(reason)) = send(&chat(&settings), "x") else { panic!("no failure") };
        // A machine behind a proxy resolves no names itself.
        let behind_proxy = ["HTTP_PROXY", "http_proxy"].iter().any(|name| std::env::var(name).is_ok());
        assert!(reason.contains(part) || behind_proxy, "{reason}");
        assert!(!reason.contains("billed"), "nothing was sent: {reason}");
    }
    assert_eq!(server.count(), 0);
}
