//! A chat server on a local port that answers from a script and counts what it was asked. For tests alone.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tunebench_spec::study::ChatSettings;

/// What the server does with one request.
#[derive(Clone)]
pub struct Response {
    pub status: u16,
    pub headers: &'static [(&'static str, &'static str)],
    pub body: String,
    /// Before the first byte.
    pub delay: Duration,
}

impl Response {
    pub fn new(status: u16, body: impl Into<String>) -> Self {
        Self { status, headers: &[], body: body.into(), delay: Duration::ZERO }
    }

    /// A completion with 100 prompt and 10 completion tokens.
    pub fn reply(content: &str) -> Self {
        let body = json!({
            "model": "test-model-0301",
            "choices": [{ "message": { "role": "assistant", "content": content }, "finish_reason": "stop" }],
            "usage": { "prompt_tokens": 100, "completion_tokens": 10 },
        });
        Self::new(200, body.to_string())
    }

    pub fn with_headers(self, headers: &'static [(&'static str, &'static str)]) -> Self {
        Self { headers, ..self }
    }
}

/// A request as the server saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub path: String,
    pub authorization: Option<String>,
    pub body: Value,
}

impl Seen {
    pub fn prompt(&self) -> &str {
        self.body["messages"][0]["content"].as_str().unwrap()
    }
}

type Script = dyn Fn(usize, &Seen) -> Response + Send + Sync;

/// Lives until the test process ends; each test has its own.
pub struct Server {
    pub base_url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    /// `script` is told how many requests came before this one.
    pub fn start(script: impl Fn(usize, &Seen) -> Response + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, script): (_, Arc<Script>) = (seen.clone(), Arc::new(script));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, script) = (log.clone(), script.clone());
                std::thread::spawn(move || serve(stream, &log, &*script));
            }
        });
        Self { base_url, seen }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// Fast, keyless, one request at a time.
    pub fn settings(&self) -> ChatSettings {
        ChatSettings {
            base_url: self.base_url.clone(),
            key_variable: Some("TUNEBENCH_TEST_VARIABLE_NOBODY_SETS".into()),
            requests_per_minute: Some(600_000),
            concurrency: 1,
            timeout_seconds: 20,
            ..ChatSettings::default()
        }
    }
}

/// One connection, one request, closed.
fn serve(stream: TcpStream, log: &Mutex<Vec<Seen>>, script: &Script) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let (mut length, mut authorization) = (0, None);
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "authorization" => authorization = Some(value.to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let seen = Seen { path, authorization, body: serde_json::from_slice(&body).ok()? };
    let before = {
        let mut log = log.lock().unwrap();
        log.push(seen.clone());
        log.len() - 1
    };
    let response = script(before, &seen);
    std::thread::sleep(response.delay);
    let headers: String = response.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!(
        "HTTP/1.1 {} Scripted\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n",
        response.status,
        response.body.len()
    );
    let mut stream = stream;
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(response.body.as_bytes()).ok()
}
