//! What a chat server's body says: a reply that a judge can read, or in words why not.

mod anthropic;
mod draft;
mod error_body;
mod events;
mod json;
mod openai;
mod reasoning;
mod shorten;
mod usage;

use std::ops::Range;

use serde_json::{Value, json};
use tunebench_spec::{ChatReply, ChatRequest};

use self::draft::Draft;
use self::events::Events;
use self::reasoning::Parts;

pub(crate) use self::error_body::ErrorBody;
pub(crate) use self::shorten::shorten;
pub use self::usage::Usage;

/// A reply with what is worth knowing about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// Its `finish_reason` is in OpenAI's words: `stop`, `length`, `tool_calls`.
    pub chat: ChatReply,
    /// Whether it ended before its end, and not at a limit: the stream broke off, or an error came. Its `finish_reason` then is
    /// `length` too.
    pub broke_off: bool,
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
    /// server-sent events. Who knows the request takes [`Reply::read_for`].
    ///
    /// # Errors
    /// [`Unreadable`] names what came instead of a reply.
    pub fn read(body: &str) -> Result<Self, Unreadable> {
        Self::read_for(body, &ChatRequest::default())
    }

    /// Reads the body of the response to a request. Where the request holds tags of thinking, as an answer to be judged may,
    /// such tags in the reply are taken for quotes.
    ///
    /// # Errors
    /// As [`Reply::read`].
    pub fn read_for(body: &str, request: &ChatRequest) -> Result<Self, Unreadable> {
        let body = body.trim_start_matches('\u{feff}').trim();
        let mut draft = Draft::default();
        if events::is_stream(body) {
            add_events(&mut draft, &events::read(body, |piece| json::parse(piece).ok()));
        } else {
            match json::parse(body) {
                // JSON in a string of JSON.
                Ok(Value::String(inner)) => add(&mut draft, &json::parse(&inner).unwrap_or(Value::Null)),
                Ok(value) => add(&mut draft, &value),
                Err(error) => match events::read_lines(body, |line| json::parse(line).ok()) {
                    Some(events) => add_events(&mut draft, &events),
                    None => return Err(known_as_paid(not_json(body, &error), body)),
                },
            }
        }
        let asked: Vec<String> = request.messages.iter().map(|message| message.content.to_lowercase()).collect();
        let is_quotable = |tag: &str| asked.iter().any(|content| content.contains(&tag.to_lowercase()));
        let parts = reasoning::split(&draft.content, is_quotable);
        conclude(draft, &parts, body).map_err(|unreadable| known_as_paid(unreadable, body))
    }

    /// Why the reply is not the whole one, if so: what it would have said last is not there.
    pub fn cut_short(&self) -> Option<&'static str> {
        match (self.broke_off, self.chat.finish_reason.as_str()) {
            (true, _) => Some("the reply broke off before its end"),
            (false, "length") => Some("the reply ended at its limit of tokens (finish_reason `length`)"),
            _ => None,
        }
    }
}

fn add_events(draft: &mut Draft, events: &Events) {
    events.values.iter().for_each(|value| add(draft, value));
    let is_cut = draft.finish_reason.is_empty() && !events.ended;
    if draft.is_reply && (is_cut || events.broken) {
        draft.break_off();
    }
}

fn add(draft: &mut Draft, value: &Value) {
    let error = value.get("error").or_else(|| value.get(0)?.get("error"));
    if let Some(error) = error.filter(|error| !error.is_null()) {
        draft.error = Some(error.clone());
    }
    match anthropic::is_mine(value) {
        true => anthropic::add(draft, value),
        false => openai::add(draft, value),
    }
}

fn not_json(body: &str, error: &serde_json::Error) -> Unreadable {
    // A reply that was broken off on its way was still made, and paid for.
    if error.is_eof() && ["\"choices\"", "\"content\""].iter().any(|name| body.contains(name)) {
        let reason = format!("the response breaks off after {} bytes and is not JSON: {}", body.len(), shorten(body));
        return Unreadable::Empty { reason, usage: None };
    }
    Unreadable::NotAReply(match body.starts_with('<') {
        true => format!("the response is a page and not JSON: {}", ErrorBody::read(body).message),
        false => format!("the response is not JSON: {}", shorten(body)),
    })
}

/// What is no reply in a line of a batch's results: whole lines are kept only where the batch says that they are replies.
fn known_as_paid(unreadable: Unreadable, body: &str) -> Unreadable {
    match unreadable {
        Unreadable::NotAReply(reason) if body.contains("\"custom_id\"") => {
            Unreadable::Empty { reason: format!("the result in the batch cannot be read: {reason}"), usage: None }
        }
        unreadable => unreadable,
    }
}

fn conclude(mut draft: Draft, parts: &Parts, body: &str) -> Result<Reply, Unreadable> {
    let usage = Usage::read(&draft.usage);
    let is_billed = usage.is_some_and(|usage| usage.completion > 0);
    let content = text_of(&draft.content, &parts.said);
    let is_empty = content.trim().is_empty();
    // In its own words, as an error body has them.
    let error = draft.error.as_ref().map(|error| ErrorBody::read(&json!({ "error": error }).to_string()).message);
    if is_empty && !is_billed && (error.is_some() || !draft.is_reply) {
        return Err(Unreadable::NotAReply(match error {
            Some(error) => format!("the response is an error: {error}"),
            None => format!("the response has no choices: {}", ErrorBody::read(body).message),
        }));
    }
    let thoughts = text_of(&draft.content, &parts.thought);
    let reasoning = [draft.reasoning.trim(), thoughts.trim()].join("\n").trim().to_owned();
    if is_empty || draft.finish_reason == "content_filter" {
        let reason = error.map_or_else(
            || why_empty(&draft, !reasoning.is_empty()),
            |error| format!("the reply ends in an error: {error}"),
        );
        return Err(Unreadable::Empty { reason, usage });
    }
    if error.is_some() {
        draft.break_off();
    }
    let (finish_reason, broke_off) = (draft.finish_reason.clone(), draft.broke_off);
    let (model, fingerprint) = (draft.model.clone(), draft.fingerprint.clone());
    let logprobs = draft.logprobs_of(&content);
    Ok(Reply { chat: ChatReply { content, finish_reason, reasoning, logprobs }, broke_off, model, fingerprint, usage })
}

/// Parts of a text: as it is where there is one, which is all of it.
fn text_of(text: &str, parts: &[Range<usize>]) -> String {
    if let [part] = parts
        && *part == (0..text.len())
    {
        return text.to_owned();
    }
    parts.iter().map(|part| text[part.clone()].trim()).collect::<Vec<_>>().join("\n")
}

fn why_empty(draft: &Draft, has_reasoning: bool) -> String {
    let finish_reason = shorten(&draft.finish_reason);
    match (draft.refusal.trim(), draft.finish_reason.as_str(), has_reasoning) {
        ("", "content_filter", _) => "the reply was filtered (finish_reason `content_filter`)".to_owned(),
        ("", ..) if draft.broke_off => "the reply broke off before it said anything".to_owned(),
        ("", "length", true) => {
            "the reply reached its limit of tokens while the model was reasoning, and says nothing; \
             raise max_tokens, or lower reasoning_effort"
                .to_owned()
        }
        ("", "length", false) => "the reply reached its limit of tokens before it said anything".to_owned(),
        ("", _, true) => format!("the reply is nothing but reasoning (finish_reason `{finish_reason}`)"),
        ("", _, false) => format!("the reply has no content (finish_reason `{finish_reason}`)"),
        (refusal, ..) => format!("the model refused: {}", shorten(refusal)),
    }
}
