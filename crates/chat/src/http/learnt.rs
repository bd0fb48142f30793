//! What was learnt of each model, shared by all threads: a refusal is learnt from once, by whoever meets it first.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tunebench_spec::ChatRequest;
use tunebench_spec::study::Dialect;

use crate::reply::ErrorBody;
use crate::wire::{self, Adaptations};

pub(super) struct Learnt {
    dialect: Dialect,
    base_url: String,
    models: Mutex<BTreeMap<String, State>>,
}

/// How a model is asked.
#[derive(Clone, PartialEq)]
pub(super) struct State {
    adaptations: Adaptations,
    /// The server answers in events alone.
    streams: bool,
}

impl State {
    /// What is sent of a request.
    pub(super) fn body(&self, dialect: Dialect, request: &ChatRequest) -> Value {
        let mut body = wire::body(dialect, request, &self.adaptations);
        if let (true, Value::Object(fields)) = (self.streams, &mut body) {
            fields.insert("stream".into(), json!(true));
            if dialect == Dialect::OpenAi {
                fields.insert("stream_options".into(), json!({ "include_usage": true }));
            }
        }
        body
    }

    /// What was changed of a request; empty where nothing was.
    pub(super) fn words(&self, request: &ChatRequest) -> String {
        let words = self.adaptations.words(request);
        match (self.streams, words.as_str()) {
            (false, _) => words,
            (true, "") => "asked for events".into(),
            (true, _) => format!("{words}; asked for events"),
        }
    }
}

impl Learnt {
    pub(super) fn new(dialect: Dialect, base_url: &str) -> Self {
        Self { dialect, base_url: base_url.to_owned(), models: Mutex::new(BTreeMap::new()) }
    }

    /// How the model is asked now.
    pub(super) fn of(&self, model: &str) -> State {
        self.state(&mut self.lock(), model)
    }

    /// Learns from the refusal of `sent`, which was made with `asked`. True where the request is worth another attempt,
    /// be it that somebody else learnt meanwhile.
    pub(super) fn learn(&self, model: &str, asked: &State, error: &ErrorBody, sent: &Value) -> bool {
        let mut models = self.lock();
        let mut state = self.state(&mut models, model);
        if state != *asked {
            return true;
        }
        let learnt = state.adaptations.learn(error, sent) || learn_to_stream(&mut state, error);
        models.insert(model.to_owned(), state);
        learnt
    }

    fn state(&self, models: &mut BTreeMap<String, State>, model: &str) -> State {
        let new = || State { adaptations: Adaptations::new(self.dialect, model, &self.base_url), streams: false };
        models.entry(model.to_owned()).or_insert_with(new).clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, State>> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `This model only supports stream mode`, `stream must be true`, and what else servers say that answer in events alone.
fn learn_to_stream(state: &mut State, error: &ErrorBody) -> bool {
    const DEMANDS: [&str; 7] = ["must", "only", "required", "requires", "enable", "set", "need"];
    let said = error.said.to_lowercase();
    let words: Vec<&str> = said.split(|c: char| !c.is_alphanumeric()).collect();
    let has = |word: &&str| words.contains(word);
    let learns = !state.streams && ["stream", "streaming"].iter().any(has) && DEMANDS.iter().any(has);
    state.streams |= learns;
    learns
}
