//! `/v1/chat/completions`: messages to prompts, and answers in its shape.

use std::sync::Arc;

use serde_json::{Value, json};
use tunebench_generate::{Constraint, TokenLogprobs};
use tunebench_spec::{ChatMessage, escape};

use crate::answer::{Head, Shape, Told, finite};
use crate::api_error::ApiError;
use crate::fields::Fields;
use crate::models::OpenModel;
use crate::prepare::{MOST_LOGPROBS, Manner, Wanted};
use crate::text::Said;
use crate::worker::EventKind;

/// Bytes of a schema: its automaton grows with it.
const LARGEST_SCHEMA: usize = 64 << 10;

/// A request that can be answered, once its prompt is known to fit.
pub(crate) struct ChatRequest {
    pub manner: Manner,
    pub prompt: Vec<u32>,
    pub wanted: Wanted,
    pub has_logprobs: bool,
    /// What is carried out in another way than asked.
    pub adapted: Vec<String>,
}

impl ChatRequest {
    /// # Errors
    /// Says what of the request cannot be carried out.
    pub(crate) fn read(mut fields: Fields, model: &OpenModel) -> Result<Self, ApiError> {
        let manner = Manner::take(&mut fields)?;
        let messages = messages(fields.take("messages"))?;
        let limits =
            [fields.whole("max_completion_tokens", [1, i64::MAX])?, fields.whole("max_tokens", [1, i64::MAX])?];
        if let [Some(a), Some(b)] = limits
            && a != b
        {
            return Err(ApiError::field(
                "max_tokens",
                "max_tokens and max_completion_tokens are the same; give one of them",
            ));
        }
        let max_tokens = limits.into_iter().flatten().next().map(|most| most as usize);
        let has_logprobs = fields.truth("logprobs")?;
        let top = fields.whole("top_logprobs", [0, MOST_LOGPROBS])?;
        if top.is_some_and(|top| top > 0) && !has_logprobs {
            return Err(ApiError::field("top_logprobs", "top_logprobs needs `logprobs: true`"));
        }
        let effort = fields.text("reasoning_effort")?;
        let mut adapted = Vec::new();
        let constraint = form(fields.take("response_format"), model, &mut adapted)?;
        fields.end()?;
        let prompt =
            model.chat.prompt(&messages, effort.as_deref()).map_err(|fault| ApiError::field("messages", fault))?;
        if prompt.adapted.iter().any(|what| what.starts_with("reasoning_effort")) {
            let fault = "Unsupported parameter: 'reasoning_effort' is not supported with this model";
            return Err(ApiError::unsupported("reasoning_effort", fault));
        }
        adapted.extend(prompt.adapted);
        let wanted = Wanted {
            field: "messages",
            max_tokens,
            top_logprobs: has_logprobs.then(|| top.unwrap_or(0) as usize),
            prompt_logprobs: None,
            constraint,
            drops_space: model.chat.drops_first_space(),
        };
        Ok(Self { manner, prompt: prompt.tokens, wanted, has_logprobs, adapted })
    }
}

/// Messages of a request or of `/tokenize`.
///
/// # Errors
/// Names the message that is none.
pub(crate) fn messages(value: Option<Value>) -> Result<Vec<ChatMessage>, ApiError> {
    let Some(value) = value else { return Err(ApiError::field("messages", "you must provide messages")) };
    let Value::Array(messages) = value else {
        return Err(ApiError::field("messages", "messages must be a list of objects"));
    };
    if messages.is_empty() {
        return Err(ApiError::field("messages", "messages is empty; there must be at least one"));
    }
    messages.into_iter().enumerate().map(|(i, value)| message(value, &format!("messages[{i}]"))).collect()
}

fn message(value: Value, place: &str) -> Result<ChatMessage, ApiError> {
    let mut fields = Fields::of(value, place)?;
    let (role_name, content_name) = (fields.name("role"), fields.name("content"));
    let Some(role) = fields.text("role")? else {
        return Err(ApiError::field(&role_name, format!("{role_name} is missing")));
    };
    let content = match fields.take("content") {
        Some(Value::String(text)) => text,
        Some(Value::Array(parts)) => {
            let parts = parts.into_iter().enumerate().map(|(i, part)| text_part(part, &format!("{content_name}[{i}]")));
            parts.collect::<Result<Vec<_>, _>>()?.concat()
        }
        Some(_) => {
            return Err(ApiError::field(&content_name, format!("{content_name} must be a string or a list of parts")));
        }
        None => return Err(ApiError::field(&content_name, format!("{content_name} is missing"))),
    };
    // What an assistant's message of such a server has beside its text, when there is nothing in it.
    for name in ["tool_calls", "annotations"] {
        match fields.take(name) {
            None => {}
            Some(Value::Array(calls)) if calls.is_empty() => {}
            Some(_) => {
                let name = fields.name(name);
                return Err(ApiError::unsupported(&name, format!("{name}: the models here are not asked with these")));
            }
        }
    }
    fields.end()?;
    Ok(ChatMessage { role, content })
}

fn text_part(value: Value, place: &str) -> Result<String, ApiError> {
    let mut fields = Fields::of(value, place)?;
    let (kind_name, text_name) = (fields.name("type"), fields.name("text"));
    match fields.text("type")?.as_deref() {
        Some("text") => {}
        Some(other) => {
            let other: String = escape::line(other).chars().take(60).collect();
            return Err(ApiError::unsupported(
                &kind_name,
                format!("{kind_name}: the models here read text, not `{other}`"),
            ));
        }
        None => return Err(ApiError::field(&kind_name, format!("{kind_name} is missing"))),
    }
    let text = fields.text("text")?;
    fields.end()?;
    text.ok_or_else(|| ApiError::field(&text_name, format!("{text_name} is missing")))
}

