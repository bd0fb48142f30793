//! Why judging cannot start, or had to stop.

/// What went wrong, where, and what to do. What fails a single answer is no error: it is its judgement's `reason`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum JudgeError {
    #[error("[eval.chat] {field}: {reason}")]
    Settings { field: &'static str, reason: String },
    #[error("arm `{arm}` answered item `{item}`, which the evaluation set does not hold; answer the set again")]
    UnknownItem { arm: String, item: String },
    #[error(
        "no key for {url}: set the environment variable {variable}, or name another one in [eval.chat] key_variable"
    )]
    MissingKey { url: String, variable: String },
    #[error("the key in {variable} holds a character that an HTTP header cannot carry; set it again")]
    UnusableKey { variable: String },
    #[error("the HTTP client cannot start: {reason}")]
    Client { reason: String },
    #[error("{path}: {reason}")]
    Store { path: String, reason: String },
    #[error("{url} takes no more requests: {reason}")]
    Refused { url: String, reason: String },
    #[error(
        "the budget of {budget_usd} USD is used up ({spent_usd:.4} USD spent): the next request may cost {next_usd:.4} \
         USD; raise [eval.chat] budget_usd and run again, nothing is paid for twice"
    )]
    Budget { budget_usd: f64, spent_usd: f64, next_usd: f64 },
    #[error("{url} failed {failures} requests in a row; run again when it works. Last: {reason}")]
    Unreachable { url: String, failures: u32, reason: String },
}
