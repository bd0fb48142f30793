//! Chat requests answered on this machine, by a model that our own engine computes: free, offline, and the same bytes again.
//!
//! - [`LocalChat`]: a model that answers, as a [`tunebench_chat::ChatServer`] one request after the other, or as a
//!   [`tunebench_chat::BatchServer`] many together
//! - [`ChatModel`]: the same model for who answers in another way, such as `crates/serve`
//! - [`ChatTemplate`]: how its conversations are written: the model's own Jinja, or a named one of `crates/dataset`.
//!   What a message says never becomes a special token
//! - log-probabilities are the model's own over its whole vocabulary, not a server's best twenty
//! - a reply that must be JSON of a schema is held to it token by token
//!
//! Nothing here knows what is asked for, and by whom.

mod automaton;
mod chat_model;
mod error;
mod identity;
mod json_form;
mod json_object;
mod json_schema;
mod local_chat;
mod memory;
mod pattern;
mod prompt_writer;
mod request;
mod response;
mod vocabulary;

pub use chat_model::{ChatModel, ChatPrompt, JsonConstraint, LocalModel};
pub use error::Error;
pub use local_chat::LocalChat;
pub use prompt_writer::ChatTemplate;