/// The form that an answer must have, if any; what of it is not held is said.
fn form(
    value: Option<Value>,
    model: &OpenModel,
    adapted: &mut Vec<String>,
) -> Result<Option<Arc<dyn Constraint>>, ApiError> {
    const NAME: &str = "response_format";
    let Some(value) = value else { return Ok(None) };
    let mut fields = Fields::of(value, NAME)?;
    let Some(kind) = fields.text("type")? else { return Err(ApiError::field(NAME, "response_format.type is missing")) };
    let constraint = match kind.as_str() {
        "text" => None,
        "json_object" => Some(model.chat.json_object().constraint),
        "json_schema" => Some(schema(fields.take("json_schema"), model, adapted)?),
        _ => return Err(ApiError::field(NAME, "response_format.type must be text, json_object or json_schema")),
    };
    fields.end()?;
    Ok(constraint)
}

fn schema(value: Option<Value>, model: &OpenModel, adapted: &mut Vec<String>) -> Result<Arc<dyn Constraint>, ApiError> {
    const NAME: &str = "response_format.json_schema";
    let invalid =
        |fault: &str| ApiError::field("response_format", format!("Invalid schema for response_format: {fault}"));
    let Some(value) = value else { return Err(invalid("there is no json_schema")) };
    let mut fields = Fields::of(value, NAME)?;
    let is_strict = fields.truth("strict")?;
    for name in ["name", "description"] {
        fields.text(name)?;
    }
    let schema = fields.take("schema").ok_or_else(|| invalid("json_schema has no schema"))?;
    fields.end()?;
    if schema.to_string().len() > LARGEST_SCHEMA {
        return Err(invalid(&format!("it is larger than {LARGEST_SCHEMA} bytes")));
    }
    let form = model.chat.json_schema(&schema).map_err(|fault| invalid(&fault))?;
    if is_strict && !form.not_held.is_empty() {
        let fault = format!("strict, but an answer cannot be held to {}", form.not_held.join(", "));
        return Err(invalid(&fault));
    }
    adapted.extend(form.not_held.iter().map(|key| format!("{key} of response_format left out")));
    Ok(form.constraint)
}

/// Answers in the shape of `chat.completion`.
pub(crate) struct ChatShape {
    pub head: Head,
    pub has_logprobs: bool,
    /// Whether every body of a stream names its usage, null but for the last.
    pub include_usage: bool,
    /// Answers.
    pub count: usize,
}

impl ChatShape {
    fn chunk(&self, index: usize, delta: Value, tokens: &[Said], finish: Option<&str>) -> Value {
        let mut body = self.head.body("chat.completion.chunk");
        let logprobs = if tokens.is_empty() { Value::Null } else { self.logprobs(tokens) };
        let choice = json!({ "index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish });
        body.insert("choices".to_owned(), json!([choice]));
        if self.include_usage {
            body.insert("usage".to_owned(), Value::Null);
        }
        Value::Object(body)
    }

    fn logprobs(&self, tokens: &[Said]) -> Value {
        if !self.has_logprobs {
            return Value::Null;
        }
        let chat = &self.head.model.chat;
        let alternative = |token: u32, logprob: f64| json!({ "token": chat.token_name(token), "logprob": finite(logprob), "bytes": chat.text(token) });
        let said = |said: &Said| {
            let TokenLogprobs { logprob, top } = said.logprobs.as_ref()?;
            let mut entry = alternative(said.token, *logprob);
            entry["top_logprobs"] = top.iter().map(|(token, logprob)| alternative(*token, *logprob)).collect();
            Some(entry)
        };
        json!({ "content": tokens.iter().filter_map(said).collect::<Vec<_>>(), "refusal": null })
    }
}

impl Shape for ChatShape {
    fn begin(&mut self) -> Vec<Value> {
        let delta = json!({ "role": "assistant", "content": "", "refusal": null });
        (0..self.count).map(|index| self.chunk(index, delta.clone(), &[], None)).collect()
    }

    fn piece(&mut self, index: usize, kind: EventKind) -> Vec<Value> {
        match kind {
            EventKind::Piece(piece) if piece.text.is_empty() && !self.has_logprobs => vec![],
            EventKind::Piece(piece) => vec![self.chunk(index, json!({ "content": piece.text }), &piece.tokens, None)],
            EventKind::End(end) => vec![self.chunk(index, json!({}), &[], Some(end.finish))],
            EventKind::Prompt(_) | EventKind::Failed(_) => vec![],
        }
    }

    fn usage(&self, completion_tokens: usize) -> Value {
        let mut body = self.head.body("chat.completion.chunk");
        body.insert("choices".to_owned(), json!([]));
        body.insert("usage".to_owned(), self.head.usage(completion_tokens));
        Value::Object(body)
    }

    fn whole(&self, answers: Vec<Told>) -> Value {
        let tokens = answers.iter().filter_map(|told| told.end.as_ref()).map(|end| end.tokens).sum();
        let choice = |(index, told): (usize, Told)| {
            json!({
                "index": index,
                "message": { "role": "assistant", "content": told.text, "refusal": null },
                "logprobs": self.logprobs(&told.tokens),
                "finish_reason": told.end.map(|end| end.finish),
            })
        };
        let mut body = self.head.body("chat.completion");
        body.insert("choices".to_owned(), answers.into_iter().enumerate().map(choice).collect());
        body.insert("usage".to_owned(), self.head.usage(tokens));
        Value::Object(body)
    }
}
