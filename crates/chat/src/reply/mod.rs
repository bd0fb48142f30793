//! What a chat server's body says: a reply that a judge can read, or in words why not.

mod anthropic;
mod draft;
mod error_body;
mod events;
mod openai;
mod reasoning;
mod shorten;
mod usage;

use serde_json::Value;
use tunebench_spec::{ChatReply, TokenLogprob};

use self::draft::Draft;

pub(crate) use self::error_body::ErrorBody;
pub(crate) use self::shorten::shorten;
pub use self::usage::Usage;

/// A reply with what is worth knowing about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    pub chat: ChatReply,
    /// As the server named it; empty when it did not.
    pub model: String,
    /// `system_fingerprint`; empty when there is none.
    pub fingerprint: String,
    pub usage: Option<Usage>,
}

/// Why a body of a successful response is no reply that can be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Unreadable {
    /// It is none: an error, a page, nothing. Most likely it was not billed, and may come right when it is asked again.
    #[error("{0}")]
    NotAReply(String),
    /// The model was asked and is paid for, but says nothing that could be used: empty, filtered, refused, broken off.
    #[error("{reason}")]
    Empty { reason: String, usage: Option<Usage> },
}

impl Reply {
    /// Reads the body of a successful response, in the dialect that it is in: OpenAI's or Anthropic's, whole or as
    /// server-sent events.
    ///
    /// # Errors
    /// [`Unreadable`] names what came instead of a reply.
    pub fn read(body: &str) -> Result<Self, Unreadable> {
        let body = body.trim_start_matches('\u{feff}').trim();
        let mut draft = Draft::default();
        if events::is_stream(body) {
            let (values, ended) = events::read(body);
            values.iter().for_each(|value| add(&mut draft, value));
            if draft.finish_reason.is_empty() && !ended {
                draft.finish_reason = "incomplete".into();
            }
        } else {
            let value: Value = serde_json::from_str(body).map_err(|_| not_json(body))?;
            add(&mut draft, &value);
        }
        conclude(draft, body)
    }
}

fn not_json(body: &str) -> Unreadable {
    let reason = format!("the response is not JSON: {}", shorten(body));
    // A reply that was broken off on its way was still made, and paid for.
    match body.starts_with('{') && (body.contains("\"choices\"") || body.contains("\"content\"")) {
        true => Unreadable::Empty { reason, usage: None },
        false => Unreadable::NotAReply(reason),
    }
}

fn add(draft: &mut Draft, value: &Value) {
    if let Some(error) = value.get("error").filter(|error| !error.is_null()) {
        draft.error = Some(error.clone());
    }
    match anthropic::is_mine(value) {
        true => anthropic::add(draft, value),
        false => openai::add(draft, value),
    }
}

fn conclude(draft: Draft, body: &str) -> Result<Reply, Unreadable> {
    if !draft.is_reply {
        let message = ErrorBody::read(body).message;
        return Err(Unreadable::NotAReply(match draft.error {
            Some(_) => message,
            None => format!("the response has no choices: {message}"),
        }));
    }
    let said = reasoning::said(&draft.content);
    let content: String = said.iter().map(|range| &draft.content[range.clone()]).collect();
    let usage = Usage::read(&draft.usage);
    if content.trim().is_empty() {
        let reason = match draft.refusal.as_str() {
            "" => format!("the reply has no content (finish_reason `{}`)", shorten(&draft.finish_reason)),
            refusal => format!("the model refused: {}", shorten(refusal)),
        };
        return Err(Unreadable::Empty { reason, usage });
    }
    let logprobs: Vec<TokenLogprob> = draft.logprobs.into_iter().map(|token| token.logprob).collect();
    let chat = ChatReply { content, finish_reason: draft.finish_reason, reasoning: draft.reasoning, logprobs };
    Ok(Reply { chat, model: draft.model, fingerprint: draft.fingerprint, usage })
}
