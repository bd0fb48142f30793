//! Tokens that are paid for: as a server counts them, and the most that a request can take.

use serde_json::{Map, Value};
use tunebench_spec::ChatRequest;

use crate::models;

/// Taken for the length of a reply where nothing limits it and the model is not known.
const MOST_TOKENS: u64 = 16_384;
/// What servers add to the prompt to explain a format that is asked for.
const FORMAT_TOKENS: u64 = 512;
/// More than any request takes: a server that says so counts something else.
const ABSURD: u64 = 1 << 32;

/// Tokens that are paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Those that were read from or written to a cache included.
    pub prompt: u64,
    /// Reasoning included.
    pub completion: u64,
}

impl Usage {
    /// More than the request can use: every token covers at least a byte, a message adds a few of its own, and a format is
    /// explained to the model. A reply without a limit is as long as the model's can be.
    pub fn ceiling(request: &ChatRequest) -> Self {
        let messages: u64 = request.messages.iter().map(|m| (m.role.len() + m.content.len() + 8) as u64).sum();
        let format = request.response_format.as_ref().map_or(0, |f| f.to_string().len() as u64 + FORMAT_TOKENS);
        let longest = || models::longest_reply(&request.model).unwrap_or(MOST_TOKENS);
        Self { prompt: messages + format, completion: request.max_tokens.map_or_else(longest, u64::from) }
    }

    /// Reads `usage` in OpenAI's or Anthropic's words; none where a count is missing or cannot be one.
    pub(super) fn read(usage: &Map<String, Value>) -> Option<Self> {
        let count = |name: &str| usage.get(name).and_then(count);
        let prompt = match count("prompt_tokens") {
            Some(prompt) => prompt,
            // Anthropic counts apart what went through its cache.
            None => ["cache_creation_input_tokens", "cache_read_input_tokens"]
                .iter()
                .filter_map(|name| count(name))
                .try_fold(count("input_tokens")?, u64::checked_add)?,
        };
        let completion = count("completion_tokens").or_else(|| count("output_tokens"))?;
        // Google and xAI leave reasoning out of the completion, but not out of the total, or of the bill.
        let rest = count("total_tokens").and_then(|total| total.checked_sub(prompt)).unwrap_or(0);
        let usage = Self { prompt, completion: completion.max(rest) };
        (usage.prompt < ABSURD && usage.completion < ABSURD).then_some(usage)
    }
}

/// A count that is written as a whole number, be it `12`, `12.0` or `"12"`.
fn count(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        value => value.as_u64().or_else(|| {
            let number = value.as_f64()?;
            (number.fract() == 0.0 && (0.0..ABSURD as f64).contains(&number)).then_some(number as u64)
        }),
    }
}
