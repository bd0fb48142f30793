//! A plugin with its options at work, in whatever thread or process: one request at a time, one reply to each.

use abi_stable::std_types::ROption;
use serde::{Deserialize, Serialize};
use tunebench_plugin_api::abi::PluginRoot_Ref;
use tunebench_spec::plan::RecordedPlan;
use tunebench_spec::{ChatReply, Decoder, Example, JudgeStep};

use super::dataset::{Dataset, PositionedRow};
use super::files::Files;
use super::judge::Judge;
use super::tuner::Tuner;
use crate::error::HostError;
use crate::load::Plugin;
use crate::options::{self, Options};

/// What a session may be asked.
#[derive(Serialize, Deserialize)]
pub(crate) enum Request {
    /// A tuner: everything it does to a model of this shape.
    Record(Box<Decoder>),
    /// A dataset: at most so many rows.
    Rows(u64),
    Seek(String),
    /// A dataset: what a user should know of the rows read so far.
    Remarks,
    /// A judge: the next step for an answer.
    Step {
        item: Box<Example>,
        answer: String,
        replies: Vec<ChatReply>,
    },
    /// A judge that compares: the next step for two answers.
    Compare {
        item: Box<Example>,
        answers: [String; 2],
        replies: Vec<ChatReply>,
    },
}

/// What it replies.
#[derive(Serialize, Deserialize)]
pub(crate) enum Reply {
    RecordedPlan(Box<RecordedPlan>),
    Rows(Vec<PositionedRow>),
    Sought,
    Remarks(Vec<String>),
    Step(JudgeStep),
}

impl Reply {
    /// The error of a reply to something else.
    pub fn unexpected(&self, plugin: &str) -> HostError {
        let what = match self {
            Self::RecordedPlan(_) => "a recording",
            Self::Rows(_) => "rows",
            Self::Sought => "a position",
            Self::Remarks(_) => "remarks",
            Self::Step(_) => "a judge's step",
        };
        HostError::invalid(plugin, "answering", format!("{what}, which was not asked for"))
    }
}

/// What a worker does last.
pub(crate) const DROPPING: &str = "being dropped";

/// A plugin at work in this thread.
pub(crate) struct Session {
    name: String,
    root: PluginRoot_Ref,
    adapter: Adapter,
}

enum Adapter {
    Tuner(Tuner),
    Dataset(Dataset),
    Judge(Judge),
}

impl Session {
    pub fn open(plugin: &Plugin, options: &Options, files: Files) -> Result<Self, HostError> {
        let name = plugin.manifest.name.as_str();
        let Some(root) = plugin.root else {
            return Err(HostError::invalid(name, "opening", "it was only looked at, not loaded"));
        };
        let options = options::to_json(options);
        let adapter = match plugin.manifest.kind.as_str() {
            "tuner" => Adapter::Tuner(Tuner::new(name, root, &options)?),
            "dataset" => Adapter::Dataset(Dataset::open(name, root, files, &options)?),
            _ => Adapter::Judge(Judge::new(name, root, &options)?),
        };
        Ok(Self { name: name.to_owned(), root, adapter })
    }

    pub fn reply(&mut self, request: Request) -> Result<Reply, HostError> {
        match (&mut self.adapter, request) {
            (Adapter::Tuner(tuner), Request::Record(shape)) => Ok(Reply::RecordedPlan(Box::new(tuner.record(&shape)?))),
            (Adapter::Dataset(dataset), Request::Rows(most)) => Ok(Reply::Rows(dataset.rows(most)?)),
            (Adapter::Dataset(dataset), Request::Seek(position)) => {
                dataset.seek(&position)?;
                Ok(Reply::Sought)
            }
            (Adapter::Dataset(dataset), Request::Remarks) => Ok(Reply::Remarks(dataset.remarks()?)),
            (Adapter::Judge(judge), Request::Step { item, answer, replies }) => {
                Ok(Reply::Step(judge.step(&item, &answer, &replies)?))
            }
            (Adapter::Judge(judge), Request::Compare { item, answers: [first, second], replies }) => {
                Ok(Reply::Step(judge.compare(&item, [&first, &second], &replies)?))
            }
            _ => Err(HostError::invalid(&self.name, "answering", "asked for what its kind does not do")),
        }
    }

    /// Drops the plugin's value.
    ///
    /// # Errors
    /// [`HostError::Panicked`] when the plugin panicked over that.
    pub fn close(self) -> Result<(), HostError> {
        let Self { name, root, adapter } = self;
        drop(adapter);
        match root.take_fault()() {
            ROption::RNone => Ok(()),
            ROption::RSome(text) => {
                let reason = String::from_utf8_lossy(text.as_bytes()).into_owned();
                Err(HostError::Panicked { plugin: name, operation: DROPPING.to_owned(), reason })
            }
        }
    }
}
