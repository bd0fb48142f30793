//! What is exported, as plain data, and what comes of it.

use tunebench_model::backend::Backend;
use tunebench_model::{Source, Tokenizer, Tuning, Weights};
use tunebench_spec::{ArmRecord, Decoder};

use crate::compare::Difference;

/// A trained model.
pub struct Trained<'a> {
    pub shape: &'a Decoder,
    /// What it started from.
    pub weights: Weights,
    pub tuning: Tuning,
    pub tokenizer: &'a Tokenizer,
    /// The model that its chain of bases begins with, where that lies in files: what an export does not change is as there.
    pub base: Option<&'a Source>,
    pub about: About<'a>,
    /// What computes the scores that are compared.
    pub backend: &'static dyn Backend,
}

/// What is known of a trained model beside its numbers.
#[derive(Clone, Copy)]
pub struct About<'a> {
    pub record: &'a ArmRecord,
    /// How its base is called where it comes from: a repository's name or a path.
    pub base_name: &'a str,
    /// The template that it was trained with, in Jinja; none where it has no such form.
    pub chat_template: Option<&'a str>,
}

/// What was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// What it is, in a few words: `Hugging Face, bfloat16, 3 files`.
    pub what: String,
    /// The model's scores beside those of the export.
    pub difference: Difference,
    /// What is to be known of it, a sentence each.
    pub said: Vec<String>,
}
