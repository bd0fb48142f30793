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
    /// Whether an answer may be learnt from; `false` where its row says that it is not to be.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub is_learnt: bool,
}

fn yes() -> bool {
    true
}

fn is_yes(value: &bool) -> bool {
    *value
}

impl Turn {
    /// A message to learn from.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into(), is_learnt: true }
    }
}

/// One conversation. For training, the assistant turns are the labels; for evaluation the last turn is
/// the user's, and `reference`, `category` and `rubric` tell a judge what a good answer is. [`Example::into_item`] makes
/// the one of the other.
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
    /// This example as an evaluation item: the conversation up to the user's last turn. The answer that stood behind it
    /// is the reference when the example names none, so that any row that can be learnt from can be asked. One without
    /// a turn of the user stays as it is; nothing can be asked by it.
    #[must_use]
    pub fn into_item(mut self) -> Self {
        let Some(last) = self.turns.iter().rposition(|turn| turn.role == Role::User) else { return self };
        let answers = self.turns.split_off(last + 1);
        // Nothing is learnt from an item, so a mark of that kind makes it no other question.
        self.turns.iter_mut().for_each(|turn| turn.is_learnt = true);
        let is_blank = |text: &String| text.trim().is_empty();
        if self.reference.as_ref().is_none_or(is_blank) {
            let answer = answers.into_iter().find(|turn| turn.role == Role::Assistant).map(|turn| turn.content);
            self.reference = answer.filter(|text| !is_blank(text));
        }
        self
    }

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
