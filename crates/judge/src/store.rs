//! `replies.jsonl`: every paid request with its exact response, one a line, found again by content.
//!
//! A line is synced to disk before its reply is used. Whatever was paid for is kept as it came, also what cannot be read or
//! says nothing: what it says is read anew each time, so a better reader reads old replies for free. A request that is asked again
//! on purpose gets a line of a later attempt; the last attempt counts, and all of them were paid for. A request that got no reply,
//! but may have been billed, gets a line that counts for its cost alone.
//!
//! In memory there is where each reply lies, not what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tunebench_chat::{RawResponse, Reply, Unreadable, Usage};
use tunebench_files::{JsonLines, Span, Syncer};
use tunebench_spec::{ChatRequest, hash};

use crate::budget::{Account, Past};
use crate::error::JudgeError;
use crate::prices::listed_usd;

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
    pub(crate) fn name(&self) -> Result<Name, String> {
        let hash = hash::of_json(self).map_err(|e| format!("unsendable request: {e}"))?;
        Name::of(&hash).ok_or_else(|| format!("`{hash}` is no SHA-256"))
    }
}

/// The name of a request: SHA-256 of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name([u8; 32]);

impl Name {
    /// From 64 hexadecimal digits.
    pub(crate) fn of(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 2 * bytes.len() || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
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
    #[serde(default, skip_serializing_if = "String::is_empty")]
    adapted: String,
    #[serde(default, skip_serializing_if = "is_default")]
    batch: bool,
    /// Responses that were lost on their way before this one; each may have been billed.
    #[serde(default, skip_serializing_if = "is_default")]
    lost: u32,
    /// Whether no response came at all: the line says what the `lost` ones may have cost, and holds no reply.
    #[serde(default, skip_serializing_if = "is_default")]
    unanswered: bool,
    /// How often the same had been asked before.
    #[serde(default, skip_serializing_if = "is_default")]
    attempt: u32,
    /// US dollars, by the prices of the run that paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    paid_usd: Option<f64>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A stored reply.
#[derive(Clone, Debug)]
pub(crate) struct StoredReply {
    /// What it says, or why it cannot be read.
    pub reply: Result<Reply, Unreadable>,
    pub seconds: f64,
    pub adapted: String,
    pub batch: bool,
    /// How often the same had been asked before.
    pub attempt: u32,
    /// Whether it came in this run.
    pub is_fresh: bool,
}

/// What is billed for a reply: what it used or, where it does not say so, the most it can have used, and as much for each response
/// that was lost before it came.
pub(crate) fn billed(request: &ChatRequest, reply: &Result<Reply, Unreadable>, lost: u32) -> Usage {
    let (own, lost) = (usage(reply).unwrap_or_else(|| most(request, 1)), most(request, lost));
    Usage { prompt: own.prompt.saturating_add(lost.prompt), completion: own.completion.saturating_add(lost.completion) }
}

/// The most that so many responses to a request can have used.
pub(crate) fn most(request: &ChatRequest, responses: u32) -> Usage {
    let Usage { prompt, completion } = Usage::ceiling(request);
    let times = |most: u64| most.saturating_mul(u64::from(responses));
    Usage { prompt: times(prompt), completion: times(completion) }
}

/// What a reply says that it used.
pub(crate) fn usage(reply: &Result<Reply, Unreadable>) -> Option<Usage> {
    match reply {
        Ok(Reply { usage, .. }) | Err(Unreadable::Empty { usage, .. }) => *usage,
        Err(Unreadable::NotAReply(_)) => None,
    }
}

/// Which stored replies will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accept {
    /// All: nobody can be asked.
    Any,
    /// What the model said, be it nothing; where an error or a page came instead, the request is asked again.
    Replies,
    /// Of the model's words those of this attempt and later ones, and those of this run.
    Since(u32),
}

impl Accept {
    fn takes(self, stored: &StoredReply) -> bool {
        let is_reply = !matches!(stored.reply, Err(Unreadable::NotAReply(_)));
        stored.is_fresh
            || match self {
                Self::Any => true,
                Self::Replies => is_reply,
                Self::Since(attempt) => is_reply && stored.attempt >= attempt,
            }
    }
}

pub(crate) struct Store {
    state: Mutex<State>,
    freed: Condvar,
    disk: Mutex<Disk>,
}

struct State {
    lines: JsonLines<Line>,
    index: BTreeMap<Name, Entry>,
    /// Requests being asked: a second asker waits for the first's reply.
    in_flight: BTreeSet<Name>,
    /// Where the last line ends.
    end: u64,
}

/// Where the last attempt of a request lies.
#[derive(Clone, Copy)]
struct Entry {
    span: Span,
    attempt: u32,
    is_fresh: bool,
}

/// How far the lines are on the disk.
struct Disk {
    syncer: Syncer,
    end: u64,
}

/// The answer to "who asks this?"
pub(crate) enum Claim<'a> {
    Known(StoredReply),
    Yours(Slot<'a>),
}

/// A store, opened.
pub(crate) struct Opened {
    pub store: Store,
    /// What all its replies took, all attempts of them.
    pub past: BTreeMap<Account, Past>,
    /// Lines that could not be used, and a torn last line, all that a kill can leave, which is cut off.
    pub notes: Vec<String>,
}

impl Store {
    /// Opens or creates the file for this process alone.
    pub(crate) fn open(path: &Path) -> Result<Opened, JudgeError> {
        let file = path.display().to_string();
        let (mut index, mut past, mut notes) = (BTreeMap::new(), BTreeMap::<_, Past>::new(), Vec::new());
        let (mut number, mut end) = (0, 0);
        let salvaged = JsonLines::<Line>::salvage(path, |span, line| {
            (number, end) = (number + 1, span.end());
            let named = line.map_err(|e| e.to_string()).and_then(|line| match Name::of(&line.hash) {
                Some(name) => Ok((name, line)),
                None => Err("its hash is no SHA-256".to_owned()),
            });
            match named {
                Ok((name, line)) => {
                    let attempt = line.attempt;
                    let is_latest = |known: &Entry| known.attempt <= attempt;
                    if !line.unanswered && index.get(&name).is_none_or(is_latest) {
                        index.insert(name, Entry { span, attempt, is_fresh: false });
                    }
                    let (account, billed, recorded_usd) = account(line);
                    past.entry(account).or_default().add(billed, recorded_usd);
                }
                Err(reason) => {
                    notes.push(format!("{file}:{number}: unusable reply, it will be asked again: {reason}"));
                }
            }
        });
        let (lines, cut_bytes) = salvaged.map_err(not_opened)?;
        if cut_bytes > 0 {
            notes.push(format!("{file}: cut off a torn last line of {cut_bytes} bytes, left by a run that was killed"));
        }
        let syncer = lines.syncer().map_err(not_opened)?;
        let state = State { lines, index, in_flight: BTreeSet::new(), end };
        let store = Self { state: Mutex::new(state), freed: Condvar::new(), disk: Mutex::new(Disk { syncer, end }) };
        Ok(Opened { store, past, notes })
    }

