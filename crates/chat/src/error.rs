//! Why nobody can be asked, or nobody is asked any more.

/// What went wrong, where, and what to do. What fails a single request is no error: it is its [`crate::Failure`].
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ChatError {
    #[error("[eval.chat] {field}: {reason}")]
    Settings { field: &'static str, reason: String },
    #[error(
        "no key for {url}: set the environment variable {variable}, or name another one in [eval.chat] key_variable"
    )]
    MissingKey { url: String, variable: String },
    #[error("the key in the environment variable {variable} {reason}; set it again")]
    UnusableKey { variable: String, reason: String },
    #[error("the HTTP client cannot start: {reason}")]
    Client { reason: String },
    #[error("{url} takes no more requests: {reason}")]
    Refused { url: String, reason: String },
    #[error("{url} failed {failures} requests in a row; run again when it works. Last: {reason}")]
    Unreachable { url: String, failures: u32, reason: String },
    #[error("the journal of batches: {0}")]
    Journal(String),
    /// Said by whoever asks, so that nothing more is sent.
    #[error("{0}")]
    Ended(String),
}
