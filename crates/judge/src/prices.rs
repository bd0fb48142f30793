//! What tokens cost.

use tunebench_chat::{ChatError, Usage, models};
use tunebench_spec::ChatRequest;
use tunebench_spec::study::ChatSettings;

use crate::error::JudgeError;

/// What a batch saves, where the table of models does not say: OpenAI and Anthropic both take half.
const BATCH_DISCOUNT: f64 = 0.5;

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

/// What a server's models cost: what the study states or, where it states nothing, what is known of them.
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
        let url = settings.base_url.trim_end_matches('/').to_owned();
        match amounts {
            [Some(prompt), Some(completion)] => Ok(Self { url, stated: Some(Price::per_million(prompt, completion)) }),
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

    /// What a model's tokens cost, one by one or in a batch; none when that is not known.
    pub fn of_model(&self, model: &str, batch: bool) -> Option<Price> {
        let known = models::find(model, &self.url);
        let listed = known.and_then(|model| {
            let (prompt, completion) = (model.usd_per_million_prompt_tokens?, model.usd_per_million_completion_tokens?);
            Some(Price::per_million(prompt, completion))
        });
        let price = self.stated.or(listed)?;
        let saved = if batch { known.and_then(|model| model.batch_discount).unwrap_or(BATCH_DISCOUNT) } else { 0.0 };
        Some(Price { prompt: price.prompt * (1.0 - saved), completion: price.completion * (1.0 - saved) })
    }
}

/// US dollars that a request costs at most: every byte of it a token, and a reply as long as it may be. None without prices.
///
/// # Errors
/// As [`Prices::of`].
pub fn dearest_usd(request: &ChatRequest, settings: &ChatSettings) -> Result<Option<f64>, JudgeError> {
    let price = Prices::of(settings)?.of_model(&request.model, settings.batch);
    Ok(price.map(|price| price.cost(Usage::ceiling(request))))
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
