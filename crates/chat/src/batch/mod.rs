//! Batch APIs: many requests in one submission, answered within a day, at half the price.
//!
//! OpenAI's takes an uploaded file of requests, Anthropic's takes them in the request itself; `openai` and `anthropic` say
//! how, behind [`provider::Provider`]. `run` is the same for both: it cuts what is asked into submissions, waits, tells what
//! came, and asks again for what did not.
//!
//! # What is paid for is neither lost nor paid for twice
//!
//! `journal` notes a submission before it is made, with the names in it, and its number at the server when that is known.
//! It is settled when all its results were told. So a run that ends in between, by whatever cause, goes on where it was:
//!
//! - Before the submission is noted: nothing was sent. A file that was uploaded and made into nothing costs nothing, and
//!   OpenAI removes it by itself.
//! - Noted, without its number: it was made, or not. OpenAI's is looked for by its file, whose number is noted before a batch
//!   can be made of it, and by the token in its metadata. Anthropic's batches carry nothing of ours but the names of their
//!   requests, and these show only in results: so each batch that is newer than the newest one before, of as many requests and
//!   not noted, is waited for, and is ours when the names are. Nothing is submitted again until that is known; where it
//!   cannot be, because a list has no such batch any more or is not to be had, nothing is sent and the message says why.
//!   A list may lag behind, so a batch counts as not made when it is missing twice, [`BatchOptions::settle`] apart.
//! - With its number: it is polled, and its results are told again; whoever keeps replies passes over those it has.
//!
//! The same holds for a submission whose response is lost. A run that is stopped leaves its batches: they are paid, and the
//! next run collects them.

mod anthropic;
mod calls;

mod journal;
mod lookup;
mod openai;
mod payload;
mod provider;
mod results;
mod run;
mod stop;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tunebench_spec::study::{ChatSettings, Dialect};

use self::calls::Calls;
use self::journal::Journal;
use self::provider::Provider;
use self::run::Run;
use self::stop::Stop;
use crate::error::ChatError;
use crate::http::Connection;
use crate::server::{BatchServer, Failure, NamedRequest, RawResponse};

/// How batches are cut and waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchOptions {
    /// Requests in one batch, at most.
    pub max_requests: usize,
    /// Bytes of one batch, at most.
    pub max_bytes: u64,
    /// The wait before the first look at a batch; each further wait is half as long again.
    pub first_poll: Duration,
    /// The longest wait between two looks.
    pub longest_poll: Duration,
    /// How much later a list is asked for again that lacks a batch which may have been made.
    pub settle: Duration,
    /// Batches that one request may be in, before it counts as failed.
    pub rounds: u32,
}

impl BatchOptions {
    /// What the provider of a dialect takes: of OpenAI 50,000 requests in 200 MB, of Anthropic 100,000 in 256 MB; of the
    /// latter a quarter, because it is held in memory while it is sent.
    pub fn of(dialect: Dialect) -> Self {
        let (max_requests, max_bytes) = match dialect {
            Dialect::OpenAi => (50_000, 200_000_000),
            Dialect::Anthropic => (100_000, 64_000_000),
        };
        Self {
            max_requests,
            max_bytes,
            first_poll: Duration::from_secs(5),
            longest_poll: Duration::from_secs(60),
            settle: Duration::from_secs(60),
            rounds: 5,
        }
    }
}

/// How far a batch is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchProgress {
    /// The server's name of it.
    pub batch: String,
    /// In the server's words: `validating`, `in_progress`, …
    pub status: String,
    /// Requests that are answered, or failed.
    pub done: u64,
    /// Requests in it.
    pub total: u64,
}

type Observer = dyn Fn(&BatchProgress) + Send + Sync;

/// A server that answers by its batch API.
pub struct BatchChat {
    connection: Connection,
    options: BatchOptions,
    stop: Stop,
    observer: Option<Box<Observer>>,
    remarks: Mutex<Vec<String>>,
}

impl BatchChat {
    /// Checks the settings and reads the key from the environment; connects to nothing.
    ///
    /// # Errors
    /// As [`crate::Chat::new`].
    pub fn new(settings: &ChatSettings) -> Result<Self, ChatError> {
        let connection = Connection::new(settings)?;
        let options = BatchOptions::of(connection.dialect());
        Ok(Self { connection, options, stop: Stop::default(), observer: None, remarks: Mutex::default() })
    }

    /// With other limits and waits.
    #[must_use]
    pub fn with_options(self, options: BatchOptions) -> Self {
        Self { options, ..self }
    }

    /// Tells `observer` how far each batch is, whenever it was looked at.
    #[must_use]
    pub fn with_observer(self, observer: impl Fn(&BatchProgress) + Send + Sync + 'static) -> Self {
        Self { observer: Some(Box::new(observer)), ..self }
    }

    /// Ends [`BatchServer::answer`] with this reason as soon as it waits or sends, now or later. Batches that were sent stay:
    /// the next run collects them.
    pub fn stop(&self, reason: ChatError) {
        self.stop.stop(reason);
    }

    /// What was passed over, dropped or asked again since this was last called, a sentence each.
    pub fn take_remarks(&self) -> Vec<String> {
        std::mem::take(&mut *self.remarks.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn remark(&self, remark: String) {
        self.remarks.lock().unwrap_or_else(PoisonError::into_inner).push(remark);
    }

    fn observe(&self, progress: &BatchProgress) {
        if let Some(observer) = &self.observer {
            observer(progress);
        }
    }

    fn calls(&self) -> Calls<'_> {
        Calls { connection: &self.connection, stop: &self.stop, first_wait: self.options.first_poll }
    }

    fn provider(&self) -> &'static dyn Provider {
        match self.connection.dialect() {
            Dialect::OpenAi => &openai::OpenAi,
            Dialect::Anthropic => &anthropic::Anthropic,
        }
    }
}

impl BatchServer for BatchChat {
    fn url(&self) -> &str {
        self.connection.base_url()
    }

    fn sent(&self, journal: &Path) -> Result<BTreeSet<String>, ChatError> {
        let journal = Journal::open(journal, self.connection.base_url())?;
        let requests = journal.submissions().flat_map(|submission| submission.plan.requests.iter());
        Ok(requests.map(|request| request.name.clone()).collect())
    }

    fn answer(
        &self,
        requests: &[NamedRequest],
        journal: &Path,
        each: &mut dyn FnMut(&str, Result<RawResponse, Failure>) -> bool,
    ) -> Result<(), ChatError> {
        self.answer_while(requests, journal, each, &mut || true)
    }

    fn answer_while(
        &self,
        requests: &[NamedRequest],
        journal: &Path,
        each: &mut dyn FnMut(&str, Result<RawResponse, Failure>) -> bool,
        goes_on: &mut dyn FnMut() -> bool,
    ) -> Result<(), ChatError> {
        if requests.is_empty() {
            return Ok(());
        }
        Run::open(self, requests, journal, (each, goes_on))?.go()
    }
}
