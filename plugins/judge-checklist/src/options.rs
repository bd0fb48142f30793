//! What a study may set.

use marks::Language;
use marks::asking::{Asking, Unknown};
use serde::Deserialize;
use tunebench_plugin_api::Result;

/// Options of the judge; those of the chat model are beside them.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Options {
    #[serde(flatten)]
    pub asking: Asking,
    /// Asks for a JSON object; a server that knows no structured output replies in words, which are read, too.
    pub structured: bool,
    /// The language of our words; that of the question's script if not set.
    pub language: Option<Language>,
    /// Criteria of items that bring none, each with its weight before it if that is not 1: `[2] names Paris`.
    pub criteria: Vec<String>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            asking: Asking::default(),
            structured: true,
            language: None,
            criteria: Vec::new(),
            unknown: Unknown::default(),
        }
    }
}

const NAMES: [&str; 3] = ["structured", "language", "criteria"];

impl Options {
    /// # Errors
    /// When a name is unknown or a setting of the chat model makes no sense.
    pub fn check(&self) -> Result<()> {
        self.unknown.refuse(&NAMES)?;
        self.asking.check()
    }
}
