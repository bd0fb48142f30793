//! Judging: a model's answers through one judge.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};

use tunebench_chat::server_name;
use tunebench_host::{HostError, JudgePlugin};
use tunebench_judge::{
    Again, Draw, Judge, Outcome, Pairs, Question, Server, Settings, Subjects, Task, judge, pairs, tasks,
};
use tunebench_spec::{ChatReply, Example, Generation, JudgeStep, Judgement, JudgementStatus};

use crate::error::StudyError;
use crate::generations::SKIPPED;
use crate::judge_servers::{JudgeServers, OpenServer};
use crate::judges::OpenJudge;
use crate::observer::{Event, Observer, Stop};
use crate::run_folder::RunFolder;

/// What came of judging.
#[derive(Default)]
pub struct Judgements {
    pub judgements: Vec<Judgement>,
    /// Why not all answers could be judged; the others have the status failed, and a later run judges them.
    pub stopped: Option<String>,
}

impl Judgements {
    /// Takes in what another judge said.
    pub fn extend(&mut self, other: Self) {
        self.judgements.extend(other.judgements);
        self.stopped = match (self.stopped.take(), other.stopped) {
            (Some(first), Some(second)) => Some(format!("{first}; {second}")),
            (first, second) => first.or(second),
        };
    }
}

/// US dollars that may be spent by all that share it.
#[derive(Clone, Debug)]
pub struct Allowance(Rc<Cell<f64>>);

impl Allowance {
    /// # Errors
    /// When it is no amount of money.
    pub fn new(usd: f64) -> Result<Self, StudyError> {
        match usd.is_finite() && usd >= 0.0 {
            true => Ok(Self(Rc::new(Cell::new(usd)))),
            false => Err(StudyError::Invalid(format!("{usd} is no amount of US dollars that may be spent"))),
        }
    }

    fn left(&self) -> f64 {
        self.0.get()
    }

    fn spend(&self, usd: f64) {
        self.0.set((self.0.get() - usd).max(0.0));
    }
}

/// How judging differs from the usual.
#[derive(Clone, Debug, Default)]
pub struct JudgingOptions {
    /// Which answers are asked about again.
    pub again: Again,
    /// Nobody is asked: what was once replied is read again.
    pub is_replay: bool,
    /// What may be spent, over all models and judges.
    pub max_cost: Option<Allowance>,
}

/// A model's answers, and those that they stand against.
#[derive(Clone, Copy)]
pub struct Answers<'a> {
    pub generations: &'a [Generation],
    /// Of each rival its answers; none for a judge that marks each answer by itself.
    pub rivals: &'a [&'a [Generation]],
}

/// One judge at work.
pub struct Judging<'a> {
    pub judge: &'a OpenJudge,
    pub items: &'a [Example],
    pub servers: &'a JudgeServers,
    /// Draws the shares of the items.
    pub seed: u64,
    pub options: JudgingOptions,
}

