//! What of a chat request decides how its reply is computed, checked.

use serde_json::Value;
use tunebench_spec::ChatRequest;
use tunebench_spec::random::Stream;

/// Tokens of a reply where nothing limits it, as `crates/chat` reckons with.
const MOST_TOKENS: usize = 16_384;

/// What requests that are computed together have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Manner {
    /// As bits, so that it has an order.
    temperature: u64,
    top_p: u64,
    pub max_new_tokens: usize,
    pub top_logprobs: Option<usize>,
    /// Of the JSON that the reply must be; empty for any text.
    pub schema: String,
}

impl Manner {
    pub(crate) fn temperature(&self) -> f64 {
        f64::from_bits(self.temperature)
    }

    pub(crate) fn top_p(&self) -> f64 {
        f64::from_bits(self.top_p)
    }

    /// # Errors
    /// Names a field that says what no model can do.
    pub(crate) fn of(request: &ChatRequest) -> Result<Self, String> {
        let temperature = within("temperature", request.temperature.unwrap_or(0.0), 0.0, 2.0)?;
        let top_p = within("top_p", request.top_p.unwrap_or(1.0), f64::MIN_POSITIVE, 1.0)?;
        let max_new_tokens = match request.max_tokens {
            Some(0) => return Err("max_tokens is 0; it must be at least 1".to_owned()),
            Some(most) => most as usize,
            None => MOST_TOKENS,
        };
        Ok(Self {
            // Zeros have two forms.
            temperature: (temperature + 0.0).to_bits(),
            top_p: top_p.to_bits(),
            max_new_tokens,
            top_logprobs: request.top_logprobs.map(|top| top as usize),
            schema: String::new(),
        })
    }
}

fn within(name: &str, value: f64, least: f64, most: f64) -> Result<f64, String> {
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    let least = if least == f64::MIN_POSITIVE { "above 0".to_owned() } else { format!("at least {least}") };
    Err(format!("{name} is {value}; it must be {least} and at most {most}"))
}

/// What is drawn for a reply: by the request's seed, and where it has none by its name, so that one that is asked again
/// under another name is drawn anew.
pub(crate) fn key(request: &ChatRequest, name: &str) -> u64 {
    match request.seed {
        Some(seed) => Stream::named(seed, "seed").next_u64(),
        None => Stream::named(0, name).next_u64(),
    }
}

/// The schema that the reply must have.
///
/// # Errors
/// What kind of format is asked for instead.
pub(crate) fn schema(request: &ChatRequest) -> Result<Option<&Value>, ()> {
    let Some(format) = &request.response_format else { return Ok(None) };
    match format.get("type").and_then(Value::as_str) {
        Some("text") => Ok(None),
        Some("json_schema") => format.pointer("/json_schema/schema").map(Some).ok_or(()),
        _ => Err(()),
    }
}
