//! One call of a batch server: submits what waits, waits for what is out, tells what came, asks again for what did not.

mod collect;
mod invalid;
mod submit;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use tunebench_spec::ChatRequest;

use super::calls::Calls;
use super::journal::{Journal, Submission};
use super::options::BatchProgress;
use super::provider::{End, Found, Provider};
use super::server::Server;
use crate::error::ChatError;
use crate::reply::ErrorBody;
use crate::server::{Failure, NamedRequest, RawResponse};
use crate::wire::{self, Adaptations};

/// How often it is asked whether to go on.
const BETWEEN_QUESTIONS: Duration = Duration::from_secs(1);
/// Polls in a row that may fail: hours, at the longest interval and with what each tries by itself.
const MOST_FAILED_POLLS: u32 = 20;

type Each<'a> = &'a mut dyn FnMut(&str, Result<RawResponse, Failure>) -> bool;

pub(super) struct Run<'a> {
    server: &'a Server,
    provider: &'static dyn Provider,
    journal: Journal,
    each: Each<'a>,
    /// Asked while there is nothing to tell.
    goes_on: &'a mut dyn FnMut() -> bool,
    /// In the order of the caller, each name once.
    requests: Vec<&'a NamedRequest>,
    /// What was not told yet, with the batches it was in.
    wanted: BTreeMap<&'a str, Wanted<'a>>,
    /// How each model is asked now.
    learnt: BTreeMap<&'a str, Adaptations>,
    /// How the requests of a submission of this process were asked.
    asked: BTreeMap<String, Adaptations>,
    max_requests: usize,
    /// The server takes no further batch until another one ends.
    is_full: bool,
    failed_polls: u32,
    /// Submissions that were not begun, or of which nothing is known.
    failed_submissions: u32,
    incomplete: BTreeMap<String, u32>,
}

struct Wanted<'a> {
    request: &'a ChatRequest,
    rounds: u32,
}

/// Whether to go on; not, when the caller says so.
type GoesOn = Result<bool, ChatError>;

impl<'a> Run<'a> {
    pub(super) fn open(
        server: &'a Server,
        requests: &'a [NamedRequest],
        journal: &Path,
        (each, goes_on): (Each<'a>, &'a mut dyn FnMut() -> bool),
    ) -> Result<Self, ChatError> {
        let journal = Journal::open(journal, server.connection.base_url())?;
        let mut wanted = BTreeMap::new();
        let mut first = Vec::new();
        for named in requests {
            let is_new = wanted.insert(named.name.as_str(), Wanted { request: &named.request, rounds: 0 }).is_none();
            first.extend(is_new.then_some(named));
        }
        Ok(Self {
            server,
            provider: server.provider(),
            journal,
            each,
            goes_on,
            requests: first,
            wanted,
            learnt: BTreeMap::new(),
            asked: BTreeMap::new(),
            max_requests: server.options.max_requests,
            is_full: false,
            failed_polls: 0,
            failed_submissions: 0,
            incomplete: BTreeMap::new(),
        })
    }

    pub(super) fn go(mut self) -> Result<(), ChatError> {
        let options = self.server.options;
        let mut wait = options.first_poll;
        loop {
            if !self.look_up()? || !self.submit()? || self.wanted.is_empty() {
                return Ok(());
            }
            let mut ended = false;
            for submission in self.open_submissions() {
                let Some(batch) = submission.batch.clone() else { continue };
                let Some(end) = self.poll(&submission, &batch)? else { continue };
                let (goes_on, is_over) = match end {
                    End::Results { paths, replies } => self.collect(&submission, &batch, &paths, replies)?,
                    End::Invalid(faults) => (self.drop_invalid(&submission, &batch, &faults)?, true),
                };
                if !goes_on {
                    return Ok(());
                }
                ended |= is_over;
            }
            if self.wanted.is_empty() {
                return Ok(());
            }
            if ended {
                wait = options.first_poll;
                continue;
            }
            if !self.pause(wait)? {
                return Ok(());
            }
            wait = (wait + wait / 2).min(options.longest_poll);
        }
    }

