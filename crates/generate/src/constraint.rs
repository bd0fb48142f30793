//! Answers of a given form: which tokens may come next.

use std::fmt;

/// A form that answers must have, such as JSON of some schema.
pub trait Constraint: fmt::Debug + Send + Sync {
    /// Sets the scores of all tokens that may not follow `answer`, the answer's tokens so far, to negative infinity. One of
    /// `stop_tokens` may follow where the answer is complete. Scores are indexed by token, and the others stay as they are.
    fn mask(&self, answer: &[u32], stop_tokens: &[u32], scores: &mut [f32]);
}
