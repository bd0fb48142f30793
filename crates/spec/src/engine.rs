//! Which of the two ways of computing a model is used.

use serde::{Deserialize, Serialize};

/// An engine. Both mean the same numbers and differ by rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// Passes written by hand over CPU kernels, weights and activations in bf16, trained weights in f32.
    Fast,
    /// Plain operations of a tensor library under its autograd, f32: slow, and what the fast one is tested against.
    Reference,
}

impl Engine {
    pub const ALL: [Self; 2] = [Self::Fast, Self::Reference];

    /// As options and frames spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Reference => "reference",
        }
    }
}

impl std::fmt::Display for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Engine {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|engine| engine.name() == name);
        found.ok_or_else(|| format!("no engine `{name}`; there are: {}", Self::ALL.map(Self::name).join(", ")))
    }
}
