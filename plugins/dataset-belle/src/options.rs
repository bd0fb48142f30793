//! What a study may set of this dataset.

use tunebench_plugin_api::prelude::Deserialize;

/// What a study may set.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Put between `instruction` and `input` when both are there. BELLE puts nothing.
    pub separator: String,
    pub reasoning: Reasoning,
    pub tools: Tools,
}

/// What becomes of rows whose answers have what was thought before them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reasoning {
    /// They are refused.
    #[default]
    Refuse,
    /// It is left out.
    Drop,
    /// It is put before the answer, between `<think>` and `</think>`.
    Think,
}

/// What becomes of rows that describe tools.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tools {
    /// They are refused.
    #[default]
    Refuse,
    /// The description is left out; a row that calls a tool is refused all the same.
    Drop,
}
