//! What came in, and what the threads of the connections share.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::response::Response;

/// A request as the server saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    /// Without its query.
    pub path: String,
    /// What stands behind `?`, as it was sent; empty where nothing does.
    pub query: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub authorization: Option<String>,
    /// Null where it is no JSON.
    pub body: Value,
    pub bytes: Vec<u8>,
    /// Since the server's start, when the whole request was there.
    pub at: Duration,
    /// The connection that it came over, from 0.
    pub connection: usize,
}

impl Seen {
    /// Of the first message.
    pub fn prompt(&self) -> &str {
        self.body["messages"][0]["content"].as_str().unwrap()
    }

    /// The first value of a header, whose name is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

type Script = dyn Fn(usize, &Seen) -> Response + Send + Sync;

/// What the threads of the connections share.
pub(crate) struct Shared {
    pub start: Instant,
    pub seen: Mutex<Vec<Seen>>,
    pub script: Box<Script>,
}
