//! A model's own chat template: a text in Jinja, as Hugging Face's `apply_chat_template` runs it.
//!
//! - [`template`]: the text, compiled, with the [`functions`] that templates call and the [`generation`] marks around what
//!   is the assistant's
//! - [`added_tokens`]: text to tokens, where the template may write control tokens and no message can
//! - [`own`]: both with a tokenizer: conversations as tokens, and which of them are an answer
//!
//! There is no clock: a template that asks for today is told [`functions::DAY`].

pub mod added_tokens;
pub mod functions;
pub mod generation;
pub mod own;
pub mod template;