    /// The stored reply, or the right to ask; waits while another thread asks the same.
    pub(crate) fn claim(&self, name: Name, accept: Accept) -> Result<Claim<'_>, JudgeError> {
        let mut state = self.lock();
        loop {
            if let Some(stored) = state.read(name)?.filter(|stored| accept.takes(stored)) {
                return Ok(Claim::Known(stored));
            }
            if state.in_flight.insert(name) {
                return Ok(Claim::Yours(Slot { store: self, name }));
            }
            state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// As [`Store::claim`], but nothing is to be asked.
    pub(crate) fn find(&self, name: Name, accept: Accept) -> Result<Option<StoredReply>, JudgeError> {
        Ok(self.lock().read(name)?.filter(|stored| accept.takes(stored)))
    }

    /// Adds a line, which is on the disk when this returns.
    fn append(&self, mut state: MutexGuard<'_, State>, line: &Line) -> Result<Span, JudgeError> {
        let span = state.lines.append(line).map_err(not_kept)?;
        state.end = span.end();
        drop(state);
        self.sync(span.end())?;
        Ok(span)
    }

    /// Makes all lines up to `end` outlast the machine. What others appended meanwhile goes to the disk with it.
    fn sync(&self, end: u64) -> Result<(), JudgeError> {
        let mut disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        if disk.end >= end {
            return Ok(());
        }
        let end = self.lock().end;
        disk.syncer.sync().map_err(not_kept)?;
        disk.end = end;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn read(&mut self, name: Name) -> Result<Option<StoredReply>, JudgeError> {
        let Some(entry) = self.index.get(&name).copied() else { return Ok(None) };
        let line = self.lines.read(entry.span).map_err(|error| {
            let path = error.path().display().to_string();
            JudgeError::Store { path, reason: format!("a kept reply cannot be read again: {}", why(&error)) }
        })?;
        let Line { key, response, seconds, adapted, batch, .. } = line;
        let (Entry { attempt, is_fresh, .. }, reply) = (entry, Reply::read_for(&response, &key.request));
        Ok(Some(StoredReply { reply, seconds, adapted, batch, attempt, is_fresh }))
    }
}

/// The right to send one request; given back when dropped.
pub(crate) struct Slot<'a> {
    store: &'a Store,
    name: Name,
}

impl Slot<'_> {
    /// Keeps a reply: on disk when this returns.
    pub(crate) fn keep(
        self,
        key: RequestKey,
        response: RawResponse,
        reply: Result<Reply, Unreadable>,
        paid_usd: Option<f64>,
    ) -> Result<StoredReply, JudgeError> {
        let RawResponse { body, request_id, seconds, adapted, batch, lost } = response;
        let state = self.store.lock();
        let attempt = state.index.get(&self.name).map_or(0, |known| known.attempt.saturating_add(1));
        let hash = self.name.to_string();
        let adapted_again = adapted.clone();
        let (response, unanswered) = (body, false);
        let line =
            Line { hash, key, response, request_id, seconds, adapted, batch, lost, unanswered, attempt, paid_usd };
        let span = self.store.append(state, &line)?;
        self.store.lock().index.insert(self.name, Entry { span, attempt, is_fresh: true });
        Ok(StoredReply { reply, seconds, adapted: adapted_again, batch, attempt, is_fresh: true })
    }

