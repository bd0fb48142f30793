//! A chat server on a local port that answers from a script, or misbehaves by it, and keeps what it was asked. For tests alone.
//!
//! - [`Server`]: HTTP/1.1 over kept-alive connections, a thread each
//! - [`Response`]: what it does with one request, every fault that a network or a server has among it
//! - [`RateLimited`]: limits that are enforced to the letter, over any time that the test tells it
//! - [`BatchProvider`]: a provider of batches, of either dialect, that keeps a ledger of what it bills

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

mod anthropic_batches;
mod batch_provider;
mod batches;
mod connection;
mod openai_batches;
mod rate_limited;
mod response;
mod shared;

use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tunebench_spec::study::ChatSettings;

pub use self::batch_provider::BatchProvider;
pub use self::batches::{BatchScript, Fate, FateOf, Ledger, MadeBatch, Making};
pub use self::rate_limited::{Counting, RateLimited, Spelling, Verdict};
pub use self::response::{Framing, Response};
pub use self::shared::Seen;

use self::shared::Shared;

/// Lives until the test process ends; each test has its own.
pub struct Server {
    pub base_url: String,
    shared: Arc<Shared>,
}

impl Server {
    /// `script` is told how many requests came before this one, whatever their paths.
    pub fn start(script: impl Fn(usize, &Seen) -> Response + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        let shared = Arc::new(Shared { start: Instant::now(), seen: Mutex::new(Vec::new()), script: Box::new(script) });
        let for_threads = shared.clone();
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().flatten().enumerate() {
                let shared = for_threads.clone();
                std::thread::spawn(move || connection::serve(stream, number, &shared));
            }
        });
        Self { base_url, shared }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.shared.seen.lock().unwrap().len()
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
