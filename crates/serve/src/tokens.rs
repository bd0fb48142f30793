//! `/tokenize` and `/detokenize`, as vLLM has them: what a text or a conversation is to a model.

use serde_json::{Value, json};

use crate::api_error::ApiError;
use crate::chat::messages;
use crate::completions::tokens;
use crate::fields::Fields;
use crate::models::OpenModel;
use crate::text::of_all;

/// Of `prompt`, a text with special tokens around it unless `add_special_tokens` is false, or of `messages`.
///
/// # Errors
/// When there is neither, or it has no tokens.
pub(crate) fn tokenize(mut fields: Fields, model: &OpenModel) -> Result<Value, ApiError> {
    let add_special_tokens = match fields.take("add_special_tokens") {
        None => true,
        Some(Value::Bool(truth)) => truth,
        Some(_) => return Err(ApiError::field("add_special_tokens", "add_special_tokens must be a boolean")),
    };
    let with_texts = fields.truth("return_token_strs")?;
    let tokens = match fields.text("prompt")? {
        Some(text) => model.chat.encode(&text, add_special_tokens).map_err(|fault| ApiError::field("prompt", fault))?,
        None => {
            let messages = messages(fields.take("messages"))?;
            model.chat.prompt(&messages, None).map_err(|fault| ApiError::field("messages", fault))?.tokens
        }
    };
    fields.end()?;
    let texts = with_texts.then(|| tokens.iter().map(|token| model.chat.token_name(*token)).collect::<Vec<_>>());
    Ok(json!({ "count": tokens.len(), "max_model_len": model.positions(), "tokens": tokens, "token_strs": texts }))
}

/// The text of `tokens`, special ones by their names.
///
/// # Errors
/// When there are none.
pub(crate) fn detokenize(mut fields: Fields, model: &OpenModel) -> Result<Value, ApiError> {
    let wrong = || ApiError::field("tokens", "tokens must be a list of token numbers");
    let values = match fields.take("tokens") {
        Some(Value::Array(values)) => values,
        _ => return Err(wrong()),
    };
    fields.end()?;
    let tokens = tokens(&values).ok_or_else(wrong)?;
    Ok(json!({ "prompt": of_all(tokens.iter().map(|token| model.chat.bytes(*token))).0 }))
}
