//! `replies.jsonl`: every paid request with its exact response, one a line, found again by content.
//!
//! A line is synced to disk before its reply is used, and only good replies are kept: what failed is asked again.
//! Replies are read from the stored response by the same code as fresh ones, so a judge's new reading of old replies
//! costs nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tunebench_files::{JsonLines, Salvaged};
use tunebench_spec::{ChatRequest, hash};

use crate::JudgeError;
use tunebench_chat::{RawResponse, Reply, Usage};

/// What tells one request from another. The repeat and the place among an answer's requests count: a judge that
/// asks the same twice wants two replies.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RequestKey {
    pub base_url: String,
    pub repeat: u32,
    /// From 0: which of this answer's requests it is.
    pub ask: u32,
    pub request: ChatRequest,
}

impl RequestKey {
    pub(crate) fn hash(&self) -> Result<String, String> {
        hash::of_json(self).map_err(|e| format!("unsendable request: {e}"))
    }
}

#[derive(Serialize, Deserialize)]
struct Line {
    hash: String,
    #[serde(flatten)]
    key: RequestKey,
    /// The body as it came.
    response: String,
    request_id: String,
    seconds: f64,
}

/// A stored reply.
#[derive(Clone, Debug)]
pub(crate) struct StoredReply {
    pub reply: Reply,
    pub seconds: f64,
    /// The reply's usage or, where the server gave none, the most it can have been.
    pub billed: Usage,
}

pub(crate) struct Store {
    state: Mutex<State>,
    freed: Condvar,
}

struct State {
    lines: JsonLines<Line>,
    replies: BTreeMap<String, StoredReply>,
    /// Hashes being asked for: a second asker waits for the first's reply.
    in_flight: BTreeSet<String>,
}

/// The answer to "who asks this?"
pub(crate) enum Claim<'a> {
    Known(StoredReply),
    Yours(Slot<'a>),
}

impl Store {
    /// Opens or creates the file for this process alone. The second value reports lines that could not be used; a
    /// torn last line, all that a kill can leave, is cut off.
    pub(crate) fn open(path: &Path) -> Result<(Self, Vec<String>), JudgeError> {
        let (lines, Salvaged { lines: found, cut_bytes }) = JsonLines::<Line>::salvage(path).map_err(not_opened)?;
        let name = path.display().to_string();
        let mut replies = BTreeMap::new();
        let mut notes = Vec::new();
        for (number, line) in (1..).zip(found) {
            match line.map_err(|e| e.to_string()).and_then(read) {
                Ok((hash, stored)) => drop(replies.insert(hash, stored)),
                Err(reason) => notes.push(format!("{name}:{number}: unusable reply, it will be asked again: {reason}")),
            }
        }
        if cut_bytes > 0 {
            notes.push(format!("{name}: cut off a torn last line of {cut_bytes} bytes, left by a run that was killed"));
        }
        let state = State { lines, replies, in_flight: BTreeSet::new() };
        Ok((Self { state: Mutex::new(state), freed: Condvar::new() }, notes))
    }

    /// What was paid for every stored reply, in the order of their hashes.
    pub(crate) fn billed(&self) -> Vec<Usage> {
        self.lock().replies.values().map(|r| r.billed).collect()
    }

    /// The stored reply, or the right to ask; waits while another thread asks the same.
    pub(crate) fn claim(&self, hash: &str) -> Claim<'_> {
        let mut state = self.lock();
        loop {
            if let Some(stored) = state.replies.get(hash) {
                return Claim::Known(stored.clone());
            }
            if state.in_flight.insert(hash.to_owned()) {
                return Claim::Yours(Slot { store: self, hash: hash.to_owned() });
            }
            state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to send one request; given back when dropped.
pub(crate) struct Slot<'a> {
    store: &'a Store,
    hash: String,
}

impl Slot<'_> {
    /// Keeps a reply: on disk when this returns.
    pub(crate) fn keep(self, key: RequestKey, response: RawResponse, reply: Reply) -> Result<StoredReply, JudgeError> {
        let stored = record(&key.request, reply, response.seconds);
        let (hash, RawResponse { body: response, request_id, seconds, .. }) = (self.hash.clone(), response);
        let line = Line { hash, key, response, request_id, seconds };
        let mut state = self.store.lock();
        state.lines.append(&line).and_then(|()| state.lines.sync()).map_err(not_kept)?;
        state.replies.insert(self.hash.clone(), stored.clone());
        Ok(stored)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.store.lock().in_flight.remove(&self.hash);
        self.store.freed.notify_all();
    }
}

fn record(request: &ChatRequest, reply: Reply, seconds: f64) -> StoredReply {
    let billed = reply.usage.unwrap_or_else(|| Usage::ceiling(request));
    StoredReply { reply, seconds, billed }
}

fn read(line: Line) -> Result<(String, StoredReply), String> {
    let reply = Reply::read(&line.response).map_err(|e| e.to_string())?;
    Ok((line.hash, record(&line.key.request, reply, line.seconds)))
}

fn not_opened(error: tunebench_files::Error) -> JudgeError {
    let path = error.path().display().to_string();
    let reason = match error {
        tunebench_files::Error::Locked { .. } => "another run is judging into this folder; let it end".to_owned(),
        error => why(&error),
    };
    JudgeError::Store { path, reason }
}

fn not_kept(error: tunebench_files::Error) -> JudgeError {
    let path = error.path().display().to_string();
    JudgeError::Store { path, reason: format!("a paid reply could not be kept: {}", why(&error)) }
}

/// Without the path, which the error that is made of it says.
fn why(error: &tunebench_files::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}
