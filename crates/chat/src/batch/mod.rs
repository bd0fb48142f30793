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
mod create_error;
mod journal;
mod lookup;
mod openai;
mod options;
mod payload;
mod provider;
mod results;
mod run;
mod server;
mod stop;

use std::collections::BTreeSet;
use std::path::Path;

use tunebench_spec::study::ChatSettings;

use self::journal::Journal;
use self::run::Run;
use self::server::Server;
use crate::error::ChatError;
use crate::http::Connection;
use crate::server::{BatchServer, Failure, NamedRequest, RawResponse};

pub use self::options::{BatchOptions, BatchProgress};

/// A server that answers by its batch API.
pub struct BatchChat {
    server: Server,
}

impl BatchChat {
    /// Checks the settings and reads the key from the environment; connects to nothing.
    ///
    /// # Errors
    /// As [`crate::Chat::new`].
    pub fn new(settings: &ChatSettings) -> Result<Self, ChatError> {
        Ok(Self { server: Server::new(Connection::new(settings)?) })
    }

    /// With other limits and waits.
    #[must_use]
    pub fn with_options(mut self, options: BatchOptions) -> Self {
        self.server.options = options;
        self
    }

    /// Tells `observer` how far each batch is, whenever it was looked at.
    #[must_use]
    pub fn with_observer(mut self, observer: impl Fn(&BatchProgress) + Send + Sync + 'static) -> Self {
        self.server.observer = Some(Box::new(observer));
        self
    }

    /// Ends [`BatchServer::answer`] with this reason as soon as it waits or sends, now or later. Batches that were sent stay:
    /// the next run collects them.
    pub fn stop(&self, reason: ChatError) {
        self.server.stop.stop(reason);
    }

    /// What was passed over, dropped or asked again since this was last called, a sentence each.
    pub fn take_remarks(&self) -> Vec<String> {
        self.server.take_remarks()
    }
}

impl BatchServer for BatchChat {
    fn url(&self) -> &str {
        self.server.connection.base_url()
    }

    fn sent(&self, journal: &Path) -> Result<BTreeSet<String>, ChatError> {
        let journal = Journal::open(journal, self.server.connection.base_url())?;
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
        Run::open(&self.server, requests, journal, (each, goes_on))?.go()
    }
}
