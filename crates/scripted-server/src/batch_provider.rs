//! A provider of batches, of either dialect.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tunebench_spec::study::{ChatSettings, Dialect};

use crate::batches::{BatchScript, Ledger};
use crate::{Response, Seen, Server, anthropic_batches, openai_batches};

/// A provider on a local port.
pub struct BatchProvider {
    pub server: Server,
    dialect: Dialect,
    ledger: Arc<Mutex<Ledger>>,
}

impl BatchProvider {
    pub fn start(dialect: Dialect, script: BatchScript) -> Self {
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let of_server = ledger.clone();
        let server = Server::start(move |_, seen: &Seen| {
            let mut ledger = of_server.lock().unwrap();
            let response = match dialect {
                Dialect::OpenAi => openai_batches::answer(&script, &mut ledger, seen),
                Dialect::Anthropic => anthropic_batches::answer(&script, &mut ledger, seen),
            };
            response.unwrap_or_else(|| Response::new(404, json!({ "error": { "message": "not found" } }).to_string()))
        });
        Self { server, dialect, ledger }
    }

    pub fn settings(&self) -> ChatSettings {
        ChatSettings { dialect: Some(self.dialect), batch: true, ..self.server.settings() }
    }

    /// What the provider has now.
    pub fn ledger<T>(&self, read: impl FnOnce(&mut Ledger) -> T) -> T {
        read(&mut self.ledger.lock().unwrap())
    }

    /// How often each request was billed, where it was.
    pub fn billed(&self) -> BTreeMap<String, u32> {
        self.ledger(|ledger| {
            ledger.billed.iter().filter(|(_, n)| **n > 0).map(|(name, n)| (name.clone(), *n)).collect()
        })
    }
}
