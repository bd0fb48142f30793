//! Replies as OpenAI's `chat.completion`, field by field in one order, so that equal replies are equal bytes.

use serde::Serialize;
use tunebench_generate::{Answer, TokenLogprobs};

use crate::vocabulary::Vocabulary;

/// Letters of a request's name in a reply's.
const NAME_LETTERS: usize = 24;

/// The whole body.
#[derive(Serialize)]
pub(crate) struct Completion<'a> {
    id: String,
    object: &'static str,
    /// Always 0: a time would differ each time.
    created: u64,
    model: &'a str,
    choices: [Choice; 1],
    usage: Usage,
    system_fingerprint: &'a str,
}

#[derive(Serialize)]
struct Choice {
    index: u32,
    message: Message,
    logprobs: Option<Logprobs>,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct Message {
    role: &'static str,
    content: String,
    /// Always null, as OpenAI writes it.
    refusal: Option<String>,
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: usize,
    completion_tokens: usize,
    total_tokens: usize,
}

#[derive(Serialize)]
struct Logprobs {
    content: Vec<Token>,
    refusal: Option<String>,
}

#[derive(Serialize)]
struct Token {
    #[serde(flatten)]
    chosen: Alternative,
    top_logprobs: Vec<Alternative>,
}

#[derive(Serialize)]
struct Alternative {
    token: String,
    logprob: f64,
    /// What it adds to the content: of all tokens together they are the content, but for a space at its beginning.
    bytes: Vec<u8>,
}

/// What a reply is made of beside its answer.
pub(crate) struct Context<'a> {
    /// The request's.
    pub name: &'a str,
    pub model: &'a str,
    pub fingerprint: &'a str,
    pub prompt_tokens: usize,
    /// Whether log-probabilities were asked for.
    pub has_logprobs: bool,
}

impl<'a> Completion<'a> {
    pub(crate) fn new(context: &Context<'a>, content: String, answer: &Answer, vocabulary: &Vocabulary) -> Self {
        let name: String = context.name.chars().take(NAME_LETTERS).collect();
        let alternative = |id: u32, logprob: f64| Alternative {
            token: vocabulary.name(id),
            logprob,
            bytes: vocabulary.text(id).to_vec(),
        };
        let token = |(id, TokenLogprobs { logprob, top }): (&u32, &TokenLogprobs)| Token {
            chosen: alternative(*id, *logprob),
            top_logprobs: top.iter().map(|(id, logprob)| alternative(*id, *logprob)).collect(),
        };
        let tokens = || answer.tokens.iter().zip(&answer.logprobs).map(token).collect();
        let completion_tokens = answer.tokens.len();
        Self {
            id: format!("chatcmpl-{name}"),
            object: "chat.completion",
            created: 0,
            model: context.model,
            choices: [Choice {
                index: 0,
                message: Message { role: "assistant", content, refusal: None },
                logprobs: context.has_logprobs.then(|| Logprobs { content: tokens(), refusal: None }),
                finish_reason: answer.finish.as_str(),
            }],
            usage: Usage {
                prompt_tokens: context.prompt_tokens,
                completion_tokens,
                total_tokens: context.prompt_tokens + completion_tokens,
            },
            system_fingerprint: context.fingerprint,
        }
    }
}
