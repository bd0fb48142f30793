//! `replies.jsonl`: every paid request with its exact response, one a line, found again by content.
//!
//! A line is synced to disk before its reply is used, and only good replies are kept: what failed is asked again.
//! Replies are read from the stored response by the same code as fresh ones, so a judge's new reading of old replies
//! costs nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tunebench_spec::{ChatRequest, hash};

use crate::JudgeError;
use crate::chat::{Reply, Sent, Usage};

/// What tells one request from another. The repeat and the place among an answer's requests count: a judge that
/// asks the same twice wants two replies.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Question {
    pub base_url: String,
    pub repeat: u32,
    /// From 0: which of this answer's requests it is.
    pub ask: u32,
    pub request: ChatRequest,
}

impl Question {
    pub(crate) fn hash(&self) -> Result<String, String> {
        hash::of_json(self).map_err(|e| format!("unsendable request: {e}"))
    }
}

#[derive(Serialize, Deserialize)]
struct Line {
    hash: String,
    #[serde(flatten)]
    question: Question,
    /// The body as it came.
    response: String,
    request_id: String,
    seconds: f64,
}

/// A stored reply.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub reply: Reply,
    pub seconds: f64,
    /// The reply's usage or, where the server gave none, the most it can have been.
    pub billed: Usage,
}

pub(crate) struct Store {
    path: String,
    state: Mutex<State>,
    freed: Condvar,
}

struct State {
    file: File,
    replies: BTreeMap<String, Recorded>,
    /// Hashes being asked for: a second asker waits for the first's reply.
    in_flight: BTreeSet<String>,
}

/// The answer to "who asks this?"
pub(crate) enum Claim<'a> {
    Known(Recorded),
    Yours(Slot<'a>),
}

impl Store {
    /// Opens or creates the file for this process alone. The second value reports lines that could not be used; a
    /// torn last line, all that a kill can leave, is cut off.
    pub(crate) fn open(path: &Path) -> Result<(Self, Vec<String>), JudgeError> {
        let name = path.display().to_string();
        let fail = |fault: String| JudgeError::Store { path: name.clone(), fault };
        let io = |e: std::io::Error| fail(e.to_string());
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(io)?;
        file.try_lock().map_err(|e| match e {
            std::fs::TryLockError::WouldBlock => fail("another run is judging into this folder; let it end".into()),
            std::fs::TryLockError::Error(e) => io(e),
        })?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io)?;
        let mut replies = BTreeMap::new();
        let mut notes = Vec::new();
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
        for (number, line) in bytes[..whole].split_inclusive(|b| *b == b'\n').enumerate() {
            match read_line(line) {
                Ok((hash, recorded)) => drop(replies.insert(hash, recorded)),
                Err(fault) => {
                    notes.push(format!("{name}:{}: unusable reply, it will be asked again: {fault}", number + 1))
                }
            }
        }
        if whole < bytes.len() {
            file.set_len(whole as u64).map_err(io)?;
            file.seek(SeekFrom::End(0)).map_err(io)?;
            notes.push(format!(
                "{name}: cut off a torn last line of {} bytes, left by a run that was killed",
                bytes.len() - whole
            ));
        }
        let state = State { file, replies, in_flight: BTreeSet::new() };
        Ok((Self { path: name, state: Mutex::new(state), freed: Condvar::new() }, notes))
    }

    /// What was paid for every stored reply, in the order of their hashes.
    pub(crate) fn billed(&self) -> Vec<Usage> {
        self.lock().replies.values().map(|r| r.billed).collect()
    }

    /// The stored reply, or the right to ask; waits while another thread asks the same.
    pub(crate) fn claim(&self, hash: &str) -> Claim<'_> {
        let mut state = self.lock();
        loop {
            if let Some(recorded) = state.replies.get(hash) {
                return Claim::Known(recorded.clone());
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

/// The right to ask one question; given back when dropped.
pub(crate) struct Slot<'a> {
    store: &'a Store,
    hash: String,
}

impl Slot<'_> {
    /// Keeps a reply: on disk when this returns.
    pub(crate) fn keep(self, question: Question, sent: Sent, reply: Reply) -> Result<Recorded, JudgeError> {
        let fail = |fault: String| JudgeError::Store { path: self.store.path.clone(), fault };
        let recorded = record(&question.request, reply, sent.seconds);
        let (hash, Sent { body: response, request_id, seconds }) = (self.hash.clone(), sent);
        let line = Line { hash, question, response, request_id, seconds };
        let mut bytes = serde_json::to_vec(&line).map_err(|e| fail(e.to_string()))?;
        bytes.push(b'\n');
        let mut state = self.store.lock();
        state
            .file
            .write_all(&bytes)
            .and_then(|()| state.file.sync_data())
            .map_err(|e| fail(format!("a paid reply could not be kept: {e}")))?;
        state.replies.insert(self.hash.clone(), recorded.clone());
        Ok(recorded)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.store.lock().in_flight.remove(&self.hash);
        self.store.freed.notify_all();
    }
}

fn record(request: &ChatRequest, reply: Reply, seconds: f64) -> Recorded {
    let billed = reply.usage.unwrap_or_else(|| Usage::ceiling(request));
    Recorded { reply, seconds, billed }
}

fn read_line(line: &[u8]) -> Result<(String, Recorded), String> {
    let line: Line = serde_json::from_slice(line).map_err(|e| e.to_string())?;
    let reply = Reply::read(&line.response)?;
    Ok((line.hash, record(&line.question.request, reply, line.seconds)))
}
