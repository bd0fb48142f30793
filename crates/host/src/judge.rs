//! A loaded judge: one pure step at a time.

use std::sync::Mutex;

use abi_stable::std_types::RStr;
use serde_json::json;
use tunebench_plugin_api::abi::{JudgeBox, PluginRoot_Ref};
use tunebench_spec::{ChatReply, Example, JudgeStep};

use crate::place::{Place, Runner};
use crate::session::{Reply, Request};
use crate::{HostError, Options, Plugin};

/// A judge with its options.
pub struct JudgePlugin {
    runner: Runner,
    plugin: Plugin,
    options: Options,
    state: Mutex<State>,
}

/// Where a judge is at work.
enum State {
    Running(Place),
    /// After a fault, until the next answer: one that broke it costs the others nothing.
    Broken,
    /// Not asked again: each answer would cost the whole of its time.
    Stuck(HostError),
}

impl JudgePlugin {
    pub(crate) fn open(runner: &Runner, plugin: &Plugin, options: &Options) -> Result<Self, HostError> {
        let state = Mutex::new(State::Running(runner.open(plugin, options, &[])?));
        Ok(Self { runner: runner.clone(), plugin: plugin.clone(), options: options.clone(), state })
    }

    /// The plugin's name.
    pub fn name(&self) -> &str {
        &self.plugin.manifest.name
    }

    /// The next step for an answer, given the replies so far.
    ///
    /// # Errors
    /// When the plugin fails or returns something else than a step.
    pub fn step(&self, item: &Example, answer: &str, replies: &[ChatReply]) -> Result<JudgeStep, HostError> {
        let request =
            Request::Step { item: Box::new(item.clone()), answer: answer.to_owned(), replies: replies.to_vec() };
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let State::Broken = *state {
            *state = State::Running(self.runner.open(&self.plugin, &self.options, &[])?);
        }
        let reply = match &mut *state {
            State::Stuck(error) => Err(error.clone()),
            State::Running(place) => place.call("judging", request),
            State::Broken => Err(HostError::invalid(self.name(), "judging", "it was not opened again")),
        };
        match reply {
            Ok(Reply::Step(step)) => Ok(step),
            Ok(other) => Err(other.unexpected(self.name())),
            Err(error) => {
                match &error {
                    HostError::Stuck { .. } => *state = State::Stuck(error.clone()),
                    error if error.is_fault() => *state = State::Broken,
                    _ => {}
                }
                Err(error)
            }
        }
    }
}

/// A judge where it runs.
pub(crate) struct Judge {
    name: String,
    inner: JudgeBox,
}

impl Judge {
    pub fn new(name: &str, root: PluginRoot_Ref, options: &str) -> Result<Self, HostError> {
        let inner = root.new_judge()(RStr::from(options)).into_result();
        let inner = inner.map_err(|e| HostError::from_abi(name, "taking its options", &e))?;
        Ok(Self { name: name.to_owned(), inner })
    }

    /// As [`JudgePlugin::step`].
    pub fn step(&self, item: &Example, answer: &str, replies: &[ChatReply]) -> Result<JudgeStep, HostError> {
        let doing = "judging";
        let input = json!({ "item": item, "answer": answer, "replies": replies }).to_string();
        let json = self.inner.step(RStr::from(input.as_str())).into_result();
        let json = json.map_err(|e| HostError::from_abi(&self.name, doing, &e))?;
        serde_json::from_slice(json.as_bytes()).map_err(|e| HostError::invalid(&self.name, doing, e))
    }
}
