//! The results of a batch that has ended: told, or asked again.

use std::collections::BTreeMap;

use super::Run;
use crate::batch::calls::{Lines, is_passing};
use crate::batch::journal::Submission;
use crate::batch::provider::{Line, Outcome};
use crate::batch::results::{Broken, Tally};
use crate::error::ChatError;
use crate::reply::ErrorBody;
use crate::server::{Failure, RawResponse};

/// Times that a batch may have ended with fewer replies than it says, before that is taken for true.
const MOST_INCOMPLETE: u32 = 5;

impl Run<'_> {
    /// Tells the results of a batch that has ended. Whether to go on, and whether it is over.
    pub(super) fn collect(
        &mut self,
        submission: &Submission,
        batch: &str,
        paths: &[String],
        replies: u64,
    ) -> Result<(bool, bool), ChatError> {
        let adapted: BTreeMap<&str, &str> =
            submission.plan.requests.iter().map(|sent| (sent.name.as_str(), sent.adapted.as_str())).collect();
        let calls = self.calls();
        let (tally, again) = (Tally::default(), BTreeMap::new());
        let mut collecting =
            Collecting { token: &submission.plan.token, run: self, adapted, file: 0, tally, again, goes_on: true };
        for (file, path) in paths.iter().enumerate() {
            collecting.file = file;
            if let Err(error) = calls.lines(path, &mut collecting) {
                return Err(self.not_there(submission, error));
            }
            if !collecting.goes_on {
                return Ok((false, false));
            }
        }
        let Collecting { tally, mut again, .. } = collecting;
        let missing = |run: &Self| {
            let names = submission.plan.requests.iter().map(|sent| sent.name.clone());
            names.filter(|name| !tally.has(name) && run.wanted.contains_key(name.as_str())).collect::<Vec<_>>()
        };
        let (found, said) = (tally.replies(), replies);
        if found < said {
            let count = self.incomplete.entry(batch.to_owned()).or_default();
            *count += 1;
            if *count <= MOST_INCOMPLETE {
                return Ok((true, false));
            }
            if found + tally.garbage() < said {
                return Err(self.refused(format!(
                    "batch {batch} has {found} replies of {said}; they are paid for, so nothing is asked again. Run again \
                     later, to look once more"
                )));
            }
            if !self.tell_broken(submission, batch, &tally, said - found) {
                return Ok((false, false));
            }
        }
        again.extend(missing(self).into_iter().map(|name| (name, "the batch has no result of it".to_owned())));
        self.remark_on(batch, &tally, &again);
        self.journal.settled(&submission.plan.token)?;
        self.is_full = false;
        Ok((self.ask_again(again), true))
    }

    /// Tells of the requests whose results cannot be read, `owed` of which are paid for: what came is kept where it is known whose
    /// it is. Whether to go on.
    fn tell_broken(&mut self, submission: &Submission, batch: &str, tally: &Tally, owed: u64) -> bool {
        let missing: Vec<_> = submission.plan.requests.iter().filter(|sent| !tally.has(&sent.name)).collect();
        let (mut texts, mut nameless): (BTreeMap<&str, &str>, Vec<&str>) = Default::default();
        for Broken { name, text } in tally.broken() {
            match name.as_deref() {
                Some(name) => drop(texts.entry(name).or_insert(text)),
                None => nameless.push(text),
            }
        }
        let mut others = missing.iter().filter(|sent| !texts.contains_key(sent.name.as_str()));
        if let (Some(sent), None, [text]) = (others.next(), others.next(), nameless.as_slice()) {
            texts.insert(&sent.name, text);
        }
        let named = missing.iter().filter(|sent| texts.contains_key(sent.name.as_str())).count() as u64;
        let mut unclear = owed.saturating_sub(named);
        for sent in missing {
            let body = match texts.get(sent.name.as_str()) {
                Some(text) => Some(*text),
                // One of these lines is its reply, but which one cannot be told.
                None if unclear > 0 => {
                    unclear -= 1;
                    Some("")
                }
                None => None,
            };
            let (adapted, body) = (sent.adapted.clone(), body.map(str::to_owned));
            let paid = |body| RawResponse { body, adapted, batch: true, ..RawResponse::default() };
            let reason = || Failure::Request(format!("batch {batch} has no result of it that can be read"));
            if self.wanted.contains_key(sent.name.as_str()) && !self.tell(&sent.name, body.map(paid).ok_or_else(reason))
            {
                return false;
            }
        }
        true
    }

    fn remark_on(&self, batch: &str, tally: &Tally, again: &BTreeMap<String, String>) {
        let passed_over = tally.passed_over();
        if !passed_over.is_empty() {
            self.server.remark(format!("batch {batch}: results passed over: {passed_over}"));
        }
        if let Some(reason) = again.values().next() {
            let n = again.len();
            self.server.remark(format!("batch {batch}: {n} requests go into another one, the first because: {reason}"));
        }
    }

    /// Takes a result: tells it, or notes the request in `again`, with the reason. Whether to go on.
    fn take(
        &mut self,
        token: &str,
        Line { name, outcome }: Line,
        adapted: &str,
        again: &mut BTreeMap<String, String>,
    ) -> bool {
        let Some(request) = self.wanted.get(name.as_str()).map(|wanted| wanted.request) else { return true };
        let reason = match outcome {
            Outcome::Answered { body, request_id } => {
                let adapted = adapted.to_owned();
                let response = RawResponse { body, request_id, adapted, batch: true, ..RawResponse::default() };
                return self.tell(&name, Ok(response));
            }
            Outcome::NotBegun(why) => why,
            Outcome::Refused { status, body } => {
                let error = ErrorBody::read(&body);
                let reason = match status {
                    0 => error.message.clone(),
                    _ => format!("HTTP {status}: {}", error.message),
                };
                let mut may_help = || matches!(status, 0 | 400 | 422) && self.learn(token, request, &error);
                if !(is_passing(status) || may_help()) {
                    return self.tell(&name, Err(Failure::Request(reason)));
                }
                reason
            }
        };
        again.insert(name, reason);
        true
    }

    /// Leaves requests to the next submission, or tells that they were in too many.
    fn ask_again(&mut self, again: BTreeMap<String, String>) -> bool {
        let most = self.server.options.rounds;
        for (name, reason) in again {
            let Some(wanted) = self.wanted.get_mut(name.as_str()) else { continue };
            wanted.rounds += 1;
            if wanted.rounds >= most {
                let failure = Failure::Server(format!("no reply from {most} batches; of the last: {reason}"));
                if !self.tell(&name, Err(failure)) {
                    return false;
                }
            }
        }
        true
    }
}

/// Results on their way to the caller.
struct Collecting<'r, 'a> {
    run: &'r mut Run<'a>,
    token: &'r str,
    /// The names of the batch, each with what was changed of its request.
    adapted: BTreeMap<&'r str, &'r str>,
    file: usize,
    tally: Tally,
    /// What must be asked again, and why.
    again: BTreeMap<String, String>,
    goes_on: bool,
}

impl Lines for Collecting<'_, '_> {
    fn begin(&mut self) {
        self.tally.begin(self.file);
    }

    fn line(&mut self, line: &str) -> bool {
        let adapted = &self.adapted;
        let Some(line) = self.tally.take(self.run.provider, line, |name| adapted.contains_key(name)) else {
            return true;
        };
        let adapted = adapted.get(line.name.as_str()).copied().unwrap_or_default();
        self.goes_on = self.run.take(self.token, line, adapted, &mut self.again);
        self.goes_on
    }
}
