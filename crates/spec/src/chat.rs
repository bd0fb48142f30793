//! What a judge plugin asks of a chat model, what came back, and the verdict.

use serde::{Deserialize, Serialize};

/// One message of a chat request, in OpenAI's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessage {
    pub role: String,
    pub content: String,
}

/// A chat completion request as a judge describes it; the host adds address and key.
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatReply {
    pub content: String,
    /// `stop`, `length`, …, as the API said it.
    pub finish_reason: String,
}

/// What a judge wants next, given an item, an answer and the replies so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "lowercase")]
pub enum JudgeStep {
    /// Send this request, then ask me again with its reply added.
    Ask { request: ChatRequest },
    /// `score` in 0..=1.
    #[serde(rename = "verdict")]
    Score { score: f64, reason: String },
    /// This answer cannot be scored, and why: null in the frame, never 0.
    Unscored { reason: String },
}
