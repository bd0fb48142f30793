//! The run: every answer through the judge's steps, several at once, the results in order.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;

use tunebench_chat::{Chat, ChatError, ChatServer, Failure, Reply, Usage};
use tunebench_spec::study::ChatSettings;
use tunebench_spec::{ChatReply, Example, Generation, JudgeStep, Judgement, JudgementStatus};

use crate::JudgeError;
use crate::budget::{self, Budget, Prices};
use crate::store::{Claim, RequestKey, Store, StoredReply};

/// Requests for one answer and repeat; a judge that wants more is taken to be going in circles.
const MAX_REQUESTS: usize = 8;
/// Requests in a row, all attempts used up, after which the server counts as down.
const MAX_FAILURES_IN_A_ROW: u32 = 10;

/// A judge: its next step given an item, an answer and the replies so far. Pure: the same input gives the same step.
pub trait Judge: Sync {
    /// # Errors
    /// Why the judge itself failed; the judgement then is `failed` and made again in a later run.
    fn step(&self, item: &Example, answer: &str, replies: &[ChatReply]) -> Result<JudgeStep, String>;

    /// The name that its judgements carry.
    fn name(&self) -> &str;
}

/// One judgement to make.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    pub item: &'a Example,
    pub generation: &'a Generation,
    /// From 0.
    pub repeat: u32,
}

/// Every generation with its item, `repeats` times, in the order of the generations.
///
/// # Errors
/// [`JudgeError::UnknownItem`] when a generation's item is not among `items`.
pub fn tasks<'a>(
    generations: &'a [Generation],
    items: &'a [Example],
    repeats: u32,
) -> Result<Vec<Task<'a>>, JudgeError> {
    let by_id: BTreeMap<&str, &Example> = items.iter().map(|item| (item.id.as_str(), item)).collect();
    let mut tasks = Vec::with_capacity(generations.len() * repeats as usize);
    for generation in generations {
        let Some(item) = by_id.get(generation.item.as_str()) else {
            let (arm, item) = (generation.arm.clone(), generation.item.clone());
            return Err(JudgeError::UnknownItem { arm, item });
        };
        tasks.extend((0..repeats).map(|repeat| Task { item, generation, repeat }));
    }
    Ok(tasks)
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    pub done: usize,
    pub total: usize,
    pub scored: usize,
    pub unscored: usize,
    pub failed: usize,
    /// Replies paid for in this run.
    pub paid: u64,
    /// Replies taken from the store.
    pub replayed: u64,
    /// US dollars for all replies in the store, earlier runs' included; none without prices.
    pub spent_usd: Option<f64>,
}

/// What a run made.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// One per task, in the order of the tasks.
    pub judgements: Vec<Judgement>,
    /// Why no more requests were sent, if so; the judgements that needed one are `failed`.
    pub stopped: Option<JudgeError>,
    /// The state at the end.
    pub progress: Progress,
    /// Faults of the store found at the start, to be shown.
    pub notes: Vec<String>,
}

