//! Why judging cannot start, or had to stop, or came to too little.

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
    #[error(
        "this run may cost {max_usd} USD ({spent_usd:.4} USD spent): the next request may cost {next_usd:.4} USD; allow \
         more and run again, nothing is paid for twice"
    )]
    MaxCost { max_usd: f64, spent_usd: f64, next_usd: f64 },
    #[error(
        "a budget is set, but what `{model}` costs is not known: give usd_per_million_prompt_tokens and \
         usd_per_million_completion_tokens in [eval.chat]"
    )]
    UnknownPrice { model: String },
    /// The one who looks on asked for the end.
    #[error("stopped; what was judged is kept, run again to go on")]
    Interrupted,
    #[error(
        "{failed} of {total} judgements failed, more than the {:.1} % that [eval.chat] max_failed_share allows; {count} of \
         them: {reason}",
        .allowed * 100.0
    )]
    TooManyFailed {
        failed: usize,
        total: usize,
        allowed: f64,
        /// The commonest reason, and how many have it.
        reason: String,
        count: usize,
    },
}
