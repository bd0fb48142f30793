//! Calls beside chat, as batches need them: forms, lines, and what is repeated.

use tempfile::TempDir;
use tunebench_chat::{Body, CallError, Connection, Method, Upload};
use tunebench_scripted_server::{Framing, Response, Server};
use tunebench_spec::study::ChatSettings;

use super::retrying;

fn connection(server: &Server, retries: u32) -> Connection {
    let settings = ChatSettings { key_variable: Some("CARGO_PKG_NAME".into()), ..retrying(server, retries) };
    Connection::new(&settings).unwrap()
}

#[test]
fn a_file_is_sent_as_a_form() {
    let server = Server::start(|_, _| Response::new(200, r#"{"id":"file-1"}"#));
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("requests.jsonl");
    let content = "{\"a\": 1}\n".repeat(10_000);
    std::fs::write(&path, &content).unwrap();
    let upload =
        Upload { fields: &[("purpose", "batch")], name: "file", path: &path, content_type: "application/jsonl" };
    let response = connection(&server, 0).call(Method::Post, "files", Body::Form(&upload)).unwrap();
    assert_eq!((response.status, response.text.as_str()), (200, r#"{"id":"file-1"}"#));
    let seen = &server.seen()[0];
    let boundary = seen.header("content-type").unwrap().strip_prefix("multipart/form-data; boundary=").unwrap();
    let body = String::from_utf8(seen.bytes.clone()).unwrap();
    let parts: Vec<&str> = body.split(&format!("--{boundary}")).collect();
    assert_eq!((seen.path.as_str(), parts.len(), parts[3]), ("/v1/files", 4, "--\r\n"));
    assert!(parts[1].ends_with("name=\"purpose\"\r\n\r\nbatch\r\n"), "{}", parts[1]);
    assert!(parts[2].contains("name=\"file\"; filename=") && parts[2].ends_with(&format!("\r\n\r\n{content}\r\n")));
    let missing = Upload { path: &folder.path().join("none"), ..upload };
    let error = connection(&server, 0).call(Method::Post, "files", Body::Form(&missing)).unwrap_err();
    assert!(matches!(error, CallError::NotSent(reason) if reason.contains("none")));
}

#[test]
fn lines_come_one_by_one_without_secrets() {
    let key = env!("CARGO_PKG_NAME");
    let lines = format!("\u{feff}{{\"n\":1}}\r\n{{\"key\":\"{key}\"}}\n\n{}", "x".repeat(100_000));
    for response in [
        Response::new(200, lines.clone()),
        Response {
            framing: Framing::Chunked,
            trickle: Some((9999, std::time::Duration::ZERO)),
            ..Response::new(200, lines.clone())
        },
        Response { is_gzip: true, ..Response::new(200, lines.clone()) },
    ] {
        let server = Server::start(move |_, _| response.clone());
        let mut told = Vec::new();
        let response = connection(&server, 0).lines("files/file-1/content", &mut |line| {
            told.push(line.to_owned());
            true
        });
        assert_eq!(response.unwrap().status, 200);
        assert_eq!(told[..3], ["{\"n\":1}", "{\"key\":\"[key]\"}", ""]);
        assert_eq!((told.len(), told[3].len()), (4, 100_000));
        let mut few = 0;
        connection(&server, 0)
            .lines("files/file-1/content", &mut |_| {
                few += 1;
                few < 2
            })
            .unwrap();
        assert_eq!(few, 2, "it ends when it is told to");
    }
}

#[test]
fn lines_that_break_off_are_told_and_the_break_is_an_error() {
    let server = Server::start(|_, _| Response { cut_after: Some(6), ..Response::new(200, "1\n2\n3333\n4\n") });
    let mut told = Vec::new();
    let error = connection(&server, 0)
        .lines("x", &mut |line| {
            told.push(line.to_owned());
            true
        })
        .unwrap_err();
    assert!(matches!(error, CallError::Lost(_)), "{error:?}");
    assert_eq!(told, ["1", "2"], "half a line is none");
    let server = Server::start(|_, _| Response::error(404, "no such file", "x"));
    let response = connection(&server, 0).lines("x", &mut |_| panic!("an error has no lines")).unwrap();
    assert!(response.status == 404 && response.text.contains("no such file"));
}

#[test]
fn a_path_never_leads_elsewhere() {
    let server = Server::start(|_, _| Response::new(200, ""));
    for path in [
        "",
        "../admin",
        "files/..",
        "/etc",
        "a//b",
        "files/x?y",
        "files/x?",
        "files/x?a=b&c",
        "files/x?a=b c",
        "http://elsewhere/",
        "a b",
        "x#y",
        "files/%2e%2e",
    ] {
        let error = connection(&server, 0).call(Method::Get, path, Body::Nothing).unwrap_err();
        assert!(matches!(error, CallError::Unusable(_)), "{path}: {error:?}");
    }
    connection(&server, 0).call(Method::Delete, "files/file-1_a.b", Body::Nothing).unwrap();
    let seen = server.seen();
    connection(&server, 0).call(Method::Get, "files?limit=5&after=file-1", Body::Nothing).unwrap();
    assert_eq!(server.seen()[1].query, "limit=5&after=file-1");
    assert_eq!((seen.len(), seen[0].method.as_str(), seen[0].path.as_str()), (1, "DELETE", "/v1/files/file-1_a.b"));
}

#[test]
fn calls_are_repeated_only_where_that_does_no_harm() {
    let soon: &[(&str, &str)] = &[("retry-after-ms", "1")];
    let lost = || Response { hangs_up: true, ..Response::new(200, "") };
    let cases: Vec<(&str, Method, Response, usize, Option<u16>)> = vec![
        ("a read that is lost", Method::Get, lost(), 2, Some(200)),
        ("a write that is lost", Method::Post, lost(), 1, None),
        ("a write that came too early", Method::Post, Response::new(429, "").with_headers(soon), 2, Some(200)),
        ("a server with too much to do", Method::Post, Response::new(503, "").with_headers(soon), 2, Some(200)),
        ("a refusal", Method::Post, Response::new(400, ""), 1, Some(400)),
        ("an empty account", Method::Get, Response::error(429, "none", "insufficient_quota"), 1, Some(429)),
        ("a long wait", Method::Get, Response::new(429, "").with_headers(&[("retry-after", "900")]), 1, Some(429)),
    ];
    for (name, method, response, requests, status) in cases {
        let server =
            Server::start(move |before, _| if before == 0 { response.clone() } else { Response::new(200, "ok") });
        let connection = connection(&server, 2);
        let result = connection.call_patiently(method, "batches", Body::Nothing);
        assert_eq!(result.as_ref().ok().map(|response| response.status), status, "{name}: {result:?}");
        assert_eq!(server.count(), requests, "{name}");
        if let Some(429) = status {
            assert!(connection.refusal(&result.unwrap()).to_string().contains("HTTP 429"));
        }
    }
}
