//! What a study may set.

use marks::Language;
use marks::asking::{Asking, Unknown};
use serde::Deserialize;
use tunebench_plugin_api::{Error, Result};

/// How a preference is made of a reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scoring {
    /// The verdict that the model writes: A, B or a tie.
    #[default]
    Sampled,
    /// The probability of A among A and B: a preference by degrees, without ties.
    Logprobs,
}

/// Options of the judge; those of the chat model are beside them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Options {
    #[serde(flatten)]
    pub asking: Asking,
    pub scoring: Scoring,
    /// Asks for a JSON object; a server that knows no structured output replies in words, which are read, too. On for
    /// sampled verdicts, and no option of others.
    pub structured: Option<bool>,
    /// The language of our words; that of the question's script if not set.
    pub language: Option<Language>,
    /// What makes an answer the better one, instead of the built-in words.
    pub rubric: Option<String>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

const NAMES: [&str; 4] = ["scoring", "structured", "language", "rubric"];

impl Options {
    /// # Errors
    /// When a name is unknown, a value makes no sense, or two exclude each other.
    pub fn check(&self) -> Result<()> {
        self.unknown.refuse(&NAMES)?;
        self.asking.check()?;
        if self.rubric.as_ref().is_some_and(|rubric| rubric.trim().is_empty()) {
            return Err(Error::new("`rubric` is empty; leave it out for the built-in one"));
        }
        if self.scoring == Scoring::Logprobs && self.structured == Some(true) {
            return Err(Error::new("scoring = \"logprobs\" asks for one letter; leave out `structured`"));
        }
        Ok(())
    }

    /// Whether a JSON object is asked for.
    pub fn is_structured(&self) -> bool {
        self.scoring == Scoring::Sampled && self.structured.unwrap_or(true)
    }
}
