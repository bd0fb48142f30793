//! A tuner with its options.

use tunebench_spec::Decoder;
use tunebench_spec::plan::RecordedPlan;

use crate::adapter::{Reply, Request, SourceFiles};
use crate::error::HostError;
use crate::load::Plugin;
use crate::options::Options;
use crate::worker::{Launcher, Worker};

/// A tuner with its options.
pub struct TunerPlugin {
    worker: Worker,
}

impl TunerPlugin {
    pub(crate) fn open(launcher: &Launcher, plugin: &Plugin, options: &Options) -> Result<Self, HostError> {
        Ok(Self { worker: launcher.open(plugin, options, &SourceFiles::default())? })
    }

    /// What is trained of `shape`, and the recorded graphs of every adapted weight. Equal graphs are kept once.
    ///
    /// # Errors
    /// When the plugin refuses, panics, plans for weights that do not exist or forgets some, or records graphs whose
    /// shapes do not fit.
    pub fn record(&mut self, shape: &Decoder) -> Result<RecordedPlan, HostError> {
        match self.worker.call("recording its graphs", Request::Record(Box::new(shape.clone())))? {
            Reply::RecordedPlan(recorded) => Ok(*recorded),
            other => Err(other.unexpected(self.worker.plugin())),
        }
    }
}
