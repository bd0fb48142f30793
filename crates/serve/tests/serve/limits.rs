//! What bounds a server: keys, names, sizes, queues, clients that go away, and its end.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use reqwest::blocking::Response;
use serde_json::{Value, json};
use tunebench_model::backend::FAST;
use tunebench_serve::{Ended, Error, Options, Server};

use crate::support::{Running, ask, babbling, endless, events, options};

/// Answers that go on until nobody listens; the stream has begun.
fn begin(server: &Running, n: usize) -> Response {
    let body =
        json!({ "model": "endless", "prompt": "\n", "n": n, "max_tokens": 200_000, "temperature": 0, "stream": true });
    let mut response = server.post("/v1/completions", &body);
    assert_eq!(response.status(), 200);
    response.read_exact(&mut [0; 6]).unwrap();
    response
}

/// Asks until the server is as it should be; a test that waits in vain is ended by its runner.
fn until(server: &Running, is_so: impl Fn(&Value) -> bool) {
    while !is_so(&server.health()) {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_key_is_asked_for_where_there_is_one() {
    let server = Running::new(vec![babbling()], Options { api_key: Some("sécret".into()), ..options() });
    let ask_with = |header: Option<&str>| {
        let request = server.client.get(format!("{}/v1/models", server.url));
        let request = match header {
            Some(value) => {
                request.header("authorization", reqwest::header::HeaderValue::from_bytes(value.as_bytes()).unwrap())
            }
            None => request,
        };
        request.send().unwrap()
    };
    for header in [None, Some(""), Some("Bearer"), Some("Bearer x"), Some("Basic sécret"), Some("sécret")] {
        let response = ask_with(header);
        assert_eq!(response.status(), 401, "{header:?}");
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        let body: Value = response.json().unwrap();
        assert_eq!(body["error"]["code"], "invalid_api_key");
    }
    assert_eq!(ask_with(Some("Bearer sécret")).status(), 200);
    assert_eq!(ask_with(Some("bearer sécret")).status(), 200);
    assert_eq!(server.health()["status"], "ok", "health asks for none");
    let empty = Options { api_key: Some(" ".into()), ..options() };
    assert!(matches!(Server::bind(empty), Err(Error::EmptyKey)));
}

#[test]
fn names_of_other_machines_are_not_answered_to() {
    let server = Running::babbling();
    let ask_as =
        |host: &str| server.client.get(format!("{}/v1/models", server.url)).header("host", host).send().unwrap();
    assert_eq!(ask_as("evil.example").status(), 403);
    assert_eq!(ask_as("localhost:8000").status(), 200);
}

#[test]
fn servers_that_cannot_begin_say_why() {
    let first = Server::bind(options()).unwrap();
    let taken = Server::bind(Options { port: first.address().port(), ..options() });
    assert!(matches!(taken, Err(Error::Listen { .. })));
    assert!(matches!(
        Server::bind(Options { host: "no.such.host.invalid".into(), ..options() }),
        Err(Error::Address { .. })
    ));
    assert!(matches!(Server::bind(options()).unwrap().load(vec![], FAST), Err(Error::NoModel)));
    let twice = Server::bind(options()).unwrap().load(vec![babbling(), babbling()], FAST);
    assert!(matches!(twice, Err(Error::SameId(id)) if id == "babbling"));
    let mut large = babbling();
    (large.shape.num_hidden_layers, large.shape.hidden_size) = (100_000, 1 << 20);
    let Err(Error::Memory { what, .. }) = Server::bind(options()).unwrap().load(vec![endless(), large], FAST) else {
        panic!("there is not so much memory");
    };
    assert_eq!(what, "`endless`, `babbling`");
}

#[test]
fn bodies_are_bounded() {
    let server = Running::babbling();
    let send = |request: reqwest::blocking::RequestBuilder| {
        request.header("content-type", "application/json").send().map(|response| response.status().as_u16())
    };
    let post = || server.client.post(format!("{}/v1/completions", server.url));
    // A client that still sends when it is answered may see the connection close instead.
    let large = vec![b' '; 5 << 20];
    assert!(matches!(send(post().body(large.clone())), Ok(413) | Err(_)));
    assert!(matches!(send(post().body(reqwest::blocking::Body::new(std::io::Cursor::new(large)))), Ok(413) | Err(_)));
    // Told beforehand, without its body.
    let mut stream = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let head = "POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 99999999\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    let mut stream = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).unwrap();
    let _ = stream.write_all(format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(200_000)).as_bytes());
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert_eq!(server.health()["status"], "ok");
}

#[test]
fn more_than_may_wait_are_turned_away_and_whoever_goes_frees_the_place() {
    let server = Running::new(vec![endless()], Options { max_queue: 32, ..options() });
    let first = begin(&server, 32);
    until(&server, |health| health["running"] == 32);
    let body = json!({ "model": "endless", "prompt": "\n", "n": 32, "max_tokens": 3, "temperature": 0 });
    let body = &body;
    std::thread::scope(|scope| {
        let second = scope.spawn(|| server.post("/v1/completions", body));
        until(&server, |health| health["waiting"] == 32);
        let third = server.post("/v1/completions", body);
        assert_eq!(third.status(), 429);
        assert!(third.headers().contains_key("retry-after"));
        let third: Value = third.json().unwrap();
        assert_eq!(third["error"]["code"], "rate_limit_exceeded");
        // The first would answer for hours.
        drop(first);
        assert_eq!(second.join().unwrap().status(), 200);
    });
    until(&server, |health| health["running"] == 0 && health["waiting"] == 0);
}

#[test]
fn a_client_that_does_not_wait_for_its_answer_frees_its_place() {
    let server = Running::new(vec![endless()], options());
    let body = json!({ "model": "endless", "prompt": "\n", "max_tokens": 200_000, "temperature": 0 }).to_string();
    let mut stream = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).unwrap();
    let head = format!(
        "POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).unwrap();
    until(&server, |health| health["running"] == 1);
    drop(stream);
    until(&server, |health| health["running"] == 0);
}

#[test]
fn what_is_under_way_is_answered_before_the_end() {
    let server = Running::new(vec![babbling(), endless()], options());
    let body = json!({ "model": "endless", "prompt": "\n", "max_tokens": 3000, "temperature": 0, "stream": true });
    let mut response = server.post("/v1/completions", &body);
    response.read_exact(&mut [0; 6]).unwrap();
    server.tell_to_stop();
    let (chunks, is_done) = events(response);
    assert!(is_done && chunks.len() > 2);
    let url = server.url.clone();
    assert_eq!(server.end(), Ended { broken_off: 0 });
    assert!(TcpStream::connect(url.strip_prefix("http://").unwrap()).is_err(), "nobody is there any more");
}

#[test]
fn what_takes_too_long_is_broken_off_at_the_end() {
    let server = Running::new(vec![endless()], Options { end_within: Duration::ZERO, ..options() });
    let response = begin(&server, 3);
    assert_eq!(server.end(), Ended { broken_off: 1 });
    assert!(!events(response).1);
}

#[test]
fn many_clients_share_the_rows() {
    let server = Running::babbling();
    let ask_one = |i: usize| server.chat(&ask(&format!("{i}")))["usage"]["completion_tokens"].as_u64().unwrap();
    let ask_one = &ask_one;
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..60).map(|i| scope.spawn(move || ask_one(i))).collect();
        assert!(running.into_iter().all(|thread| thread.join().unwrap() <= 24));
    });
}
