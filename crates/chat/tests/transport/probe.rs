//! One request before the work: what it tells, and what its refusal means.

use tunebench_chat::{ChatError, ChatServer};
use tunebench_scripted_server::{Response, Server};
use tunebench_spec::ChatRequest;

use super::{chat, request, retrying};

#[test]
fn a_probe_tells_what_it_learnt() {
    let server = Server::start(|_, seen| match seen.body.get("temperature") {
        Some(_) => Response::new(400, r#"{"error":{"message":"temperature is not supported","param":"temperature"}}"#),
        None => Response::reply("1").with_headers(&[
            ("x-ratelimit-limit-requests", "500"),
            ("x-ratelimit-limit-tokens", "30000"),
            ("date", "Fri, 31 Dec 2100 23:59:59 GMT"),
        ]),
    });
    let like = ChatRequest { max_tokens: Some(3000), top_p: Some(0.5), ..request("a long prompt") };
    let probe = chat(&retrying(&server, 0)).probe(&like).unwrap();
    assert_eq!((probe.model.as_str(), probe.adapted.as_str()), ("test-model-0301", "temperature left out"));
    assert_eq!((probe.requests_per_minute, probe.tokens_per_minute), (Some(500.0), Some(30_000.0)));
    assert!(probe.clock_skew_seconds.unwrap() > 1e9 && probe.seconds > 0.0);
    assert_eq!(probe.usage.map(|usage| usage.prompt), Some(100));
    let sent = &server.seen()[1];
    assert_eq!((sent.body["max_tokens"].as_u64(), sent.body["top_p"].as_f64()), (Some(1024), Some(0.5)));
    assert!(!sent.prompt().contains("a long prompt") && sent.prompt().contains("JSON"));
}

#[test]
fn refusals_become_a_sentence() {
    let models = r#"{"data":[{"id":"gpt-6"},{"id":"test-models"},{"id":"claude"}]}"#;
    for (status, body, list, part) in [
        (401, r#"{"error":{"message":"Incorrect API key"}}"#, "", "the key is not accepted"),
        (402, r#"{"error":{"message":"Insufficient Balance"}}"#, "", "no money left"),
        (403, r#"{"error":{"message":"no access"}}"#, "", "may not use this model"),
        (
            404,
            r#"{"error":{"message":"no model"}}"#,
            models,
            "there is no model `test-model`; there are: test-models, claude, gpt-6",
        ),
        (404, r#"{"error":{"message":"no model"}}"#, "", "are model and base_url right?"),
        (404, "Not Found", r#"{"data":[{"id":"test-model"}]}"#, "does not answer for it at this path"),
        (429, r#"{"error":{"message":"none","code":"insufficient_quota"}}"#, "", "quota is used up"),
        (200, "<html>Welcome</html>", "", "is base_url right?"),
        (500, "oops", "", "gave up after attempt 1: HTTP 500: oops"),
    ] {
        let server = Server::start(move |_, seen| match seen.method.as_str() {
            "GET" if list.is_empty() => Response::new(404, ""),
            "GET" => Response::new(200, list),
            _ => Response::new(status, body),
        });
        let error = chat(&retrying(&server, 0)).probe(&request("x")).unwrap_err();
        assert!(matches!(error, ChatError::Refused { .. }), "{error:?}");
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
}
