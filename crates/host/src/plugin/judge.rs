//! A judge with its options: one pure step at a time, asked by any thread.

use std::sync::{Mutex, PoisonError};

use tunebench_spec::{ChatReply, Example, JudgeStep};

use crate::adapter::{Reply, Request, SourceFiles};
use crate::error::HostError;
use crate::load::Plugin;
use crate::options::Options;
use crate::worker::{Launcher, Worker};

/// What it is doing, in errors.
const OPERATION: &str = "judging";

/// A judge with its options.
pub struct JudgePlugin {
    launcher: Launcher,
    plugin: Plugin,
    options: Options,
    /// None after a fault, until the next answer is judged: one that broke the judge costs the others nothing.
    worker: Mutex<Option<Worker>>,
}

impl JudgePlugin {
    pub(crate) fn open(launcher: &Launcher, plugin: &Plugin, options: &Options) -> Result<Self, HostError> {
        let worker = Mutex::new(Some(launcher.open(plugin, options, &SourceFiles::default())?));
        Ok(Self { launcher: launcher.clone(), plugin: plugin.clone(), options: options.clone(), worker })
    }

    /// The plugin's name.
    pub fn name(&self) -> &str {
        &self.plugin.manifest.name
    }

    /// Whether it compares two answers, by [`JudgePlugin::compare`], where others score one, by [`JudgePlugin::step`].
    pub fn compares(&self) -> bool {
        self.plugin.manifest.compares
    }

    /// The next step for an answer, given the replies so far.
    ///
    /// # Errors
    /// When the judge compares, or the plugin fails or returns something else than a step. Once it has not answered in
    /// time it is not asked again, for each answer would cost the whole of that time.
    pub fn step(&self, item: &Example, answer: &str, replies: &[ChatReply]) -> Result<JudgeStep, HostError> {
        if self.compares() {
            return Err(self.refusal("it compares two answers, and one was given; name another judge, or two arms"));
        }
        self.ask(Request::Step { item: Box::new(item.clone()), answer: answer.to_owned(), replies: replies.to_vec() })
    }

    /// The next step of comparing two answers to an item, given the replies so far; the score says how much better the
    /// first is: 1 it wins, 0.5 a tie, 0 it loses.
    ///
    /// # Errors
    /// When the judge scores one answer at a time; otherwise as [`JudgePlugin::step`].
    pub fn compare(&self, item: &Example, answers: [&str; 2], replies: &[ChatReply]) -> Result<JudgeStep, HostError> {
        if !self.compares() {
            return Err(
                self.refusal("it scores one answer at a time, and two were given to compare; name another judge")
            );
        }
        let answers = answers.map(str::to_owned);
        self.ask(Request::Compare { item: Box::new(item.clone()), answers, replies: replies.to_vec() })
    }

    fn refusal(&self, reason: &str) -> HostError {
        let (plugin, operation) = (self.name().to_owned(), OPERATION.to_owned());
        HostError::Refused { plugin, operation, reason: reason.to_owned() }
    }

    fn ask(&self, request: Request) -> Result<JudgeStep, HostError> {
        let mut slot = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        let mut worker = match slot.take() {
            Some(worker) => worker,
            None => self.launcher.open(&self.plugin, &self.options, &SourceFiles::default())?,
        };
        let reply = worker.call(OPERATION, request);
        if !reply.as_ref().is_err_and(breaks) {
            *slot = Some(worker);
        }
        match reply? {
            Reply::Step(step) => Ok(step),
            other => Err(other.unexpected(self.name())),
        }
    }
}

/// Whether another worker may do better. One that has not answered in time says so of each further request, at once.
fn breaks(error: &HostError) -> bool {
    error.is_fault() && !matches!(error, HostError::Timeout { .. })
}
