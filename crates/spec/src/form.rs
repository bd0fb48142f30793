//! "The same, but …": an arm's trainings in another form, which answers and is measured but not trained.
//!
//! ```toml
//! [[arm]]
//! name = "LoRA, 4 bits"
//! of = "LoRA"
//! as = "Q4_K_M"                    # or "merged", "F16", "BF16", "Q8_0"
//! ```

use serde::{Deserialize, Serialize};

/// What becomes of a trained model's numbers. The tuning is folded into the weights in each; activations are computed as
/// those of any arm are, so what differs is the weights alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Form {
    /// Folded, each weight in the format that the base model's file has it in: what `export merged` writes.
    #[serde(rename = "merged")]
    Merged,
    /// The others are what `export gguf` writes of that type, read again.
    F16,
    BF16,
    #[allow(non_camel_case_types, reason = "as llama.cpp spells it")]
    Q8_0,
    #[allow(non_camel_case_types, reason = "as llama.cpp spells it")]
    Q4_K_M,
}

impl Form {
    pub const ALL: [Self; 5] = [Self::Merged, Self::F16, Self::BF16, Self::Q8_0, Self::Q4_K_M];

    /// As study files and the column `tuner` of `arms` spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Merged => "merged",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::Q8_0 => "Q8_0",
            Self::Q4_K_M => "Q4_K_M",
        }
    }

    /// The form of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.name() == name)
    }
}

/// `[[arm]]` with `of`: another arm's trainings in another form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variant {
    pub name: String,
    /// The name of an arm that is trained.
    pub of: String,
    #[serde(rename = "as")]
    pub form: Form,
}
