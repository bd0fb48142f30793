//! What the threads of a run share: the judge, the store, the budget, and why nothing more is asked.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use tunebench_chat::{ChatError, ChatServer, Failure, RawResponse, Reply};

use crate::budget::{Budget, Reservation};
use crate::error::JudgeError;
use crate::question::Judge;
use crate::store::{self, Accept, Name, RequestKey, Slot, Store, StoredReply};
use crate::task::Task;
use crate::walk::{Concluded, End, Next, Walk};

/// A run, as its threads see it.
pub(crate) struct Session<'a> {
    judge: &'a dyn Judge,
    url: &'a str,
    pub(crate) store: Store,
    pub(crate) budget: Budget<'a>,
    /// Whether what could not be scored is asked again.
    renews: bool,
    /// Which replies of earlier runs will do.
    accept: Accept,
    /// Who is asked one request at a time, if anybody.
    pub(crate) server: Option<&'a dyn ChatServer>,
    stopped: Mutex<Option<JudgeError>>,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    paid: AtomicU64,
    asked_again: AtomicU64,
    /// Of the first reply's request.
    first_asked: OnceLock<Instant>,
}

/// Replies, so far.
pub(crate) struct Counted {
    pub paid: u64,
    pub asked_again: u64,
    pub paid_per_minute: Option<f64>,
    pub spent_usd: Option<f64>,
    pub spent_in_run_usd: f64,
}

impl<'a> Session<'a> {
    pub(crate) fn new(
        judge: &'a dyn Judge,
        url: &'a str,
        store: Store,
        budget: Budget<'a>,
        renews: bool,
        accept: Accept,
        server: Option<&'a dyn ChatServer>,
    ) -> Self {
        let (stopped, counts) = (Mutex::default(), Counts::default());
        Self { judge, url, store, budget, renews, accept, server, stopped, counts }
    }

    pub(crate) fn counted(&self) -> Counted {
        let paid = self.counts.paid.load(Ordering::Relaxed);
        let minutes = self.counts.first_asked.get().map(|start| start.elapsed().as_secs_f64() / 60.0);
        Counted {
            paid,
            asked_again: self.counts.asked_again.load(Ordering::Relaxed),
            paid_per_minute: minutes.filter(|minutes| *minutes > 0.0).map(|minutes| paid as f64 / minutes),
            spent_usd: self.budget.spent(),
            spent_in_run_usd: self.budget.spent_in_run(),
        }
    }

    /// Makes a judgement; `answer` answers what the judge asks, or says why not.
    pub(crate) fn walk(
        &self,
        task: &Task<'_>,
        mut answer: impl FnMut(Name, RequestKey) -> Result<StoredReply, String>,
    ) -> Concluded {
        let mut walk = self.begin(task);
        while let Next::Ask(name, key) = walk.next(self.judge) {
            let model = key.request.model.clone();
            match answer(name, *key) {
                Ok(stored) => self.give(&mut walk, &model, stored),
                Err(reason) => walk.fail(reason),
            }
        }
        walk.conclude()
    }

    /// Which stored replies will do for a judgement, that is to be made anew, or not. Where a run was killed while it asked again,
    /// some replies are of a later attempt than others, and are not asked for once more.
    pub(crate) fn accept(&self, outdated: Option<&Concluded>) -> Accept {
        outdated.map_or(self.accept, |old| Accept::Since(old.attempt.saturating_add(1)))
    }

    /// Makes a judgement of what is known already: of stored replies, and of `failed` requests. Else says what is to be asked
    /// next.
    pub(crate) fn look(&self, task: &Task<'_>, accept: Accept, failed: &BTreeMap<Name, String>) -> Look {
        let mut walk = self.begin(task);
        while let Next::Ask(name, key) = walk.next(self.judge) {
            match (self.store.find(name, accept), failed.get(&name)) {
                (Ok(Some(stored)), _) => self.give(&mut walk, &key.request.model, stored),
                (Ok(None), Some(reason)) => walk.fail(reason.clone()),
                (Ok(None), None) => return Look::Asks(name, key),
                (Err(error), _) => walk.fail(self.stop(error)),
            }
        }
        Look::Over(Box::new(walk.conclude()))
    }

