//! What a judge asks of a chat model, what comes back, and its verdict: plain data that crosses the boundary as JSON, in
//! OpenAI's words.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One message of a chat request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// `system`, `user` or `assistant`.
    pub role: String,
    pub content: String,
}

impl ChatMessage {
    /// A message.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into() }
    }
}

/// A chat completion request; the host adds address and key, translates it where the server speaks another dialect,
/// sends, retries, caches and prices it. What is `None` is not sent, so that the server's own value holds. Since API 1.2.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ChatCompletionRequest {
    pub model: String,
    pub messages: Vec<ChatMessage>,
    /// Some models refuse all but 1; the host then leaves it out and says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Most tokens in the reply, reasoning included; sent as `max_completion_tokens` or `max_tokens`, as the server wants it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// `minimal`, `low`, `medium`, `high`, as the model has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_effort: Option<String>,
    /// `{"type": "json_schema", "json_schema": {"name", "strict", "schema"}}`. A server without structured output replies
    /// with any text, so read the reply with the same care.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_format: Option<Value>,
    /// Asks for the log-probabilities of the reply's tokens, with so many alternatives each. Few servers have them: a
    /// reply without is [`ChatReply::logprobs`] empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_logprobs: Option<u32>,
}

impl ChatCompletionRequest {
    /// A request that leaves all else to the server; set the fields that matter.
    pub fn new(model: impl Into<String>, messages: Vec<ChatMessage>) -> Self {
        Self { model: model.into(), messages, ..Self::default() }
    }
}

impl From<ChatRequest> for ChatCompletionRequest {
    fn from(request: ChatRequest) -> Self {
        let ChatRequest { model, messages, temperature, max_tokens, seed } = request;
        Self { temperature: Some(temperature), max_tokens: Some(max_tokens), seed, ..Self::new(model, messages) }
    }
}

/// The chat request of API 1.0: it always has a temperature and a limit, which newer models refuse. A new judge asks by
/// [`ChatCompletionRequest`]; this one stays for those that are written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChatRequest {
    pub model: String,
    pub messages: Vec<ChatMessage>,
    pub temperature: f64,
    /// Most tokens in the reply.
    pub max_tokens: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// One reply of the chat model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChatReply {
    /// What it says, without its reasoning.
    pub content: String,
    /// `stop`, `length`, …
    pub finish_reason: String,
    /// What it thought before it spoke, where the server tells; read no score from it. Since API 1.2.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reasoning: String,
    /// Of the tokens of `content`, where [`ChatCompletionRequest::top_logprobs`] asked for them and the server gives
    /// them. Since API 1.2.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logprobs: Vec<TokenLogprob>,
}

impl ChatReply {
    /// A reply that ended by itself, for tests.
    pub fn new(content: impl Into<String>) -> Self {
        Self { content: content.into(), finish_reason: "stop".into(), ..Self::default() }
    }
}

/// A token of a reply, and what could have stood in its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TokenLogprob {
    pub token: String,
    /// Natural logarithm of its probability.
    pub logprob: f64,
    /// The likeliest tokens, the likeliest first; the chosen one may be among them.
    #[serde(default)]
    pub top_logprobs: Vec<TopLogprob>,
}

impl TokenLogprob {
    /// A token with its alternatives, each a token and its natural logarithm, the likeliest first.
    pub fn new(token: impl Into<String>, logprob: f64, top_logprobs: &[(&str, f64)]) -> Self {
        let top_logprobs = top_logprobs.iter().map(|(token, logprob)| TopLogprob::new(*token, *logprob)).collect();
        Self { token: token.into(), logprob, top_logprobs }
    }
}

/// One alternative of a token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TopLogprob {
    pub token: String,
    /// Natural logarithm of its probability.
    pub logprob: f64,
}

impl TopLogprob {
    /// An alternative.
    pub fn new(token: impl Into<String>, logprob: f64) -> Self {
        Self { token: token.into(), logprob }
    }
}

/// What a judge wants next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "lowercase")]
pub enum JudgeStep {
    /// Send this, then ask me again with the reply added. As in API 1.0; a new judge uses [`JudgeStep::Chat`].
    Ask { request: ChatRequest },
    /// A score in 0..=1. Of two answers: how much better the first one is; 1 it wins, 0.5 a tie, 0 it loses.
    Verdict { score: f64, reason: String },
    /// No score can be given, and why.
    Unscored { reason: String },
    /// Send this, then ask me again with the reply added. Since API 1.2; an older host refuses it by name.
    Chat { request: ChatCompletionRequest },
}
