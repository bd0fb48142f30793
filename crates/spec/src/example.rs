//! Conversations: what a dataset plugin makes of its source, and what training and evaluation read.

use serde::{Deserialize, Serialize};

/// Who speaks in a [`Turn`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    System,
    User,
    Assistant,
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    pub role: Role,
    pub content: String,
}

/// One conversation. For training, the assistant turns are the labels; for evaluation the last turn is
/// the user's, and `reference`, `category` and `rubric` tell a judge what a good answer is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// Stable name of this row within its source, e.g. `train.jsonl:17`.
    pub id: String,
    pub turns: Vec<Turn>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The instruction to the judge that belongs to this item's category.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rubric: Option<String>,
}

impl Example {
    /// The text of the last user turn: the question of an evaluation item.
    pub fn question(&self) -> &str {
        self.turns.iter().rev().find(|t| t.role == Role::User).map_or("", |t| t.content.as_str())
    }
}

/// What a dataset yields per row: something to use, or a reason why not. Skips are counted and reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Row {
    Example(Example),
    /// `place` says where in the source, `reason` why the row cannot be used.
    Skip {
        place: String,
        reason: String,
    },
}
