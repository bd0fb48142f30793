//! What a judge sets of a chat model, and the requests it makes of that.

use std::collections::BTreeMap;

use serde::Deserialize;
use tunebench_plugin_api::serde_json::{Value, json};
use tunebench_plugin_api::{ChatCompletionRequest, ChatMessage, ChatReply, Error, Example, JudgeStep, Result};

/// The model that is asked when a study names none: current, and the cheapest of its family.
pub const DEFAULT_MODEL: &str = "gpt-6-luna";
/// Most tokens in a reply when a study sets none, as in BELLE's evaluation.
pub const DEFAULT_MAX_TOKENS: u32 = 3000;
const TOP_P: std::ops::RangeInclusive<f64> = 0.0..=1.0;
const TEMPERATURE: std::ops::RangeInclusive<f64> = 0.0..=2.0;

/// A judge's options that are the chat model's, flat beside its own. What is not set is not sent, but the limit.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asking {
    /// [`DEFAULT_MODEL`] if not set.
    pub model: Option<String>,
    /// From 0 to 2. Many current models refuse any but 1.
    pub temperature: Option<f64>,
    /// Above 0, to 1.
    pub top_p: Option<f64>,
    /// Most tokens in the reply, reasoning included; [`DEFAULT_MAX_TOKENS`] if not set.
    pub max_tokens: Option<u32>,
    /// Asks the server to repeat itself; best effort on its side.
    pub seed: Option<u64>,
    /// `minimal`, `low`, `medium`, `high`, as the model has it.
    pub reasoning_effort: Option<String>,
}

/// Names of [`Asking`]'s options.
const NAMES: [&str; 6] = ["model", "temperature", "top_p", "max_tokens", "seed", "reasoning_effort"];

/// Options that no field takes. A judge has it as its last field, flattened, and gives it to [`Unknown::refuse`].
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct Unknown(BTreeMap<String, Value>);

impl Unknown {
    /// # Errors
    /// When a study sets an option that is neither one of `own` nor the chat model's.
    pub fn refuse(&self, own: &[&str]) -> Result<()> {
        let Some(name) = self.0.keys().next() else { return Ok(()) };
        let known: Vec<&str> = own.iter().chain(&NAMES).copied().collect();
        Err(Error::new(format!("unknown option `{name}`; there are: {}", known.join(", "))))
    }
}

impl Asking {
    /// # Errors
    /// When a setting makes no sense for any model.
    pub fn check(&self) -> Result<()> {
        let blank = |text: &Option<String>| text.as_ref().is_some_and(|text| text.trim().is_empty());
        let outside = |number: Option<f64>, range: &std::ops::RangeInclusive<f64>| {
            number.is_some_and(|number| !range.contains(&number))
        };
        let faults = [
            (blank(&self.model), "`model` is empty; name a chat model, or leave it out"),
            (outside(self.temperature, &TEMPERATURE), "`temperature` must be from 0 to 2"),
            (outside(self.top_p, &TOP_P) || self.top_p == Some(0.0), "`top_p` must be above 0, and at most 1"),
            (self.max_tokens == Some(0), "`max_tokens` must be at least 1"),
            (blank(&self.reasoning_effort), "`reasoning_effort` is empty; leave it out for the model's own"),
        ];
        match faults.iter().find(|fault| fault.0) {
            Some((_, fault)) => Err(Error::new(*fault)),
            None => Ok(()),
        }
    }

    /// A request of these messages.
    pub fn request(&self, messages: Vec<ChatMessage>) -> ChatCompletionRequest {
        let model = self.model.as_deref().unwrap_or(DEFAULT_MODEL);
        let mut request = ChatCompletionRequest::new(model, messages);
        request.temperature = self.temperature;
        request.top_p = self.top_p;
        request.max_tokens = Some(self.max_tokens.unwrap_or(DEFAULT_MAX_TOKENS));
        request.seed = self.seed;
        request.reasoning_effort.clone_from(&self.reasoning_effort);
        request
    }
}

/// Why a reply has no score.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unread {
    /// Another reply may have one.
    AskAgain(String),
    /// No reply of this server will.
    GiveUp(String),
}

/// The next step of a judge that asks once, and once more when the reply cannot be read. `ask` makes the first request,
/// `ask_again` the second of the first reply, `read` the score of a reply and how it was read; it is told whether the reply
/// is the second.
pub fn step(
    replies: &[ChatReply],
    ask: impl FnOnce() -> ChatCompletionRequest,
    ask_again: impl FnOnce(&ChatReply) -> ChatCompletionRequest,
    read: impl Fn(&ChatReply, bool) -> std::result::Result<(f64, String), Unread>,
) -> JudgeStep {
    let Some(first) = replies.first() else { return JudgeStep::Chat { request: ask() } };
    let unread = match read(first, false) {
        Ok((score, reason)) => return JudgeStep::Verdict { score, reason },
        Err(Unread::GiveUp(reason)) => return JudgeStep::Unscored { reason },
        Err(Unread::AskAgain(reason)) => reason,
    };
    let Some(second) = replies.get(1) else { return JudgeStep::Chat { request: ask_again(first) } };
    match read(second, true) {
        Ok((score, reason)) => {
            JudgeStep::Verdict { score, reason: format!("{reason}; asked twice, for of the first reply: {unread}") }
        }
        Err(Unread::AskAgain(second) | Unread::GiveUp(second)) => {
            JudgeStep::Unscored { reason: format!("{unread}; asked again: {second}") }
        }
    }
}

/// Makes a request one for a mark by its probabilities: with alternatives of each token, and of few tokens unless the
/// study sets how many.
pub fn with_logprobs(asking: &Asking, request: &mut ChatCompletionRequest) {
    const FEW: u32 = 16;
    request.top_logprobs = Some(crate::logprobs::TOP);
    request.max_tokens = Some(asking.max_tokens.unwrap_or(FEW));
}

/// The conversation that goes on after a reply that could not be read: it, and a short request.
pub fn asked_again(prompt: &str, reply: &ChatReply, demand: &str) -> Vec<ChatMessage> {
    if reply.content.trim().is_empty() {
        // Servers refuse empty messages, and two of one role in a row.
        return vec![ChatMessage::new("user", format!("{prompt}\n\n{demand}"))];
    }
    let said = ChatMessage::new("assistant", &reply.content);
    vec![ChatMessage::new("user", prompt), said, ChatMessage::new("user", demand)]
}

/// Categories of BELLE's evaluation set whose questions have no one right answer, so that no reference is shown.
const OPEN: [&str; 3] = ["rewrite", "generation", "brainstorming"];

/// The reference that a judge is shown: none in an open category, and none that is blank.
pub fn reference(item: &Example) -> Option<&str> {
    let category = item.category.as_deref().unwrap_or_default().trim().to_lowercase();
    item.reference.as_deref().filter(|reference| !OPEN.contains(&category.as_str()) && !reference.trim().is_empty())
}

/// A `response_format` that demands an object of these properties, all of them.
pub fn json_schema(name: &str, properties: Value) -> Value {
    let required: Vec<&String> = properties.as_object().into_iter().flat_map(|fields| fields.keys()).collect();
    let schema = json!({
        "type": "object", "properties": properties, "required": required, "additionalProperties": false,
    });
    json!({ "type": "json_schema", "json_schema": { "name": name, "strict": true, "schema": schema } })
}

/// Whether the server ended a reply at its length limit.
pub fn is_cut_off(reply: &ChatReply) -> bool {
    reply.finish_reason == "length"
}
