//! What tokens cost.

use tunebench_chat::{ChatError, Usage, models, server_name};
use tunebench_spec::study::ChatSettings;

use crate::error::JudgeError;

/// What a batch saves, where the table of models does not say: OpenAI and Anthropic both take half.
const BATCH_DISCOUNT: f64 = 0.5;

/// What the address of a model begins with that our own engine runs, and that costs nothing.
const OWN_ENGINE: &str = "local:";

/// US dollars per token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Price {
    pub prompt: f64,
    pub completion: f64,
}

impl Price {
    /// Of US dollars per million tokens.
    pub fn per_million(prompt: f64, completion: f64) -> Self {
        Self { prompt: prompt / 1e6, completion: completion / 1e6 }
    }

    /// US dollars for this usage.
    pub fn cost(self, usage: Usage) -> f64 {
        usage.prompt as f64 * self.prompt + usage.completion as f64 * self.completion
    }
}

/// What a server's models cost: what the study states or, where it states nothing, what is known of them. A model that our own
/// engine runs costs nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prices {
    url: String,
    stated: Option<Price>,
}

impl Prices {
    /// Of the server that the settings name: both prices, or none for those that are known.
    ///
    /// # Errors
    /// When only one is given, or one is no price.
    pub fn of(settings: &ChatSettings) -> Result<Self, JudgeError> {
        let names = ["usd_per_million_prompt_tokens", "usd_per_million_completion_tokens"];
        let amounts = [settings.usd_per_million_prompt_tokens, settings.usd_per_million_completion_tokens];
        for (field, amount) in names.into_iter().zip(amounts) {
            check_amount(field, amount)?;
        }
        let url = server_name(&settings.base_url);
        match amounts {
            [Some(prompt), Some(completion)] => Ok(Self { url, stated: Some(Price::per_million(prompt, completion)) }),
            [None, None] if url.starts_with(OWN_ENGINE) => Ok(Self { url, stated: Some(Price::per_million(0.0, 0.0)) }),
            [None, None] => Ok(Self { url, stated: None }),
            _ => {
                let [field, other] = if amounts[0].is_some() { names } else { [names[1], names[0]] };
                Err(ChatError::Settings { field, reason: format!("needs {other} beside it") }.into())
            }
        }
    }

    /// What every model costs, wherever it is.
    pub fn stated(price: Price) -> Self {
        Self { url: String::new(), stated: Some(price) }
    }

    /// Whether the study states them, so that there are costs before a model is known.
    pub(crate) fn are_stated(&self) -> bool {
        self.stated.is_some()
    }

    /// What is taken for granted of batches, if anything: what they save of stated prices.
    pub(crate) fn assumption(&self, model: &str) -> Option<String> {
        let listed = models::find(model, &self.url).and_then(|model| model.batch_discount);
        let assumed = || format!("a batch of `{}` is taken to cost half the stated price", model.escape_debug());
        let is_dear = self.stated.is_some_and(|price| price.prompt + price.completion > 0.0);
        (is_dear && listed.is_none()).then(assumed)
    }

    /// US dollars for so many tokens of a model, in one request or many; none when its price is not known.
    pub fn cost_usd(&self, model: &str, usage: Usage, batch: bool) -> Option<f64> {
        self.stated_usd(model, usage, batch).or_else(|| listed_usd(&self.url, model, usage, batch))
    }

    /// As [`Prices::cost_usd`], by what the study states alone.
    pub(crate) fn stated_usd(&self, model: &str, usage: Usage, batch: bool) -> Option<f64> {
        let listed = || models::find(model, &self.url).and_then(|model| model.batch_discount);
        let saved = if batch { listed().unwrap_or(BATCH_DISCOUNT) } else { 0.0 };
        self.stated.map(|price| price.cost(usage) * (1.0 - saved))
    }
}

/// US dollars for one request by the table of models; none for what is not in it.
pub(crate) fn listed_usd(url: &str, model: &str, usage: Usage, batch: bool) -> Option<f64> {
    models::find(model, url)?.cost_usd(usage.prompt, usage.completion, batch)
}

/// An amount of money in the settings is 0 or more.
pub(crate) fn check_amount(field: &'static str, amount: Option<f64>) -> Result<(), JudgeError> {
    match amount {
        Some(v) if !(v.is_finite() && v >= 0.0) => {
            Err(ChatError::Settings { field, reason: "must be 0 or more".into() }.into())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_those_of_the_server_however_its_address_is_written() {
        let usage = Usage { prompt: 1000, completion: 100 };
        for base_url in ["https://api.openai.com/v1", " HTTPS://API.OpenAI.com:443/v1/ "] {
            let settings = ChatSettings { base_url: base_url.into(), ..ChatSettings::default() };
            let known = listed_usd("https://api.openai.com/v1", models::DEFAULT_MODEL, usage, false);
            let prices = Prices::of(&settings).unwrap();
            assert_eq!(prices.url, "https://api.openai.com/v1");
            assert_eq!(prices.cost_usd(models::DEFAULT_MODEL, usage, false), known);
            assert!(known.is_some());
        }
    }
}
