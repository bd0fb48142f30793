//! The run: every task to a judgement, by whoever answers, the results in the order of the tasks.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;

use tunebench_chat::{BatchServer, ChatServer};
use tunebench_spec::study::ChatSettings;
use tunebench_spec::{Judgement, JudgementStatus};

use crate::budget::{Budget, Limits};
use crate::drift;
use crate::error::JudgeError;
use crate::prices::{self, Prices};
use crate::question::Judge;
use crate::reasons;
use crate::session::{Counted, Session};
use crate::store::{Accept, Opened, Store};
use crate::task::Task;
use crate::walk::Concluded;
use crate::{batches, each};

/// Who answers what a judge asks.
#[derive(Clone, Copy)]
pub enum Server<'a> {
    /// Nobody: for judges that ask nothing.
    None,
    /// The store alone, which knows the replies of the server at this address.
    Replay { url: &'a str },
    /// One request at a time, from as many threads as it says.
    Each(&'a dyn ChatServer),
    /// All that is to be asked at once, wave after wave; `journal` is the folder in which it keeps what it sent.
    Batches { server: &'a dyn BatchServer, journal: &'a Path },
}

impl<'a> Server<'a> {
    fn url(self) -> &'a str {
        match self {
            Self::None => "",
            Self::Replay { url } => url,
            Self::Each(server) => server.url(),
            Self::Batches { server, .. } => server.url(),
        }
    }
}

/// What is asked again of what an earlier run asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Again {
    /// What got no reply.
    #[default]
    Failed,
    /// Also what got a reply that gave no score: unread, empty, filtered, cut off.
    Unscored,
}

/// How a run goes about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub prices: Prices,
    /// US dollars that all replies in the store may cost together, those of other judges included.
    pub budget_usd: Option<f64>,
    /// US dollars that this run may cost.
    pub max_cost_usd: Option<f64>,
    /// [`Outcome::failed`] says so when a larger share of the judgements failed.
    pub max_failed_share: f64,
    pub again: Again,
}

impl Settings {
    /// As the study says.
    ///
    /// # Errors
    /// When a price, the budget or the share is none.
    pub fn of(chat: &ChatSettings) -> Result<Self, JudgeError> {
        prices::check_amount("budget_usd", chat.budget_usd)?;
        if !(0.0..=1.0).contains(&chat.max_failed_share) {
            let reason = "must be from 0 to 1".to_owned();
            return Err(tunebench_chat::ChatError::Settings { field: "max_failed_share", reason }.into());
        }
        Ok(Self {
            prices: Prices::of(chat)?,
            budget_usd: chat.budget_usd,
            max_cost_usd: None,
            max_failed_share: chat.max_failed_share,
            again: Again::default(),
        })
    }
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
    /// Of these, the ones to requests that an earlier run had a reply to.
    pub asked_again: u64,
    /// Replies that earlier runs paid for.
    pub replayed: u64,
    /// Replies paid for a minute, since the first was asked for; none before.
    pub paid_per_minute: Option<f64>,
    /// US dollars, at most, for all replies in the store, earlier runs' included: what does not say what it used, and what was
    /// lost on its way, counts as the most it can have cost. None without prices.
    pub spent_usd: Option<f64>,
    /// US dollars for the replies of this run, as far as their price is known.
    pub spent_in_run_usd: f64,
}

/// What a run made.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// One per task, in the order of the tasks.
    pub judgements: Vec<Judgement>,
    /// Why no more requests were sent, if so; the judgements that needed one are `failed`.
    pub stopped: Option<JudgeError>,
    /// [`JudgeError::TooManyFailed`] when all failed, or more than the settings allow; where `stopped` says why, that says more.
    pub failed: Option<JudgeError>,
    /// The state at the end.
    pub progress: Progress,
    /// What is worth knowing, to be shown: faults of the store, batches that were cut, what is assumed of prices, a model that
    /// changed.
    pub notes: Vec<String>,
}

impl Outcome {
    /// The share of the judgements that failed: 0 of none.
    pub fn failed_share(&self) -> f64 {
        share(self.progress.failed, self.progress.total)
    }

