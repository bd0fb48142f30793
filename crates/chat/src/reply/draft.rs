//! What has been read of a reply, whole or in pieces, before it is judged to be one.

use serde_json::{Map, Value};
use tunebench_spec::{TokenLogprob, TopLogprob};

/// Pieces of a reply, put together in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub content: String,
    pub reasoning: String,
    /// Why the model does not answer, in its own words.
    pub refusal: String,
    /// In OpenAI's words, where it has some.
    pub finish_reason: String,
    /// Whether it ended before its end, and not at a limit.
    pub broke_off: bool,
    pub logprobs: Vec<Token>,
    pub model: String,
    pub fingerprint: String,
    pub usage: Map<String, Value>,
    /// An error that came instead of a reply, or after a part of it.
    pub error: Option<Value>,
    /// Whether anything of a reply was there, and be it empty.
    pub is_reply: bool,
}

/// A token with its bytes, which its text may not show.
#[derive(Debug)]
pub(super) struct Token {
    pub bytes: Vec<u8>,
    pub logprob: TokenLogprob,
}

impl Draft {
    /// What is said of the whole reply; of what is said twice, as in a stream, the last counts.
    pub(super) fn describe(&mut self, value: &Value) {
        for (field, name) in [(&mut self.model, "model"), (&mut self.fingerprint, "system_fingerprint")] {
            if let Some(text) = value.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()) {
                text.clone_into(field);
            }
        }
        if let Some(Value::Object(usage)) = value.get("usage") {
            let said = usage.iter().filter(|(_, count)| !count.is_null());
            self.usage.extend(said.map(|(name, count)| (name.clone(), count.clone())));
        }
    }

    /// Why the reply ends, whoever says it.
    pub(super) fn finish(&mut self, reason: &str) {
        let lower = reason.to_lowercase();
        let begins_with = |words: &[&str]| words.iter().any(|word| lower.starts_with(word));
        if begins_with(&BREAKS) {
            return self.break_off();
        }
        let known = FINISH_REASONS.iter().find(|(_, words)| begins_with(words));
        self.finish_reason = known.map_or(reason, |row| row.0).to_owned();
    }

    /// Something ended the reply. Who knows nothing of that shall still see that it is cut off.
    pub(super) fn break_off(&mut self) {
        self.broke_off = true;
        "length".clone_into(&mut self.finish_reason);
    }

    /// The tokens of `logprobs.content`, as long as they can be read.
    pub(super) fn add_logprobs(&mut self, tokens: &[Value]) {
        self.logprobs.extend(tokens.iter().map_while(token));
    }

    /// Those of the tokens that make up `content`: servers give those of the reasoning and of the end as well. None where they
    /// make up another text.
    pub(super) fn logprobs_of(self, content: &str) -> Vec<TokenLogprob> {
        let all: Vec<u8> = self.logprobs.iter().flat_map(|token| token.bytes.iter().copied()).collect();
        let Ok(all) = String::from_utf8(all) else { return Vec::new() };
        let content = content.trim();
        let Some(start) = all.rfind(content).filter(|_| !content.is_empty()) else { return Vec::new() };
        let mut place = 0;
        let mut kept = Vec::new();
        for token in self.logprobs {
            let (from, to) = (place, place + token.bytes.len());
            if from < start + content.len() && to > start {
                kept.push(token.logprob);
            }
            place = to;
        }
        kept
    }
}

/// OpenAI's word, and how those of others begin: Anthropic, Mistral, Google, Hugging Face, DeepSeek, Zhipu, OpenRouter.
const FINISH_REASONS: [(&str, &[&str]); 4] = [
    ("stop", &["stop", "end_turn", "eos", "complete"]),
    ("length", &["length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded"]),
    (
        "content_filter",
        &["content_filter", "refusal", "safety", "sensitive", "prohibited_content", "recitation", "blocklist"],
    ),
    ("tool_calls", &["tool"]),
];
/// How others' words begin for a reply that an error ended.
const BREAKS: [&str; 6] = ["incomplete", "error", "abort", "cancel", "network_error", "insufficient_system_resource"];

fn token(value: &Value) -> Option<Token> {
    let TopLogprob { token, logprob } = alternative(value)?;
    let bytes = match value.get("bytes") {
        Some(Value::Array(bytes)) => {
            bytes.iter().map(|byte| byte.as_u64().and_then(|b| u8::try_from(b).ok())).collect::<Option<_>>()?
        }
        _ => token.clone().into_bytes(),
    };
    let others = value.get("top_logprobs").and_then(Value::as_array);
    let mut top_logprobs: Vec<TopLogprob> = others.into_iter().flatten().filter_map(alternative).collect();
    top_logprobs.sort_by(|a, b| b.logprob.total_cmp(&a.logprob));
    Some(Token { bytes, logprob: TokenLogprob { token, logprob, top_logprobs } })
}

/// A logarithm of a probability is at most 0, but for rounding.
fn alternative(value: &Value) -> Option<TopLogprob> {
    let token = value.get("token")?.as_str()?.to_owned();
    let logprob = value.get("logprob")?.as_f64().filter(|logprob| logprob.is_finite() && *logprob < 1e-3)?;
    Some(TopLogprob { token, logprob: logprob.min(0.0) })
}
