//! What is asked: a prompt, and how its answer is made.

use std::sync::Arc;

use crate::constraint::Constraint;
use crate::sample::Sampling;

/// What ends an answer and how its tokens are chosen.
#[derive(Clone, Debug)]
pub struct Settings {
    pub max_new_tokens: usize,
    pub sampling: Sampling,
    /// Any of these ends an answer and is not part of it.
    pub stop_tokens: Vec<u32>,
    /// Asks for the log-probabilities of an answer's tokens, each with so many of the likeliest in its place.
    pub top_logprobs: Option<usize>,
    /// The form that answers must have, if any.
    pub constraint: Option<Arc<dyn Constraint>>,
}

/// One prompt. Its key decides what is drawn for it.
#[derive(Clone, Debug)]
pub struct Prompt {
    pub tokens: Vec<u32>,
    pub key: u64,
    /// The number of the adapter that answers it, where the model has several
    /// ([`tunebench_model::backend::Backend::grouped_generator`]); else 0.
    pub adapter: usize,
}