    /// The share of the judgements in which the judge could not tell: 0 of none.
    pub fn unscored_share(&self) -> f64 {
        share(self.progress.unscored, self.progress.total)
    }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Judges every task, asking what the judge asks and `replies` (a file, made when missing) does not answer yet.
///
/// `progress` is called after each judgement and, of batches, after each reply, on this thread; when it breaks, nothing more is
/// asked. With the same stored replies the outcome has the same judgements, byte for byte, whoever answered: a judgement's
/// `seconds` are those its replies once took, its `cost_usd` what they cost. Equal requests for different answers are paid once, so
/// costs of judgements can add up to more than was spent.
///
/// # Errors
/// When nothing can begin: a store that cannot be opened. What ends a run later is in [`Outcome::stopped`].
pub fn judge(
    judge: &dyn Judge,
    tasks: &[Task<'_>],
    server: Server<'_>,
    settings: &Settings,
    replies: &Path,
    progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
) -> Result<Outcome, JudgeError> {
    let Opened { store, past, mut notes } = Store::open(replies)?;
    let limits = Limits { total: settings.budget_usd, run: settings.max_cost_usd };
    let budget = Budget::new(server.url(), &settings.prices, limits, past);
    let asked = if let Server::Each(server) = server { Some(server) } else { None };
    let is_asked = !matches!(server, Server::None | Server::Replay { .. });
    let accept = if is_asked { Accept::Replies } else { Accept::Any };
    let renews = is_asked && settings.again == Again::Unscored;
    let session = Session::new(judge, server.url(), store, budget, renews, accept, asked);

    let mut run = Run { session: &session, slots: vec![None; tasks.len()], state: Progress::default(), progress };
    run.state.total = tasks.len();
    match server {
        Server::None => each::run(&session, tasks, "there is no chat server", &mut |i, made| run.judged(i, made)),
        Server::Replay { .. } => each::run(&session, tasks, "replay", &mut |i, made| run.judged(i, made)),
        Server::Each(_) => each::run(&session, tasks, "", &mut |i, made| run.judged(i, made)),
        Server::Batches { server, journal } => {
            let run = std::cell::RefCell::new(&mut run);
            let mut judged = |i, made| run.borrow_mut().judged(i, made);
            let mut advance = || run.borrow_mut().tell();
            batches::run(&session, tasks, (server, journal), &mut judged, &mut advance, &mut notes);
        }
    }
    run.count();
    let Run { slots, state, .. } = run;
    let judgements: Vec<Judgement> = slots.into_iter().flatten().collect();
    if matches!(server, Server::Batches { .. }) {
        let models: BTreeSet<&str> = judgements.iter().map(|j| j.asked_model.as_str()).collect();
        notes.extend(models.into_iter().filter_map(|model| settings.prices.assumption(model)));
    }
    notes.extend(drift::notes(&judgements));
    let failed = reasons::too_many(&judgements, settings.max_failed_share);
    Ok(Outcome { judgements, stopped: session.stopped(), failed, progress: state, notes })
}

/// What is made so far.
struct Run<'r, 'a> {
    session: &'r Session<'a>,
    slots: Vec<Option<Judgement>>,
    state: Progress,
    progress: &'r mut dyn FnMut(&Progress) -> ControlFlow<()>,
}

impl Run<'_, '_> {
    fn judged(&mut self, index: usize, Concluded { judgement, replayed, .. }: Concluded) {
        self.state.done += 1;
        self.state.replayed += replayed;
        match judgement.status {
            JudgementStatus::Scored => self.state.scored += 1,
            JudgementStatus::Unscored => self.state.unscored += 1,
            JudgementStatus::Failed => self.state.failed += 1,
        }
        if let Some(slot) = self.slots.get_mut(index) {
            *slot = Some(judgement);
        }
        self.tell();
    }

    fn tell(&mut self) {
        self.count();
        if (self.progress)(&self.state).is_break() {
            self.session.stop(JudgeError::Interrupted);
        }
    }

    fn count(&mut self) {
        let Counted { paid, asked_again, paid_per_minute, spent_usd, spent_in_run_usd } = self.session.counted();
        self.state = Progress { paid, asked_again, paid_per_minute, spent_usd, spent_in_run_usd, ..self.state };
    }
}
