//! What a server or its model refuses by name, and how a request does without it.

use std::collections::BTreeSet;

use serde_json::Value;
use tunebench_spec::ChatRequest;
use tunebench_spec::study::Dialect;

use super::field::{FIELDS, Field};
use super::{anthropic_gaps, host, refusal};
use crate::models;
use crate::reply::ErrorBody;

/// The limit of a reply's tokens, under its older and its newer name.
const LIMITS: [&str; 2] = ["max_tokens", "max_completion_tokens"];

/// What is left out or renamed, for one server and model.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Adaptations {
    dialect: Dialect,
    refused: BTreeSet<Field>,
    /// Refused unless a request wants no reasoning.
    refused_while_reasoning: BTreeSet<Field>,
    /// What the limit is called where nothing is known against it.
    usual_limit: &'static str,
    refused_limits: BTreeSet<&'static str>,
}

impl Adaptations {
    /// What is known of the model before it is asked.
    pub(crate) fn new(dialect: Dialect, model: &str, base_url: &str) -> Self {
        let known = models::find(model, base_url);
        let named = |names: &[String]| {
            let is_named = |name: &str| names.iter().any(|other| other == name);
            FIELDS.iter().filter(|row| is_named(row.name)).map(|row| row.field).collect::<BTreeSet<_>>()
        };
        let mut refused = known.map_or_else(BTreeSet::new, |model| named(&model.refuses));
        let refused_limits =
            if refused.remove(&Field::MaxTokens) { BTreeSet::from([LIMITS[0]]) } else { BTreeSet::new() };
        Self {
            dialect,
            refused,
            refused_while_reasoning: known.map_or_else(BTreeSet::new, |model| named(&model.refuses_while_reasoning)),
            // OpenAI's newer models know the newer name alone; others may overlook it, and then there is no limit.
            usual_limit: if host::is_openai(base_url) { LIMITS[1] } else { LIMITS[0] },
            refused_limits,
        }
    }

    /// Learns from the refusal of a request (status 400 or 422). True where it names something that was sent, and would not be
    /// sent again: then the request is worth another attempt, with [`super::body`] made anew. No request is refused for the same
    /// twice, so a loop of attempts ends.
    pub(crate) fn learn(&mut self, error: &ErrorBody, sent: &Value) -> bool {
        let mut helps = false;
        for field in refusal::fields(error, sent) {
            if field != Field::MaxTokens {
                self.refused.insert(field);
                helps = true;
            } else if self.dialect == Dialect::OpenAi {
                // It is never left out: a reply without a limit may cost anything.
                self.refused_limits.extend(LIMITS.iter().filter(|name| sent.get(name).is_some()));
                helps |= !self.refused_limits.contains(self.limit_name());
            }
        }
        helps
    }

    /// What a request does without, to be kept with its reply; empty where nothing.
    pub(crate) fn words(&self, request: &ChatRequest) -> String {
        let mut words = Vec::new();
        for row in FIELDS.iter().filter(|row| row.field.is_in(request)) {
            match row.field {
                Field::SystemRole if !self.sends(row.field, request) => {
                    words.push("system messages put before the user's".to_owned());
                }
                Field::MaxTokens if self.dialect == Dialect::OpenAi && self.limit_name() != self.usual_limit => {
                    words.push(format!("{} sent as {}", row.name, self.limit_name()));
                }
                field if !self.sends(field, request) => words.push(format!("{} left out", row.name)),
                _ => {}
            }
        }
        if self.dialect == Dialect::Anthropic {
            words.extend(anthropic_gaps::words(request, self.sends(Field::ReasoningEffort, request)));
        }
        words.join("; ")
    }

    /// Whether a field that the request has is sent.
    pub(super) fn sends(&self, field: Field, request: &ChatRequest) -> bool {
        let reasons =
            request.reasoning_effort.as_deref() != Some("none") || self.refused.contains(&Field::ReasoningEffort);
        let is_refused = self.refused.contains(&field) || (reasons && self.refused_while_reasoning.contains(&field));
        !is_refused && (self.dialect == Dialect::OpenAi || anthropic_gaps::has(field, request))
    }

    /// What the limit of a reply's tokens is called.
    pub(super) fn limit_name(&self) -> &'static str {
        let is_free = |name: &&&str| !self.refused_limits.contains(**name);
        [self.usual_limit].iter().chain(&LIMITS).find(is_free).unwrap_or(&self.usual_limit)
    }
}
