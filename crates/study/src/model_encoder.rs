//! A model's tokenizer with a template around it, and the hashes that name both.

use serde_json::json;
use tunebench_dataset::Encoder;
use tunebench_model::Tokenizer;
use tunebench_spec::hash;

use crate::error::StudyError;

/// How a model's conversations become tokens.
pub struct ModelEncoder {
    pub encoder: Encoder,
    /// As it came with the model, to be kept beside what is trained.
    pub tokenizer: Tokenizer,
    /// SHA-256 of the tokenizer's JSON.
    pub tokenizer_hash: String,
    /// SHA-256 of all that decides the tokens of a conversation.
    pub identity: String,
}

impl ModelEncoder {
    /// # Errors
    /// When there is no such template, or the tokenizer lacks a token that it needs.
    pub fn new(template: &str, tokenizer: Tokenizer) -> Result<Self, StudyError> {
        let Tokenizer { inner, bos, eos } = tokenizer.clone();
        let reader = tunebench_dataset::Tokenizer::new(inner, bos, eos)?;
        let encoder = Encoder::new(template, reader)?;
        let text = encoder.tokenizer().inner().to_string(false);
        let text = text.map_err(|e| tunebench_dataset::Error::Tokenizer(e.to_string()))?;
        let tokenizer_hash = hash::of_bytes(text.as_bytes());
        let identity = hash::of_json(&json!({
            "template": template,
            "tokenizer": tokenizer_hash,
            "bos": tokenizer.bos,
            "eos": tokenizer.eos,
        }))?;
        Ok(Self { encoder, tokenizer, tokenizer_hash, identity })
    }
}
