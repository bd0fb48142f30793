//! Submissions: planned in the journal, sent, and noted.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use tunebench_spec::hash;

use super::{GoesOn, Run};
use crate::batch::create_error::CreateError;
use crate::batch::journal::{Plan, TOKEN_CHARS};
use crate::batch::payload::{self, Waiting};
use crate::error::ChatError;
use crate::server::{Failure, NamedRequest};
use crate::wire;

impl Run<'_> {
    /// Submits all that is wanted and in no batch, as far as the server takes it.
    pub(super) fn submit(&mut self) -> GoesOn {
        while !self.is_full {
            let open = self.open_submissions();
            let held: BTreeSet<&str> =
                open.iter().flat_map(|s| s.plan.requests.iter().map(|request| request.name.as_str())).collect();
            let is_waiting = |named: &&&NamedRequest| {
                self.wanted.contains_key(named.name.as_str()) && !held.contains(named.name.as_str())
            };
            let waiting: Vec<&NamedRequest> = self.requests.iter().filter(is_waiting).copied().collect();
            let Some(first) = waiting.first().copied() else { return Ok(true) };
            // OpenAI takes one model in a batch.
            let model = first.request.model.as_str();
            let asked = self.asked_now(model);
            let token = self.token(&first.name)?;
            let dialect = self.server.connection.dialect();
            let pieces = waiting.iter().filter(|named| named.request.model == model).map(|named| Waiting {
                name: &named.name,
                body: wire::body(dialect, &named.request, &asked),
                adapted: asked.words(&named.request),
            });
            let payload = self.journal.payload(&token);
            let limits = (self.max_requests, self.server.options.max_bytes);
            let requests = payload::write(&payload, self.provider, limits, pieces)?;
            if requests.is_empty() {
                let reason = format!("the request is larger than a batch may be ({} bytes)", limits.1);
                if !self.tell(&first.name, Err(Failure::Request(reason))) {
                    return Ok(false);
                }
                continue;
            }
            let newest = self.provider.newest(&self.calls())?;
            let url = self.server.connection.base_url().to_owned();
            self.journal.plan(Plan { token: token.clone(), url, requests, newest })?;
            self.asked.insert(token.clone(), asked);
            if !self.send(&token, &payload)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Sends a submission that is planned.
    fn send(&mut self, token: &str, payload: &Path) -> GoesOn {
        let calls = self.calls();
        let created = self.provider.upload(&calls, payload).map_err(|error| match error {
            // A file alone is no batch.
            CreateError::Unknown(reason) => CreateError::Refused { status: 0, reason },
            other => other,
        });
        let created = created.and_then(|file| {
            if let Some(file) = &file {
                self.journal.uploaded(token, file)?;
            }
            self.provider.create(&calls, token, file.as_deref(), payload)
        });
        match created {
            Ok(batch) => {
                self.journal.submitted(token, &batch)?;
                let _ = std::fs::remove_file(payload); // with the journal's next end of it, should this fail
                Ok(true)
            }
            Err(CreateError::Ended(error)) => Err(error),
            Err(CreateError::Refused { status, reason }) => {
                let n = self.journal.submission(token).map_or(0, |submission| submission.plan.requests.len());
                self.journal.dropped(token, &reason)?;
                match status {
                    413 if n > 1 => {
                        self.halve(n, &reason);
                        Ok(true)
                    }
                    _ => Err(self.refused(reason)),
                }
            }
            Err(CreateError::Unknown(reason)) => {
                self.server.remark(format!("whether a batch was made is looked up: {reason}"));
                self.count_failed_submission(reason)?;
                self.look_up()
            }
        }
    }

    /// Makes further batches half as large as one of `n` requests.
    pub(super) fn halve(&mut self, n: usize, reason: &str) {
        self.max_requests = (n / 2).max(1);
        self.server.remark(format!("batches have at most {} requests from here on: {reason}", self.max_requests));
    }

    fn count_failed_submission(&mut self, reason: String) -> Result<(), ChatError> {
        self.failed_submissions += 1;
        if self.failed_submissions <= self.server.options.rounds {
            return Ok(());
        }
        let (url, failures) = (self.server.connection.base_url().to_owned(), self.failed_submissions);
        Err(ChatError::Unreachable { url, failures, reason })
    }

    /// A name that no other submission has.
    fn token(&self, first: &str) -> Result<String, ChatError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string();
        let key = (first, now, std::process::id(), self.journal.entries());
        let token = hash::of_json(&key).map_err(|e| ChatError::Journal(e.to_string()))?;
        Ok(token.chars().take(TOKEN_CHARS).collect())
    }
}