    /// Keeps what a request may have cost that was sent by itself, and whose responses were all lost. It can be asked again.
    pub(crate) fn keep_lost(self, key: RequestKey, lost: u32, paid_usd: Option<f64>) -> Result<(), JudgeError> {
        let (hash, none) = (self.name.to_string(), String::new);
        let line = Line {
            hash,
            key,
            response: none(),
            request_id: none(),
            seconds: 0.0,
            adapted: none(),
            batch: false,
            lost,
            unanswered: true,
            attempt: 0,
            paid_usd,
        };
        self.store.append(self.store.lock(), &line).map(drop)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.store.lock().in_flight.remove(&self.name);
        self.store.freed.notify_all();
    }
}

/// Whose reply a line is, what it used, and what it cost, if that is known.
fn account(line: Line) -> (Account, Usage, Option<f64>) {
    let request = &line.key.request;
    let billed = match line.unanswered {
        true => most(request, line.lost),
        false => billed(request, &Reply::read_for(&line.response, request), line.lost),
    };
    let account = Account { url: line.key.base_url, model: line.key.request.model, batch: line.batch };
    let listed = || listed_usd(&account.url, &account.model, billed, account.batch);
    let recorded_usd = line.paid_usd.or_else(listed);
    (account, billed, recorded_usd)
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
