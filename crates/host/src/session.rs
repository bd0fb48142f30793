//! A plugin with its options at work, in whatever thread or process: it is asked one thing at a time and answers.

use std::path::PathBuf;

use abi_stable::std_types::ROption;
use serde::{Deserialize, Serialize};
use tunebench_plugin_api::abi::PluginRoot_Ref;
use tunebench_spec::plan::RecordedPlan;
use tunebench_spec::{ChatReply, Decoder, Example, JudgeStep};

use crate::dataset::{Dataset, Placed};
use crate::judge::Judge;
use crate::tuner::Tuner;
use crate::{HostError, Options, Plugin, options_json};

/// What a session may be asked.
#[derive(Serialize, Deserialize)]
pub(crate) enum Request {
    /// A tuner: everything it does to a model of this shape.
    Record(Box<Decoder>),
    /// A dataset: at most so many rows.
    Rows(u64),
    Seek(String),
    /// A judge: the next step for an answer.
    Step {
        item: Box<Example>,
        answer: String,
        replies: Vec<ChatReply>,
    },
}

/// What it answers.
#[derive(Serialize, Deserialize)]
pub(crate) enum Reply {
    RecordedPlan(Box<RecordedPlan>),
    Rows(Vec<Placed>),
    Sought,
    Step(JudgeStep),
}

impl Reply {
    /// The error of an answer to something else.
    pub fn unexpected(&self, plugin: &str) -> HostError {
        let what = match self {
            Self::RecordedPlan(_) => "a recording",
            Self::Rows(_) => "rows",
            Self::Sought => "a place",
            Self::Step(_) => "a judge's step",
        };
        HostError::invalid(plugin, "answering", format!("{what}, which was not asked for"))
    }
}

/// A plugin at work in this thread.
pub(crate) struct Session {
    name: String,
    root: PluginRoot_Ref,
    worker: Worker,
}

enum Worker {
    Tuner(Tuner),
    Dataset(Dataset),
    Judge(Judge),
}

impl Session {
    pub fn open(plugin: &Plugin, options: &Options, files: &[PathBuf]) -> Result<Self, HostError> {
        let name = plugin.manifest.name.as_str();
        let Some(root) = plugin.root else {
            return Err(HostError::invalid(name, "opening", "it was only looked at, not loaded"));
        };
        let options = options_json(options);
        let worker = match plugin.manifest.kind.as_str() {
            "tuner" => Worker::Tuner(Tuner::new(name, root, &options)?),
            "dataset" => Worker::Dataset(Dataset::open(name, root, files, &options)?),
            _ => Worker::Judge(Judge::new(name, root, &options)?),
        };
        Ok(Self { name: name.to_owned(), root, worker })
    }

    pub fn answer(&mut self, request: Request) -> Result<Reply, HostError> {
        match (&mut self.worker, request) {
            (Worker::Tuner(tuner), Request::Record(shape)) => Ok(Reply::RecordedPlan(Box::new(tuner.record(&shape)?))),
            (Worker::Dataset(dataset), Request::Rows(most)) => Ok(Reply::Rows(dataset.rows(most)?)),
            (Worker::Dataset(dataset), Request::Seek(position)) => {
                dataset.seek(&position)?;
                Ok(Reply::Sought)
            }
            (Worker::Judge(judge), Request::Step { item, answer, replies }) => {
                Ok(Reply::Step(judge.step(&item, &answer, &replies)?))
            }
            _ => Err(HostError::invalid(&self.name, "answering", "asked for what its kind does not do")),
        }
    }

    /// Lets the plugin's value go.
    ///
    /// # Errors
    /// [`HostError::Panicked`] when the plugin panicked over that.
    pub fn close(self) -> Result<(), HostError> {
        let Self { name, root, worker } = self;
        drop(worker);
        match root.take_fault()() {
            ROption::RNone => Ok(()),
            ROption::RSome(text) => {
                let reason = String::from_utf8_lossy(text.as_bytes()).into_owned();
                Err(HostError::Panicked { plugin: name, doing: "being let go".into(), reason })
            }
        }
    }
}