    fn calls(&self) -> Calls<'a> {
        self.server.calls()
    }

    /// Waits, and asks meanwhile whether to go on.
    fn pause(&mut self, time: Duration) -> GoesOn {
        let mut left = time;
        loop {
            if !(self.goes_on)() {
                return Ok(false);
            }
            let piece = left.min(BETWEEN_QUESTIONS);
            self.server.stop.pause(piece)?;
            left -= piece;
            if left.is_zero() {
                return Ok(true);
            }
        }
    }

    fn refused(&self, reason: String) -> ChatError {
        ChatError::Refused { url: self.server.connection.base_url().to_owned(), reason }
    }

    /// Submissions that hold something wanted.
    fn open_submissions(&self) -> Vec<Submission> {
        let holds = |submission: &&Submission| {
            submission.plan.requests.iter().any(|request| self.wanted.contains_key(request.name.as_str()))
        };
        self.journal.submissions().filter(holds).cloned().collect()
    }

    /// Looks for the batches of submissions that were planned, and of which it is not known whether they were made.
    fn look_up(&mut self) -> GoesOn {
        for submission in self.open_submissions().iter().filter(|submission| submission.batch.is_none()) {
            let token = &submission.plan.token;
            let mut found = self.find(submission)?;
            if found == Found::NotMade {
                // A list may lag behind.
                if !self.pause(self.server.options.settle)? {
                    return Ok(false);
                }
                found = self.find(submission)?;
            }
            match found {
                Found::Made(batch) => {
                    self.journal.submitted(token, &batch)?;
                    self.server.remark(format!("batch {batch} was found again"));
                }
                Found::NotMade | Found::Never => self.journal.dropped(token, "it was not made")?,
                Found::Perhaps(batch) => {
                    let (status, total) =
                        ("perhaps ours; its end will tell".into(), submission.plan.requests.len() as u64);
                    self.server.observe(&BatchProgress { batch, status, done: 0, total });
                }
            }
        }
        Ok(true)
    }

    fn find(&self, submission: &Submission) -> Result<Found, ChatError> {
        self.provider.look_up(&self.calls(), submission, &self.journal).map_err(|error| match error {
            ChatError::Refused { url, reason } => {
                let n = submission.plan.requests.len();
                let reason = format!(
                    "a run ended while it submitted a batch of {n} requests, and whether the server has it cannot be seen: \
                     {reason}. Nothing is sent, as it could be paid for twice. If its list of batches shows none of that time, \
                     remove the line of {} with {} and run again",
                    self.journal.file().display(),
                    submission.plan.token,
                );
                ChatError::Refused { url, reason }
            }
            other => other,
        })
    }

    /// What to do about a batch that the server does not give.
    fn not_there(&self, submission: &Submission, error: ChatError) -> ChatError {
        let ChatError::Refused { url, reason } = error else { return error };
        let (journal, token) = (self.journal.file(), &submission.plan.token);
        let batch = submission.batch.as_deref().unwrap_or_default();
        let reason = format!(
            "batch {batch}, which was sent by an earlier run or this one, cannot be had: {reason}. Is the key of the same \
             account? Should the batch be gone for good, remove \
             the lines with {token} from {}, and its requests are asked, and paid for, again",
            journal.display(),
        );
        ChatError::Refused { url, reason }
    }

    /// How a batch ended; none, while it has not.
    fn poll(&mut self, submission: &Submission, batch: &str) -> Result<Option<End>, ChatError> {
        let state = match self.provider.state(&self.calls(), batch) {
            Ok(state) => state,
            Err(error @ ChatError::Unreachable { .. }) => {
                self.failed_polls += 1;
                return if self.failed_polls > MOST_FAILED_POLLS { Err(error) } else { Ok(None) };
            }
            Err(error) => return Err(self.not_there(submission, error)),
        };
        self.failed_polls = 0;
        let progress =
            BatchProgress { batch: batch.to_owned(), status: state.status, done: state.done, total: state.total };
        self.server.observe(&progress);
        Ok(state.end)
    }

    /// Whether a refusal names something that can be left out.
    fn learn(&mut self, token: &str, request: &'a ChatRequest, error: &ErrorBody) -> bool {
        let asked = self.asked.get(token).cloned().unwrap_or_else(|| self.known(&request.model));
        let sent = wire::body(self.server.connection.dialect(), request, &asked);
        self.learnt.entry(request.model.as_str()).or_insert(asked).learn(error, &sent)
    }

    fn asked_now(&self, model: &str) -> Adaptations {
        self.learnt.get(model).cloned().unwrap_or_else(|| self.known(model))
    }

    fn known(&self, model: &str) -> Adaptations {
        Adaptations::new(self.server.connection.dialect(), model, self.server.connection.base_url())
    }

    /// Tells what came of a request, once. Whether to go on.
    fn tell(&mut self, name: &str, result: Result<RawResponse, Failure>) -> bool {
        self.wanted.remove(name);
        (self.each)(name, result)
    }
}
