//! What the server does with one request.

use std::time::Duration;

use serde_json::json;

/// An answer, and how it goes wrong.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Before the first byte.
    pub delay: Duration,
    pub framing: Framing,
    /// So many bytes of the body at once, with so long between.
    pub trickle: Option<(usize, Duration)>,
    /// Closes the connection after so many bytes of the body.
    pub cut_after: Option<usize>,
    /// Closes the connection without any answer.
    pub hangs_up: bool,
    /// Closes the connection after the answer, without having said so.
    pub drops: bool,
    /// Packs the body, and says so.
    pub is_gzip: bool,
}

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By its length.
    Length,
    /// By a length that is wrong by so many bytes.
    WrongLength(i64),
    Chunked,
    /// By the end of the connection.
    Close,
}

impl Response {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            delay: Duration::ZERO,
            framing: Framing::Length,
            trickle: None,
            cut_after: None,
            hangs_up: false,
            drops: false,
            is_gzip: false,
        }
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

    /// An error as OpenAI words it.
    pub fn error(status: u16, message: &str, code: &str) -> Self {
        Self::new(status, json!({ "error": { "message": message, "code": code } }).to_string())
    }

    /// With these headers added.
    pub fn with_headers<'a>(mut self, headers: impl IntoIterator<Item = &'a (&'a str, &'a str)>) -> Self {
        self.headers.extend(headers.into_iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self
    }
}
