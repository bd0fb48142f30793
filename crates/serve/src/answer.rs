//! Answers as they were told, and what whole bodies and streams have in common.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use tokio::sync::mpsc::UnboundedReceiver;
use tunebench_generate::TokenLogprobs;

use crate::api_error::ApiError;
use crate::models::OpenModel;
use crate::text::Said;
use crate::worker::{End, Event, EventKind};

/// Where a logarithm would be of nothing, as OpenAI has it.
const NEVER: f64 = -9999.0;

/// One answer, whole.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Of the prompt's tokens from the second on, where they were asked for.
    pub prompt: Vec<TokenLogprobs>,
    pub text: String,
    pub tokens: Vec<Said>,
    pub end: Option<End>,
}

/// All answers of a request, by their numbers.
///
/// # Errors
/// When the model fails, or nobody answers any more.
pub(crate) async fn collect(events: &mut UnboundedReceiver<Event>, count: usize) -> Result<Vec<Told>, ApiError> {
    let mut all: Vec<Told> = (0..count).map(|_| Told::default()).collect();
    let mut open = count;
    while open > 0 {
        let Some(Event { index, kind }) = events.recv().await else {
            return Err(ApiError::server("The model answers no more; start the server again"));
        };
        let Some(told) = all.get_mut(index) else { continue };
        match kind {
            EventKind::Prompt(found) => told.prompt = found,
            EventKind::Piece(piece) => {
                told.text += &piece.text;
                told.tokens.extend(piece.tokens);
            }
            EventKind::End(end) => {
                told.end = Some(end);
                open -= 1;
            }
            EventKind::Failed(fault) => return Err(ApiError::server(fault)),
        }
    }
    Ok(all)
}

/// What stands in every body of one request.
#[derive(Clone)]
pub(crate) struct Head {
    pub id: String,
    /// Seconds since 1970.
    pub created: u64,
    pub model: Arc<OpenModel>,
    /// Of all prompts, each once.
    pub prompt_tokens: usize,
}

impl Head {
    /// The beginning of a body.
    pub(crate) fn body(&self, object: &str) -> Map<String, Value> {
        let body = json!({
            "id": self.id, "object": object, "created": self.created, "model": self.model.id,
            "system_fingerprint": self.model.fingerprint,
        });
        if let Value::Object(body) = body { body } else { Map::new() }
    }

    pub(crate) fn usage(&self, completion_tokens: usize) -> Value {
        json!({
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": self.prompt_tokens + completion_tokens,
        })
    }
}

/// How answers become bodies: as a whole, or event by event.
pub(crate) trait Shape: Send + 'static {
    /// What is sent at the beginning of a stream.
    fn begin(&mut self) -> Vec<Value>;

    /// What an event is in a stream.
    fn piece(&mut self, index: usize, kind: EventKind) -> Vec<Value>;

    /// The last body of a stream that tells its usage.
    fn usage(&self, completion_tokens: usize) -> Value;

    /// All answers in one body.
    fn whole(&self, answers: Vec<Told>) -> Value;
}

/// A log-probability as JSON, which knows no infinity.
pub(crate) fn finite(logprob: f64) -> f64 {
    if logprob.is_finite() { logprob } else { NEVER }
}
