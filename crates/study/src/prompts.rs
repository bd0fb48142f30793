//! Evaluation items as prompts, tokenized once for all models that read them alike.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tunebench_dataset::{Encoder, Prompt, Unusable};
use tunebench_spec::Example;

use crate::model_encoder::ModelEncoder;

/// The prompts of one evaluation's items, as far as they were made.
#[derive(Default)]
pub struct KnownPrompts(Mutex<BTreeMap<Readers, Arc<Prompts>>>);

/// Of each item its prompt, or why a model cannot be asked it.
pub type Prompts = Vec<Result<Prompt, Unusable>>;

/// What prompts depend on beside the items.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Readers {
    /// Of the encoder.
    identity: String,
    vocab_size: usize,
    positions: usize,
}

impl KnownPrompts {
    /// These items, the same ones each time, as prompts for a model with so many positions.
    pub fn of(&self, items: &[Example], encoder: &ModelEncoder, positions: usize) -> Arc<Prompts> {
        let (identity, vocab_size) = (encoder.identity.clone(), encoder.encoder.vocab_size());
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let made = || Arc::new(items.iter().map(|item| asked(&encoder.encoder, item, positions)).collect());
        known.entry(Readers { identity, vocab_size, positions }).or_insert_with(made).clone()
    }
}

/// An item as a prompt for a model with so many positions.
///
/// # Errors
/// Why the model cannot be asked it.
fn asked(encoder: &Encoder, item: &Example, positions: usize) -> Result<Prompt, Unusable> {
    let prompt = encoder.prompt(&item.turns)?;
    match prompt.tokens.len() {
        0 => Err(Unusable("the prompt is empty".into())),
        n if n >= positions => Err(Unusable(format!("{n} tokens of prompt; the model has positions for {positions}"))),
        _ => Ok(prompt),
    }
}
