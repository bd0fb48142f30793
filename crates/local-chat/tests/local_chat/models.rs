//! Small models over a byte-level vocabulary, with templates of our own.

use std::path::Path;

use serde_json::Value;
use tunebench_chat::NamedRequest;
use tunebench_local_chat::{ChatTemplate, LocalChat, LocalModel};
use tunebench_model::backend::FAST;
use tunebench_model::{Tuning, Weights};
use tunebench_spec::{ChatMessage, ChatRequest, Decoder, hash};
pub use tunebench_testkit::byte_level::{
    END_OF_TEXT, IM_END, IM_START, SPACE_EIGHT, TEN, babbling, byte, chain, tokenizer,
};

/// Turns in marks, as most models of today have them.
pub const CHATML: &str = "{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\\n' + message.content | trim + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/// A model that scores: 8, rather than 10 or ` 8`; and then ends its turn.
pub fn scorer() -> (Decoder, Weights) {
    let (line, eight) = (byte("Ċ"), byte("8"));
    let ends = [eight, TEN, SPACE_EIGHT].map(|last| (last, IM_END, 14.0));
    chain(&[[(line, eight, 9.0), (line, TEN, 8.0), (line, SPACE_EIGHT, 7.0)], ends].concat())
}

/// A model with a template, ready to answer.
pub fn chat((shape, weights): (Decoder, Weights), template: &str) -> LocalChat {
    LocalChat::from_parts(parts((shape, weights), ChatTemplate::Jinja(template.into())), FAST).unwrap()
}

pub fn parts((shape, weights): (Decoder, Weights), template: ChatTemplate) -> LocalModel {
    let sums = weights.iter().map(|(_, t)| t.sum_all().unwrap().to_scalar::<f32>().unwrap().to_string());
    let identity = hash::of_bytes(sums.collect::<String>().as_bytes());
    let (name, tuning, tokenizer) = ("model".to_owned(), Tuning::none(), tokenizer());
    LocalModel { name, identity, shape, weights, tuning, tokenizer, template, add_bos_token: false }
}

/// A folder as Hugging Face has it, without a template.
pub fn folder(dir: &Path) {
    let (shape, weights) = babbling();
    let float = tunebench_model::formats::safetensors::Float::F32;
    tunebench_model::save(dir, &shape, &weights, Some(&tokenizer()), float).unwrap();
}

pub fn messages(all: &[(&str, &str)]) -> Vec<ChatMessage> {
    let message = |(role, content): &(&str, &str)| ChatMessage { role: (*role).into(), content: (*content).into() };
    all.iter().map(message).collect()
}

/// A user's question.
pub fn ask(content: &str) -> ChatRequest {
    ChatRequest { model: "local".into(), messages: messages(&[("user", content)]), ..ChatRequest::default() }
}

pub fn named(requests: impl IntoIterator<Item = ChatRequest>) -> Vec<NamedRequest> {
    let name = |request: &ChatRequest| hash::of_json(request).unwrap();
    requests.into_iter().map(|request| NamedRequest { name: name(&request), request }).collect()
}

/// The entries of a body's `logprobs`, as they stand there: the model may have said no text at all.
pub fn logprobs(body: &str) -> Vec<Value> {
    let body: Value = serde_json::from_str(body).unwrap();
    body.pointer("/choices/0/logprobs/content").and_then(Value::as_array).unwrap().clone()
}
