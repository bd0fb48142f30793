//! How many tokens a request will take, learnt from those before it. Until one came back it is the most that it can take.

use std::sync::{Mutex, PoisonError};

use tunebench_spec::ChatRequest;

use super::pace::Need;
use crate::reply::Usage;

/// Added to the share of tokens in bytes that requests had on the average.
const MARGIN: f64 = 1.1;

#[derive(Default)]
pub(super) struct Estimator(Mutex<Learnt>);

#[derive(Default)]
struct Learnt {
    /// Most tokens that prompts so far can have had, and had.
    ceiling: f64,
    prompt: f64,
    longest_reply: f64,
}

impl Estimator {
    pub(super) fn of(&self, request: &ChatRequest) -> Need {
        let most = Usage::ceiling(request);
        let (prompt, reply) = (most.prompt as f64, most.completion as f64);
        let learnt = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if learnt.ceiling <= 0.0 {
            return Need { input_tokens: prompt, output_tokens: reply };
        }
        let share = (learnt.prompt / learnt.ceiling * MARGIN).min(1.0);
        Need { input_tokens: prompt * share, output_tokens: learnt.longest_reply.min(reply) }
    }

    /// What a request took in truth.
    pub(super) fn learn(&self, request: &ChatRequest, used: Usage) -> Need {
        let need = Need { input_tokens: used.prompt as f64, output_tokens: used.completion as f64 };
        let mut learnt = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        learnt.ceiling += Usage::ceiling(request).prompt as f64;
        learnt.prompt += need.input_tokens;
        learnt.longest_reply = learnt.longest_reply.max(need.output_tokens);
        need
    }
}
