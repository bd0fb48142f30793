//! The table of models: what a row says, and how the file is read.

use std::sync::LazyLock;

use serde::Deserialize;

use super::date::Date;

/// Days before a model goes in which it is spoken of.
const NOTICE_DAYS: i64 = 90;

/// A model, as its provider describes it. What was not found is none.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub id: String,
    #[serde(default)]
    pub aliases: Vec<String>,
    pub provider: String,
    /// Tokens of prompt and reply together.
    pub context_tokens: Option<u64>,
    pub max_output_tokens: Option<u64>,
    /// US dollars, as all prices here; of providers whose prices change by the hour the dearest.
    pub usd_per_million_prompt_tokens: Option<f64>,
    pub usd_per_million_completion_tokens: Option<f64>,
    /// Of the part of a prompt that the provider read before.
    pub usd_per_million_cached_prompt_tokens: Option<f64>,
    /// Dearer prices of long prompts.
    pub long_prompts: Option<LongPrompts>,
    /// The part of each price that a batch saves, 0..1; none where there are no batches.
    pub batch_discount: Option<f64>,
    /// The first day on which it answers no more.
    pub retires: Option<Date>,
    /// What its provider says to take in its place.
    pub replacement: Option<String>,
    /// Fields of a [`tunebench_spec::ChatRequest`] that it answers with an error.
    #[serde(default)]
    pub refuses: Vec<String>,
    /// Those that it answers with an error unless `reasoning_effort` is `none`.
    #[serde(default)]
    pub refuses_while_reasoning: Vec<String>,
    /// Whether its replies keep to a JSON schema.
    pub structured_output: Option<bool>,
    /// Whether it gives the log-probabilities of its tokens.
    pub logprobs: Option<bool>,
    /// Where this was read.
    pub source: String,
}

/// What a request costs whose prompt is longer than this: all its tokens, not those above alone.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LongPrompts {
    pub above_tokens: u64,
    /// Of the price of prompts.
    pub prompt_factor: f64,
    /// Of the price of completions.
    pub completion_factor: f64,
}

impl Model {
    /// US dollars for one request; none where a price is not known, or a batch has none.
    pub fn cost_usd(&self, prompt_tokens: u64, completion_tokens: u64, batch: bool) -> Option<f64> {
        let share = if batch { 1.0 - self.batch_discount? } else { 1.0 };
        let (prompt_factor, completion_factor) = match self.long_prompts {
            Some(long) if prompt_tokens > long.above_tokens => (long.prompt_factor, long.completion_factor),
            _ => (1.0, 1.0),
        };
        let prompt = prompt_tokens as f64 * self.usd_per_million_prompt_tokens? * prompt_factor;
        let completion = completion_tokens as f64 * self.usd_per_million_completion_tokens? * completion_factor;
        Some((prompt + completion) * share / 1e6)
    }

    /// One sentence when it is retired, or will be within 90 days.
    pub fn remark(&self, today: Date) -> Option<String> {
        let retires = self.retires?;
        let (id, provider) = (&self.id, &self.provider);
        let mut remark = match retires.days_after(today) {
            ..=0 => format!("{provider} retired {id} on {retires}: it answers no more"),
            1 => format!("{provider} retires {id} on {retires}, in 1 day"),
            days @ 2..=NOTICE_DAYS => format!("{provider} retires {id} on {retires}, in {days} days"),
            _ => return None,
        };
        if let Some(replacement) = &self.replacement {
            remark.push_str(&format!("; its replacement is {replacement}"));
        }
        Some(remark)
    }
}

/// Who makes models and answers for them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Provider {
    pub name: String,
    /// What stands before its models' names where others hand them on at its price.
    pub prefix: Option<String>,
    pub hosts: Vec<String>,
}

/// Who hands on the models of others at their prices.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reseller {
    pub hosts: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    pub as_of: Option<Date>,
    pub provider: Vec<Provider>,
    pub reseller: Vec<Reseller>,
    pub model: Vec<Model>,
}

/// The file is part of the program and read by its tests, so that it is never empty here.
pub(super) static TABLE: LazyLock<Table> = LazyLock::new(|| parse(include_str!("models.toml")).unwrap_or_default());

fn parse(text: &str) -> Result<Table, toml::de::Error> {
    toml::from_str(text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const FIELDS: [&str; 7] =
        ["temperature", "top_p", "seed", "max_tokens", "reasoning_effort", "response_format", "top_logprobs"];

    #[test]
    fn every_row_makes_sense() {
        let table = parse(include_str!("models.toml")).unwrap();
        assert!(table.as_of.is_some() && table.model.len() > 20);
        let mut names = BTreeSet::new();
        for model in &table.model {
            let id = &model.id;
            assert!(table.provider.iter().any(|p| p.name == model.provider), "{id}: {}", model.provider);
            for name in std::iter::once(id).chain(&model.aliases) {
                assert!(names.insert(name.clone()), "{name} is there twice");
            }
            let prices = [
                model.usd_per_million_prompt_tokens,
                model.usd_per_million_completion_tokens,
                model.usd_per_million_cached_prompt_tokens,
            ];
            assert!(prices.iter().flatten().all(|usd| (0.001..1000.0).contains(usd)), "{id}: {prices:?}");
            assert_eq!(prices[0].is_some(), prices[1].is_some(), "{id}: one price without the other");
            if let [Some(prompt), Some(completion), cached] = prices {
                assert!(prompt <= completion && cached.is_none_or(|cached| cached <= prompt), "{id}: {prices:?}");
            }
            assert!(model.batch_discount.is_none_or(|discount| (0.0..1.0).contains(&discount)), "{id}");
            assert!(
                model
                    .long_prompts
                    .is_none_or(|l| l.above_tokens > 10_000 && l.prompt_factor >= 1.0 && l.completion_factor >= 1.0),
                "{id}"
            );
            if let (Some(context), Some(output)) = (model.context_tokens, model.max_output_tokens) {
                assert!((1024..100_000_000).contains(&context) && (1024..=context).contains(&output), "{id}");
            }
            let refused = model.refuses.iter().chain(&model.refuses_while_reasoning);
            assert!(refused.clone().all(|field| FIELDS.contains(&field.as_str())), "{id}: {refused:?}");
            if model.logprobs == Some(true) {
                assert!(!model.refuses.iter().any(|field| field == "top_logprobs"), "{id}");
            }
            assert!(model.replacement.is_none() || model.retires.is_some(), "{id}: a replacement of what stays");
            if let Some(replacement) = &model.replacement {
                let replacement = table.model.iter().find(|other| other.id == *replacement);
                let replacement = replacement.unwrap_or_else(|| panic!("{id}: its replacement is not in the table"));
                assert!(replacement.retires.is_none() || replacement.retires > model.retires, "{id}");
            }
            assert!(!model.source.trim().is_empty(), "{id}");
        }
    }

    #[test]
    fn a_file_that_is_wrong_is_refused() {
        let row = "id = \"m\"\nprovider = \"P\"\nsource = \"s\"\n";
        let file = |rest: &str| format!("provider = []\nreseller = []\n[[model]]\n{row}{rest}");
        assert!(parse(&file("")).is_ok());
        for wrong in
            ["retires = \"2026-02-30\"", "retires = \"soon\"", "prise = 1.0", "context_tokens = -1", "id = \"n\""]
        {
            assert!(parse(&file(wrong)).is_err(), "{wrong}");
        }
    }
}
