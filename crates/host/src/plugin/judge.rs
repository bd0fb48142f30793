//! A judge with its options: one pure step at a time, asked by any thread.

use std::sync::{Mutex, PoisonError};

use tunebench_spec::{ChatReply, Example, JudgeStep};

use crate::adapter::{Reply, Request};
use crate::error::HostError;
use crate::load::Plugin;
use crate::options::Options;
use crate::worker::{Launcher, Worker};

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
        let worker = Mutex::new(Some(launcher.open(plugin, options, &[])?));
        Ok(Self { launcher: launcher.clone(), plugin: plugin.clone(), options: options.clone(), worker })
    }

    /// The plugin's name.
    pub fn name(&self) -> &str {
        &self.plugin.manifest.name
    }

    /// The next step for an answer, given the replies so far.
    ///
    /// # Errors
    /// When the plugin fails or returns something else than a step. Once it has not answered in time it is not asked
    /// again, for each answer would cost the whole of that time.
    pub fn step(&self, item: &Example, answer: &str, replies: &[ChatReply]) -> Result<JudgeStep, HostError> {
        let request =
            Request::Step { item: Box::new(item.clone()), answer: answer.to_owned(), replies: replies.to_vec() };
        let mut slot = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        let mut worker = match slot.take() {
            Some(worker) => worker,
            None => self.launcher.open(&self.plugin, &self.options, &[])?,
        };
        let reply = worker.call("judging", request);
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