/// Judges every task, sending what the judge asks and `replies` (a file, made when missing) does not answer yet.
///
/// `progress` is called after each judgement, on this thread. With the same stored replies the outcome has the same
/// judgements, byte for byte: a judgement's `seconds` are those its replies once took, its `cost_usd` what they cost.
/// Equal requests for different answers are paid once, so costs of judgements can add up to more than was spent.
///
/// # Errors
/// When nothing can begin: settings that cannot work, or a store that cannot be opened. What ends a run later is in
/// [`Outcome::stopped`].
pub fn judge(
    judge: &dyn Judge,
    tasks: &[Task<'_>],
    settings: &ChatSettings,
    replies: &Path,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Outcome, JudgeError> {
    let prices = budget::prices(settings)?;
    let chat = Chat::new(settings)?;
    let (store, notes) = Store::open(replies)?;
    let spent = prices.map_or(0.0, |p| store.billed().into_iter().map(|usage| p.cost(usage)).sum());
    let shared = SharedState {
        chat,
        store,
        budget: Budget::new(prices, settings.budget_usd, spent),
        prices,
        failures_in_a_row: AtomicU32::new(0),
        paid: AtomicU64::new(0),
        replayed: AtomicU64::new(0),
    };
    let next = AtomicUsize::new(0);
    let mut slots: Vec<Option<Judgement>> = vec![None; tasks.len()];
    let mut state = Progress { total: tasks.len(), ..shared.progress(Progress::default()) };
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for _ in 0..(settings.concurrency as usize).min(tasks.len()) {
            let (sender, next, shared) = (sender.clone(), &next, &shared);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(task) = tasks.get(index) else { return };
                    if sender.send((index, shared.judgement(judge, task))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender); // so that the loop ends with the last thread
        for (index, judgement) in receiver {
            state.done += 1;
            match judgement.status {
                JudgementStatus::Scored => state.scored += 1,
                JudgementStatus::Unscored => state.unscored += 1,
                JudgementStatus::Failed => state.failed += 1,
            }
            slots[index] = Some(judgement);
            state = shared.progress(state);
            progress(&state);
        }
    });
    let judgements = slots.into_iter().flatten().collect();
    Ok(Outcome { judgements, stopped: shared.chat.stopped().map(JudgeError::from), progress: state, notes })
}

/// What the threads of a run share.
struct SharedState {
    chat: Chat,
    store: Store,
    budget: Budget,
    prices: Option<Prices>,
    failures_in_a_row: AtomicU32,
    paid: AtomicU64,
    replayed: AtomicU64,
}

impl SharedState {
    fn progress(&self, state: Progress) -> Progress {
        Progress {
            paid: self.paid.load(Ordering::Relaxed),
            replayed: self.replayed.load(Ordering::Relaxed),
            spent_usd: self.budget.spent(),
            ..state
        }
    }

    fn judgement(&self, judge: &dyn Judge, task: &Task<'_>) -> Judgement {
        let mut judgement = Judgement {
            cost_usd: self.prices.map(|_| 0.0),
            ..Judgement::begin(task.generation, judge.name(), task.repeat)
        };
        let (status, reason) = match self.conclude(judge, task, &mut judgement) {
            Ok(conclusion) => conclusion,
            Err(reason) => (JudgementStatus::Failed, reason),
        };
        Judgement { status, reason, ..judgement }
    }

    /// Steps until the judge has its score. Fills in what the replies tell, and the score when there is one.
    fn conclude(
        &self,
        judge: &dyn Judge,
        task: &Task<'_>,
        judgement: &mut Judgement,
    ) -> Result<(JudgementStatus, String), String> {
        let mut replies = Vec::new();
        loop {
            let step = judge
                .step(task.item, &task.generation.answer, &replies)
                .map_err(|reason| format!("the judge itself failed: {reason}"))?;
            let request = match step {
                JudgeStep::Ask { request } => request,
                JudgeStep::Unscored { reason } => return Ok((JudgementStatus::Unscored, reason)),
                JudgeStep::Score { score, reason } if (0.0..=1.0).contains(&score) => {
                    judgement.score = Some(score);
                    return Ok((JudgementStatus::Scored, reason));
                }
                JudgeStep::Score { score, reason } => {
                    let reason = format!("the judge gave {score}, which is not from 0 to 1: {reason}");
                    return Ok((JudgementStatus::Unscored, reason));
                }
            };
            if replies.len() == MAX_REQUESTS {
                let reason = format!("the judge has no score after {MAX_REQUESTS} replies");
                return Ok((JudgementStatus::Unscored, reason));
            }
            let base_url = self.chat.url().to_owned();
            let key = RequestKey { base_url, repeat: task.repeat, ask: replies.len() as u32, request };
            judgement.request_hash = key.hash()?;
            let stored = self.reply(&judgement.request_hash, key)?;
            judgement.seconds += stored.seconds;
            judgement.cost_usd = match (self.prices, stored.reply.usage, judgement.cost_usd) {
                (Some(prices), Some(usage), Some(cost)) => Some(cost + prices.cost(usage)),
                _ => None, // a reply without usage: the sum is unknown
            };
            judgement.model = stored.reply.model;
            judgement.fingerprint = stored.reply.fingerprint;
            judgement.reply.clone_from(&stored.reply.chat.content);
            replies.push(stored.reply.chat);
        }
    }

    /// The reply to a request, from the store or the server.
    fn reply(&self, hash: &str, key: RequestKey) -> Result<StoredReply, String> {
        let slot = match self.store.claim(hash) {
            Claim::Known(stored) => {
                self.replayed.fetch_add(1, Ordering::Relaxed);
                return Ok(stored);
            }
            Claim::Yours(slot) => slot,
        };
        if let Some(reason) = self.chat.stopped() {
            return Err(not_asked(&reason));
        }
        let ceiling = Usage::ceiling(&key.request);
        let reservation = self.budget.reserve(ceiling).map_err(|reason| self.stop(reason))?;
        let response = self.chat.send(&key.request, hash).map_err(|failure| match failure {
            Failure::Request(reason) => reason,
            Failure::Server(reason) => self.count_failure(reason),
            Failure::Stopped(reason) => not_asked(&reason),
        })?;
        self.failures_in_a_row.store(0, Ordering::Relaxed);
        let reply = match Reply::read(&response.body) {
            Ok(reply) => reply,
            Err(reason) => {
                reservation.pay(ceiling); // not kept, but perhaps billed: this run's budget takes it for spent
                return Err(reason.to_string());
            }
        };
        let stored = slot.keep(key, response, reply).map_err(|reason| self.stop(reason))?;
        reservation.pay(stored.billed);
        self.paid.fetch_add(1, Ordering::Relaxed);
        Ok(stored)
    }

    fn count_failure(&self, reason: String) -> String {
        let failures = 1 + self.failures_in_a_row.fetch_add(1, Ordering::Relaxed);
        if failures >= MAX_FAILURES_IN_A_ROW {
            let url = self.chat.url().to_owned();
            self.chat.stop(ChatError::Unreachable { url, failures, reason: reason.clone() });
        }
        reason
    }

    fn stop(&self, error: JudgeError) -> String {
        let reason = not_asked(&error);
        self.chat.stop(match error {
            JudgeError::Chat(error) => error,
            error => ChatError::Ended(error.to_string()),
        });
        reason
    }
}

fn not_asked(reason: &dyn std::error::Error) -> String {
    format!("not asked: {reason}")
}