    /// What stored replies say of a task whose requests are to be asked again; none when they are not.
    pub(crate) fn outdated(&self, task: &Task<'_>) -> Option<Concluded> {
        if !self.renews {
            return None;
        }
        match self.look(task, self.accept, &BTreeMap::new()) {
            Look::Over(old) if old.end == End::Unusable => Some(*old),
            // A judge that asks nobody says the same again.
            Look::Over(old) if old.end == End::Unscored && !old.judgement.request_hash.is_empty() => Some(*old),
            _ => None,
        }
    }

    fn begin<'t>(&'t self, task: &'t Task<'t>) -> Walk<'t> {
        Walk::begin(task, self.judge.name(), self.url, self.budget.nothing())
    }

    fn give(&self, walk: &mut Walk<'_>, model: &str, stored: StoredReply) {
        let cost = self.budget.cost(model, store::usage(&stored.reply), stored.batch);
        walk.take(stored, cost);
    }

    /// Keeps a response that was paid for.
    pub(crate) fn keep(
        &self,
        slot: Slot<'_>,
        key: RequestKey,
        response: RawResponse,
        reservation: Reservation<'_>,
    ) -> Result<StoredReply, String> {
        let reply = Reply::read_for(&response.body, &key.request);
        let paid_usd = reservation.pay(store::billed(&key.request, &reply, response.lost));
        let stored = slot.keep(key, response, reply, paid_usd).map_err(|error| self.stop(error))?;
        self.counts.paid.fetch_add(1, Ordering::Relaxed);
        self.counts.asked_again.fetch_add(u64::from(stored.attempt > 0), Ordering::Relaxed);
        Ok(stored)
    }

    /// Counts what a request may have cost that got no reply, and says why it got none.
    pub(crate) fn fail(
        &self,
        slot: Slot<'_>,
        key: RequestKey,
        failure: Failure,
        reservation: Reservation<'_>,
    ) -> String {
        let lost = failure.lost();
        if lost > 0 {
            let paid_usd = reservation.pay(store::most(&key.request, lost));
            if let Err(error) = slot.keep_lost(key, lost, paid_usd) {
                self.stop(error);
            }
        }
        failure_text(failure)
    }

    /// Something is about to be asked: the clock of the rate begins.
    pub(crate) fn asks(&self) {
        self.counts.first_asked.get_or_init(Instant::now);
    }

    /// Asks nothing more, and wakes who waits. The first reason stays; the one given is that of a judgement's failure.
    pub(crate) fn stop(&self, error: JudgeError) -> String {
        let reason = not_asked(&error);
        if let Some(server) = self.server {
            server.stop(match &error {
                JudgeError::Chat(error) => error.clone(),
                error => ChatError::Ended(error.to_string()),
            });
        }
        self.lock().get_or_insert(error);
        reason
    }

    /// Why nothing more is asked, if so.
    pub(crate) fn stopped(&self) -> Option<JudgeError> {
        let own = self.lock().clone();
        own.or_else(|| self.server?.stopped().map(JudgeError::from))
    }

    fn lock(&self) -> MutexGuard<'_, Option<JudgeError>> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What [`Session::look`] found.
pub(crate) enum Look {
    Over(Box<Concluded>),
    Asks(Name, Box<RequestKey>),
}

/// Why a request got no reply, with what may have been billed.
pub(crate) fn failure_text(failure: Failure) -> String {
    let bill = failure.bill();
    failure.reason().unwrap_or_else(|error| not_asked(&error) + &bill)
}

pub(crate) fn not_asked(reason: &dyn std::fmt::Display) -> String {
    format!("not asked: {reason}")
}
