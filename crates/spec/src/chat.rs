//! What a judge plugin asks of a chat model, what came back, and the verdict. In OpenAI's words; other dialects are translated
//! where requests are sent.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One message of a chat request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessage {
    pub role: String,
    pub content: String,
}

/// A chat completion request as a judge describes it; the host adds address and key. What is none is not sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChatRequest {
    pub model: String,
    pub messages: Vec<ChatMessage>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Most tokens in the reply, reasoning included; `max_completion_tokens` or `max_tokens`, as the server wants it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// `minimal`, `low`, `medium`, `high`, as the model has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_effort: Option<String>,
    /// `{"type": "json_schema", "json_schema": {"name", "strict", "schema"}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_format: Option<Value>,
    /// Asks for the log-probabilities of the reply's tokens, with so many alternatives each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_logprobs: Option<u32>,
}

/// One reply of the chat model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChatReply {
    /// What it says, without its reasoning.
    pub content: String,
    /// `stop`, `length`, …, as the API said it.
    pub finish_reason: String,
    /// What it thought before: `reasoning_content`, or what stood in `<think>`. Scores are never read from it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reasoning: String,
    /// Of the tokens of `content`, where they were asked for and the server gives them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logprobs: Vec<TokenLogprob>,
}

/// A token of a reply, and what could have stood in its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenLogprob {
    pub token: String,
    /// Natural logarithm.
    pub logprob: f64,
    /// The likeliest tokens, the likeliest first; the chosen one may be among them.
    #[serde(default)]
    pub top_logprobs: Vec<TopLogprob>,
}

/// One alternative of a token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopLogprob {
    pub token: String,
    pub logprob: f64,
}

/// What a judge wants next, given an item, an answer (or two that it compares) and the replies so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "lowercase")]
pub enum JudgeStep {
    /// Send this request, then ask me again with its reply added. `chat` since API 1.2; older plugins say `ask`, and have
    /// a temperature and a limit in each request.
    #[serde(alias = "chat")]
    Ask { request: ChatRequest },
    /// `score` in 0..=1. Of two answers: how much better the first is, 1 it wins, 0.5 a tie, 0 it loses.
    #[serde(rename = "verdict")]
    Score { score: f64, reason: String },
    /// This answer cannot be scored, and why: null in the frame, never 0.
    Unscored { reason: String },
}
