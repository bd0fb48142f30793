//! What a request may do without, and what servers call it.

use serde_json::Value;
use tunebench_spec::ChatRequest;

/// A part of a request that some servers or models refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Field {
    Temperature,
    TopP,
    Seed,
    MaxTokens,
    ReasoningEffort,
    ResponseFormat,
    Logprobs,
    /// Messages of the role `system`, which some chat templates do not know.
    SystemRole,
}

/// A field, and how to find it.
pub(super) struct Row {
    pub field: Field,
    /// Its name in a [`ChatRequest`].
    pub name: &'static str,
    /// Where it stands in a body that is sent.
    pub places: &'static [&'static str],
    /// What errors call it, as a word.
    pub words: &'static [&'static str],
    /// What they say of it when they do not name it; looked for only where none is named.
    pub hints: &'static [&'static str],
}

/// All fields, in the order in which they are spoken of.
pub(super) const FIELDS: [Row; 8] = [
    Row {
        field: Field::Temperature,
        name: "temperature",
        places: &["/temperature"],
        words: &["temperature"],
        hints: &["sampling parameters"],
    },
    Row {
        field: Field::TopP,
        name: "top_p",
        places: &["/top_p"],
        words: &["top_p", "topp"],
        hints: &["sampling parameters", "nucleus sampling"],
    },
    Row { field: Field::Seed, name: "seed", places: &["/seed"], words: &["seed"], hints: &[] },
    Row {
        field: Field::MaxTokens,
        name: "max_tokens",
        places: &["/max_tokens", "/max_completion_tokens"],
        words: &["max_tokens", "max_completion_tokens"],
        hints: &[],
    },
    Row {
        field: Field::ReasoningEffort,
        name: "reasoning_effort",
        places: &["/reasoning_effort", "/output_config/effort", "/thinking"],
        words: &["reasoning_effort", "reasoning.effort", "output_config.effort", "output_config"],
        hints: &["reasoning effort", "effort parameter", "thinking", "reasoning"],
    },
    Row {
        field: Field::ResponseFormat,
        name: "response_format",
        places: &["/response_format", "/output_config/format"],
        words: &["response_format", "output_config.format", "output_format", "output_config", "json_schema"],
        hints: &["response format", "json schema", "structured output", "json mode", "grammar", "guided decoding"],
    },
    Row {
        field: Field::Logprobs,
        name: "top_logprobs",
        places: &["/logprobs", "/top_logprobs"],
        words: &["logprobs", "top_logprobs"],
        hints: &["log probabilities", "logprob"],
    },
    Row {
        field: Field::SystemRole,
        name: "system",
        places: &["/messages"],
        words: &[],
        hints: &[
            "system role",
            "role 'system'",
            "does not support 'system'",
            "developer instruction",
            "roles must alternate",
        ],
    },
];

impl Field {
    /// Whether a request has it.
    pub(super) fn is_in(self, request: &ChatRequest) -> bool {
        match self {
            Self::Temperature => request.temperature.is_some(),
            Self::TopP => request.top_p.is_some(),
            Self::Seed => request.seed.is_some(),
            Self::MaxTokens => request.max_tokens.is_some(),
            Self::ReasoningEffort => request.reasoning_effort.is_some(),
            Self::ResponseFormat => request.response_format.is_some(),
            Self::Logprobs => request.top_logprobs.is_some(),
            Self::SystemRole => request.messages.iter().any(|message| is_system(&message.role)),
        }
    }
}

impl Row {
    /// Whether a body that was sent has it.
    pub(super) fn is_in(&self, sent: &Value) -> bool {
        match self.field {
            Field::SystemRole => sent.get("messages").and_then(Value::as_array).is_some_and(|messages| {
                messages.iter().any(|message| message.get("role").and_then(Value::as_str).is_some_and(is_system))
            }),
            _ => self.places.iter().any(|place| sent.pointer(place).is_some()),
        }
    }
}

/// Whether a message of this role is said by whoever asks, and not by a side of the conversation.
pub(super) fn is_system(role: &str) -> bool {
    matches!(role, "system" | "developer")
}
