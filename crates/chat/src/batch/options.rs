//! How batches are cut and waited for, and how far they are.

use std::time::Duration;

use tunebench_spec::study::Dialect;

/// How batches are cut and waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchOptions {
    /// Requests in one batch, at most.
    pub max_requests: usize,
    /// Bytes of one batch, at most.
    pub max_bytes: u64,
    /// The wait before the first look at a batch; each further wait is half as long again.
    pub first_poll: Duration,
    /// The longest wait between two looks.
    pub longest_poll: Duration,
    /// How much later a list is asked for again that lacks a batch which may have been made.
    pub settle: Duration,
    /// Batches that one request may be in, before it counts as failed.
    pub rounds: u32,
}

impl BatchOptions {
    /// What the provider of a dialect takes: of OpenAI 50,000 requests in 200 MB, of Anthropic 100,000 in 256 MB; of the
    /// latter a quarter, because it is held in memory while it is sent.
    pub fn of(dialect: Dialect) -> Self {
        let (max_requests, max_bytes) = match dialect {
            Dialect::OpenAi => (50_000, 200_000_000),
            Dialect::Anthropic => (100_000, 64_000_000),
        };
        Self {
            max_requests,
            max_bytes,
            first_poll: Duration::from_secs(5),
            longest_poll: Duration::from_secs(60),
            settle: Duration::from_secs(60),
            rounds: 5,
        }
    }
}

/// How far a batch is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchProgress {
    /// The server's name of it.
    pub batch: String,
    /// In the server's words: `validating`, `in_progress`, …
    pub status: String,
    /// Requests that are answered, or failed.
    pub done: u64,
    /// Requests in it.
    pub total: u64,
}
