//! Why judging cannot start, or had to stop.

use tunebench_chat::ChatError;

/// What went wrong, where, and what to do. What fails a single answer is no error: it is its judgement's `reason`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum JudgeError {
    #[error(transparent)]
    Chat(#[from] ChatError),
    #[error("arm `{arm}` answered item `{item}`, which the evaluation set does not hold; answer the set again")]
    UnknownItem { arm: String, item: String },
    #[error("{path}: {reason}")]
    Store { path: String, reason: String },
    #[error(
        "the budget of {budget_usd} USD is used up ({spent_usd:.4} USD spent): the next request may cost {next_usd:.4} \
         USD; raise [eval.chat] budget_usd and run again, nothing is paid for twice"
    )]
    Budget { budget_usd: f64, spent_usd: f64, next_usd: f64 },
}