impl Judging<'_> {
    /// Judges the answers of one or more models. Replies that were paid for before, kept in the run folder, are read again, never paid twice.
    ///
    /// # Errors
    /// When nothing can begin: a key is missing, the file of replies cannot be read, an answer's item is unknown.
    pub fn judge(
        &self,
        answers: &[Answers<'_>],
        folder: &RunFolder,
        observer: &mut dyn Observer,
    ) -> Result<Judgements, StudyError> {
        let (chat, settings) = (self.judge.chat(), &self.judge.settings);
        let draw = Draw {
            seed: self.seed,
            share: settings.share.unwrap_or(1.0),
            repeats: settings.repeats,
            repeat_share: settings.repeat_share.unwrap_or(1.0),
        };
        // A judge that asks nobody needs neither key nor model, and neither does a replay. Where a server cannot be used, what
        // it once replied is used all the same.
        let asks = self.judge.first_request(self.items).is_some();
        let needs_server = asks && (!self.options.is_replay || self.servers.is_local(&chat));
        let (server, unusable) = match needs_server.then(|| self.servers.open(&chat)) {
            Some(Ok(server)) => (Some(server), None),
            Some(Err(error)) if self.servers.is_local(&chat) => return Err(error),
            Some(Err(error)) => (None, Some(error.to_string())),
            None => (None, None),
        };
        let url = server.as_ref().map_or_else(|| server_name(&chat.base_url), |server| server.url().to_owned());
        let subjects = Subjects::new(self.items, |item| self.judge.hash(item, &url));
        let mut all = Vec::new();
        for of_model in answers {
            all.extend(match self.judge.compares() {
                false => tasks(of_model.generations, &subjects, &draw)?,
                true => self.pairs(of_model, &subjects, &draw, observer)?,
            });
        }
        let (tasks, skipped): (Vec<Task<'_>>, Vec<Task<'_>>) =
            all.into_iter().partition(|task| not_asked(task).is_none());
        let name = self.judge.name();
        observer.on_event(&Event::JudgingStarted { judge: name, judgements: tasks.len() });
        let steps = PluginSteps { plugin: &self.judge.plugin, name, errors: Mutex::default() };
        let JudgingOptions { again, is_replay, max_cost } = self.options.clone();
        let max_cost_usd = max_cost.as_ref().map(Allowance::left);
        let settings = Settings { again, max_cost_usd, ..Settings::of(&chat)? };
        let replies: PathBuf = folder.replies();
        let mut is_stopped = false;
        let mut judge = |server: Server<'_>| {
            judge(&steps, &tasks, server, &settings, &replies, &mut |progress| {
                observer.on_event(&Event::Judged(progress));
                is_stopped = observer.stop() != Stop::No;
                if is_stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
        };
        let journal = folder.batches();
        let outcome = judge(match &server {
            Some(server) if !is_replay => server.server(&journal),
            _ if asks => Server::Replay { url: &url },
            _ => Server::None,
        })?;
        if let Some(max_cost) = &max_cost {
            max_cost.spend(outcome.progress.spent_in_run_usd);
        }
        let broken = steps.broken();
        if is_stopped {
            return Err(StudyError::Stopped);
        }
        let Outcome { mut judgements, stopped, failed, notes, .. } = outcome;
        let remarks = server.as_ref().map(OpenServer::take_remarks).unwrap_or_default();
        notes.iter().chain(&remarks).for_each(|note| observer.on_event(&Event::JudgingNote(note)));
        judgements.extend(skipped.iter().map(|task| unscored(task, name)));
        observer.on_event(&Event::JudgingFinished { judge: name, judgements: &judgements });
        let has_failed = judgements.iter().any(|row| row.status == JudgementStatus::Failed);
        // A plugin that broke says more than how many judgements it cost.
        let stopped = unusable.filter(|_| has_failed).or(stopped.map(|error| error.to_string()));
        let stopped = stopped.or(broken).or(failed.map(|error| error.to_string()));
        Ok(Judgements { judgements, stopped })
    }

    /// The answers beside their rivals'.
    fn pairs<'t>(
        &self,
        answers: &Answers<'t>,
        subjects: &'t Subjects<'_>,
        draw: &Draw,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Task<'t>>, StudyError> {
        let Pairs { tasks, without_rival } = pairs(answers.generations, answers.rivals, subjects, draw)?;
        if without_rival > 0 {
            let arm = answers.generations.first().map_or("", |row| row.arm.as_str());
            let note = format!("{without_rival} answers of {arm} have no rival's answer beside them");
            observer.on_event(&Event::JudgingNote(&note));
        }
        Ok(tasks)
    }
}

/// The answer, the task's own or its rival's, for which a model could not be asked.
fn not_asked<'t>(task: &Task<'t>) -> Option<&'t Generation> {
    let rival = task.rival.as_ref().map(|rival| rival.generation);
    std::iter::once(task.generation).chain(rival).find(|generation| generation.finish == SKIPPED)
}

/// The judgement on an item that a model could not be asked: no score, and why.
fn unscored(task: &Task<'_>, judge: &str) -> Judgement {
    let reason = not_asked(task).map_or_else(String::new, |generation| generation.prompt.clone());
    Judgement { status: JudgementStatus::Unscored, reason, ..task.begin(judge) }
}

/// A judge plugin as the judge crate sees it.
struct PluginSteps<'a> {
    plugin: &'a JudgePlugin,
    name: &'a str,
    errors: Mutex<Vec<HostError>>,
}

impl PluginSteps<'_> {
    /// What to say of a plugin that broke over some answers.
    fn broken(&self) -> Option<String> {
        let errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        let first = errors.first()?;
        Some(match errors.len() {
            1 => first.to_string(),
            n => format!("{first} (and so {n} times)"),
        })
    }
}

impl Judge for PluginSteps<'_> {
    fn step(&self, question: &Question<'_>, replies: &[ChatReply]) -> Result<JudgeStep, String> {
        let Question { item, answer, rival, .. } = *question;
        let step = match rival {
            None => self.plugin.step(item, answer, replies),
            Some(rival) => self.plugin.compare(item, [answer, rival], replies),
        };
        step.map_err(|error| {
            let text = error.to_string();
            if error.is_fault() {
                self.errors.lock().unwrap_or_else(PoisonError::into_inner).push(error);
            }
            text
        })
    }

    fn name(&self) -> &str {
        self.name
    }
}
