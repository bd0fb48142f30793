//! What is known of models that are rented: what they cost, hold and refuse, and when they go. All of it is data, in
//! `models.toml`.

mod date;

use std::sync::LazyLock;

use serde::Deserialize;

pub use self::date::Date;

/// Asked where a study names no model.
pub const DEFAULT_MODEL: &str = "gpt-6-luna";

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
    pub usd_per_million_prompt_tokens: Option<f64>,
    pub usd_per_million_completion_tokens: Option<f64>,
    pub usd_per_million_cached_prompt_tokens: Option<f64>,
    /// What a batch saves of each price, 0..1.
    pub batch_discount: Option<f64>,
    /// The first day on which it answers no more.
    pub retires: Option<Date>,
    pub replacement: Option<String>,
    /// Fields of a request that it answers with an error, in OpenAI's words.
    #[serde(default)]
    pub refuses: Vec<String>,
    pub structured_output: Option<bool>,
    pub logprobs: Option<bool>,
    /// Where this was read.
    pub source: String,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Table {
    as_of: Option<Date>,
    provider: Vec<Provider>,
    model: Vec<Model>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Provider {
    name: String,
    hosts: Vec<String>,
}

/// A test reads it, so that it is never empty.
static TABLE: LazyLock<Table> = LazyLock::new(|| toml::from_str(include_str!("models.toml")).unwrap_or_default());

/// The day on which the table was true.
pub fn as_of() -> Option<Date> {
    TABLE.as_of
}

/// All models of the table.
pub fn all() -> &'static [Model] {
    &TABLE.model
}

/// What is known of a model at this address; none at addresses other than its provider's.
pub fn find(name: &str, base_url: &str) -> Option<&'static Model> {
    let host = base_url.split("://").nth(1)?.split(['/', ':']).next()?;
    let is_host = |model: &Model| {
        TABLE.provider.iter().any(|p| p.name == model.provider && p.hosts.iter().any(|known| known == host))
    };
    TABLE.model.iter().find(|model| model.id == name && is_host(model))
}

impl Model {
    /// One sentence when it is retired, or will be within 90 days.
    pub fn remark(&self, today: Date) -> Option<String> {
        let retires = self.retires.filter(|retires| retires.days_after(today) <= 90)?;
        Some(format!("{} retires on {retires}", self.id))
    }
}
