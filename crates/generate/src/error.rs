//! Why there is no answer.

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Model(#[from] tunebench_model::Error),
    #[error("the model's scores are not numbers; its weights are damaged or its training diverged")]
    NotANumber,
    #[error("the answer's form allows none of the model's tokens after {tokens} of them; ask without that form")]
    NoToken { tokens: usize },
}
