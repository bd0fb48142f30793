//! What a server or its model refuses by name, and how a request does without it.

use std::collections::BTreeSet;

use serde_json::Value;
use tunebench_spec::ChatRequest;
use tunebench_spec::study::Dialect;

use crate::models;
use crate::reply::ErrorBody;

/// Most tokens of a reply where a request states none and the dialect demands it.
pub(super) const DEFAULT_MAX_TOKENS: u32 = 4096;

/// What a request may do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Field {
    Temperature,
    TopP,
    Seed,
    MaxTokens,
    ReasoningEffort,
    ResponseFormat,
    Logprobs,
}

/// A field, its name in a [`ChatRequest`], and what servers call it.
const FIELDS: [(Field, &str, &[&str]); 7] = [
    (Field::Temperature, "temperature", &["temperature"]),
    (Field::TopP, "top_p", &["top_p", "topP"]),
    (Field::Seed, "seed", &["seed"]),
    (Field::MaxTokens, "max_tokens", &["max_tokens", "max_completion_tokens"]),
    (Field::ReasoningEffort, "reasoning_effort", &["reasoning_effort", "effort"]),
    (Field::ResponseFormat, "response_format", &["response_format", "output_config", "output_format", "json_schema"]),
    (Field::Logprobs, "top_logprobs", &["logprobs", "top_logprobs"]),
];

/// What is left out or renamed, for one server and model.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Adaptations {
    dialect: Dialect,
    left_out: BTreeSet<Field>,
    limit_name: &'static str,
    /// What the limit must not be called.
    refused_limits: BTreeSet<&'static str>,
}

impl Adaptations {
    /// What is known of the model before it is asked.
    pub(crate) fn new(dialect: Dialect, model: &str, base_url: &str) -> Self {
        let known = models::find(model, base_url);
        let refuses = |name: &str| known.is_some_and(|model| model.refuses.iter().any(|field| field == name));
        let left_out = FIELDS.iter().filter(|(field, name, _)| *field != Field::MaxTokens && refuses(name));
        let limit_name = match refuses("max_tokens") {
            true => "max_completion_tokens",
            false => "max_tokens",
        };
        Self { dialect, left_out: left_out.map(|row| row.0).collect(), limit_name, refused_limits: BTreeSet::new() }
    }

    /// Learns from the refusal of a request. True where it named something that was sent, and would not be sent again: then
    /// the request is worth another attempt, with [`super::body`] made anew.
    pub(crate) fn learn(&mut self, error: &ErrorBody, sent: &Value) -> bool {
        let named: Vec<Field> = FIELDS
            .iter()
            .filter(|(_, _, names)| names.iter().any(|name| error.params.iter().any(|p| p == name)))
            .map(|row| row.0)
            .collect();
        let mut helps = false;
        for field in named {
            if field == Field::MaxTokens {
                let name = if sent.get("max_tokens").is_some() { "max_tokens" } else { "max_completion_tokens" };
                let other = if name == "max_tokens" { "max_completion_tokens" } else { "max_tokens" };
                self.refused_limits.insert(name);
                if sent.get(name).is_some() && !self.refused_limits.contains(other) {
                    self.limit_name = other;
                    helps = true;
                }
                continue;
            }
            let names = FIELDS.iter().find(|row| row.0 == field).map(|row| row.2).unwrap_or_default();
            if names.iter().any(|name| sent.get(name).is_some()) {
                self.left_out.insert(field);
                helps = true;
            }
        }
        helps
    }

    /// What a request does without, to be kept with its reply; empty where nothing.
    pub(crate) fn words(&self, request: &ChatRequest) -> String {
        let has = |field| match field {
            Field::Temperature => request.temperature.is_some(),
            Field::TopP => request.top_p.is_some(),
            Field::Seed => request.seed.is_some(),
            Field::MaxTokens => request.max_tokens.is_some(),
            Field::ReasoningEffort => request.reasoning_effort.is_some(),
            Field::ResponseFormat => request.response_format.is_some(),
            Field::Logprobs => request.top_logprobs.is_some(),
        };
        let mut words: Vec<String> = FIELDS
            .iter()
            .filter(|(field, ..)| has(*field) && !self.sends(*field))
            .map(|(_, name, _)| format!("{name} left out"))
            .collect();
        if has(Field::MaxTokens) && self.limit_name != "max_tokens" && self.dialect == Dialect::OpenAi {
            words.push(format!("max_tokens sent as {}", self.limit_name));
        }
        if self.dialect == Dialect::Anthropic && !has(Field::MaxTokens) {
            words.push(format!("max_tokens set to {DEFAULT_MAX_TOKENS}"));
        }
        words.join("; ")
    }

    pub(super) fn sends(&self, field: Field) -> bool {
        let unknown = self.dialect == Dialect::Anthropic && matches!(field, Field::Seed | Field::Logprobs);
        !unknown && !self.left_out.contains(&field)
    }

    /// What the limit of a reply's tokens is called.
    pub(super) fn limit_name(&self) -> &'static str {
        self.limit_name
    }
}
