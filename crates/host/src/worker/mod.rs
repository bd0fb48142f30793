//! Where plugins run: each session in a worker, a thread or a process of its own, and never without a timeout.
//!
//! `protocol` is what is said, `thread` and `process` are the two ways to say it; `handler` does the work at the other end,
//! which in a process is `serve` inside a `sandbox`.

mod handler;
mod late_errors;
mod process;
mod protocol;
mod sandbox;
mod serve;
mod thread;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use crate::adapter::{DROPPING, Reading, Reply, Request, SourceFiles};
use crate::error::HostError;
use crate::load::{LoadCheck, LockFile, Plugin};
use crate::options::Options;
use protocol::{Answer, Command, Connection, Response};

pub use late_errors::take_late_errors;
pub use process::WORKER_ARGUMENT;
pub use serve::serve;
pub use thread::exit;

/// A file passes no more checks; a worker that says so is made to by its plugin.
const MOST_CHECKS: usize = 64;

/// How workers are started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launcher {
    /// Longest wait for one answer.
    pub timeout: Duration,
    pub isolation: Isolation,
}

/// What stands between a plugin and this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// A guard against panics.
    InProcess,
    /// A process in a sandbox: this program, started with [`WORKER_ARGUMENT`] alone, calls [`serve`].
    Process(PathBuf),
}

impl Default for Launcher {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(60), isolation: Isolation::InProcess }
    }
}

impl Launcher {
    /// Loads a plugin file in a worker; in a process of its own it is looked at only, and no code of it runs here. Gives
    /// the checks that it has passed, too.
    pub fn load(&self, path: &Path, lock_file: &LockFile) -> (Vec<LoadCheck>, Result<Plugin, HostError>) {
        let is_here = self.isolation == Isolation::InProcess;
        if is_here && thread::is_loader_blocked() {
            let (path, check) = (path.to_owned(), "open".into());
            let reason = "the system opens no library while another does not finish opening".into();
            return (Vec::new(), Err(HostError::Load { path, check, reason }));
        }
        if is_here {
            thread::prepare_to_wait();
        }
        let mut checks = Vec::new();
        let plugin = self.start(&path.display().to_string(), None);
        let plugin = plugin.and_then(|mut worker| worker.load(path, lock_file, &mut checks));
        if is_here && matches!(plugin, Err(HostError::Timeout { .. })) {
            thread::block_loader();
        }
        (checks, plugin)
    }

    /// Starts a worker with a plugin at work, for a dataset over `source`.
    pub(crate) fn open(&self, plugin: &Plugin, options: &Options, source: &SourceFiles) -> Result<Worker, HostError> {
        let reading = if plugin.manifest.reads_bytes { Reading::Bytes } else { Reading::Rows };
        let mut worker = self.start(&plugin.manifest.name, Some(plugin))?;
        worker.command("opening its files", Command::OpenFiles(source.clone(), reading))?;
        if self.isolation != Isolation::InProcess {
            // Whether it is as it was added was seen when it was first loaded; now it must be the same file.
            worker.load(&plugin.path, &LockFile::exactly(plugin), &mut Vec::new())?;
        }
        worker.command("taking its options", Command::Begin(options.clone()))?;
        Ok(worker)
    }

    fn start(&self, name: &str, loaded: Option<&Plugin>) -> Result<Worker, HostError> {
        let started = match &self.isolation {
            Isolation::InProcess => thread::start(name, loaded.cloned()),
            Isolation::Process(program) => process::start(program, name),
        };
        let plugin = name.to_owned();
        match started {
            Ok((connection, answers)) => {
                Ok(Worker { plugin, connection, answers, timeout: self.timeout, failed: None })
            }
            Err(reason) => Err(HostError::Refused { plugin, operation: "starting its worker".into(), reason }),
        }
    }
}

/// A worker with one plugin: it answers one command at a time, in time or never again.
pub(crate) struct Worker {
    plugin: String,
    connection: Box<dyn Connection>,
    answers: Receiver<Answer>,
    timeout: Duration,
    /// Why it is not asked any more.
    failed: Option<HostError>,
}

impl Worker {
    /// The plugin's name.
    pub fn plugin(&self) -> &str {
        &self.plugin
    }

    /// The reply to a request.
    ///
    /// # Errors
    /// What the plugin failed of, or that it did not answer in time or ended its process; that again, once it has.
    pub fn call(&mut self, operation: &str, request: Request) -> Result<Reply, HostError> {
        match self.command(operation, Command::Ask(request))? {
            Response::Replied(reply) => Ok(reply),
            _ => Err(self.confused(operation)),
        }
    }

    fn load(&mut self, path: &Path, lock_file: &LockFile, checks: &mut Vec<LoadCheck>) -> Result<Plugin, HostError> {
        let operation = "loading";
        let mut response =
            self.command(operation, Command::Load { path: path.to_owned(), lock_file: lock_file.clone() })?;
        loop {
            match response {
                Response::Passed(check) if checks.len() < MOST_CHECKS => checks.push(check),
                Response::Loaded(plugin) => {
                    self.plugin.clone_from(&plugin.manifest.name);
                    return Ok(*plugin);
                }
                _ => return Err(self.confused(operation)),
            }
            response = self.wait(operation)?;
        }
    }

    fn command(&mut self, operation: &str, command: Command) -> Answer {
        let refused = |reason| HostError::Refused { plugin: self.plugin.clone(), operation: operation.into(), reason };
        self.connection.send(command).map_err(refused)?;
        self.wait(operation)
    }

    fn wait(&mut self, operation: &str) -> Answer {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let (plugin, operation) = (self.plugin.clone(), operation.to_owned());
        let error = match self.answers.recv_timeout(self.timeout) {
            Ok(answer) => return answer,
            Err(RecvTimeoutError::Timeout) => {
                self.connection.end();
                HostError::Timeout { plugin, operation, seconds: self.timeout.as_secs() }
            }
            Err(RecvTimeoutError::Disconnected) => {
                HostError::Crashed { plugin, operation, reason: self.connection.end() }
            }
        };
        self.failed = Some(error.clone());
        Err(error)
    }

    fn confused(&self, operation: &str) -> HostError {
        HostError::invalid(&self.plugin, operation, "an answer to something else")
    }
}

impl Drop for Worker {
    /// Waits for the plugin's value to be dropped, up to the timeout.
    fn drop(&mut self) {
        if self.failed.is_some() {
            return;
        }
        self.connection.close();
        if let Err(error) = self.wait(DROPPING) {
            late_errors::add(error);
        }
    }
}
