//! What a worker does, on a thread or in a process: it handles commands until there are no more.

use std::path::Path;

use super::protocol::{Answer, Command, Response};
use super::sandbox::Sandbox;
use crate::adapter::{Files, Session};
use crate::error::HostError;
use crate::load::{CheckedFile, LockFile, Passed, Plugin};

/// A worker's state.
pub(crate) struct Handler {
    /// None on a thread of the host's own process.
    sandbox: Option<Sandbox>,
    files: Files,
    plugin: Option<Plugin>,
    session: Option<Session>,
}

impl Handler {
    /// Of a worker in the host's own process, with what it has loaded already.
    pub fn in_process(plugin: Option<Plugin>) -> Self {
        Self { sandbox: None, files: Files::default(), plugin, session: None }
    }

    /// Of a process of its own.
    pub fn isolated(sandbox: Sandbox) -> Self {
        Self { sandbox: Some(sandbox), files: Files::default(), plugin: None, session: None }
    }

    /// Handles each command, then drops the plugin's value; whether every answer was heard.
    pub fn run(mut self, commands: impl Iterator<Item = Command>, answer: &mut dyn FnMut(Answer) -> bool) -> bool {
        for command in commands {
            let response = self.handle(command, answer);
            if !answer(response) {
                break;
            }
        }
        answer(self.session.map_or(Ok(()), Session::close).map(|()| Response::Done))
    }

    fn handle(&mut self, command: Command, answer: &mut dyn FnMut(Answer) -> bool) -> Answer {
        let early = || HostError::invalid("(none)", "starting", "it was asked before it was loaded");
        match command {
            Command::OpenFiles(source, reading) => {
                self.files = Files::open(&source, reading)?;
                Ok(Response::Done)
            }
            Command::Load { path, lock_file } => {
                let mut passed = |check| match answer(Ok(Response::Passed(check))) {
                    true => Ok(()),
                    false => Err("nobody waits for it any more".into()),
                };
                let plugin = load(self.sandbox.as_ref(), &path, &lock_file, &mut passed)?;
                Ok(Response::Loaded(Box::new(self.plugin.insert(plugin).clone())))
            }
            Command::Begin(options) => {
                let (plugin, files) = (self.plugin.as_ref().ok_or_else(early)?, std::mem::take(&mut self.files));
                self.session = Some(Session::open(plugin, &options, files)?);
                Ok(Response::Done)
            }
            Command::Ask(request) => Ok(Response::Replied(self.session.as_mut().ok_or_else(early)?.reply(request)?)),
        }
    }
}

/// Loads a plugin file; in a sandbox, that is closed before any code of the file can run.
fn load(
    sandbox: Option<&Sandbox>,
    path: &Path,
    lock_file: &LockFile,
    passed: &mut Passed<'_>,
) -> Result<Plugin, HostError> {
    let fail = |check: &str, reason| HostError::Load { path: path.to_owned(), check: check.to_owned(), reason };
    let file = CheckedFile::check(path, lock_file, passed)?;
    let Some(sandbox) = sandbox else { return file.open(passed) };
    // What is open already need not be opened again.
    file.open_needed().map_err(|reason| fail("open", reason))?;
    sandbox.close(file.on_disk()).and_then(&mut *passed).map_err(|reason| fail(Sandbox::CHECK, reason))?;
    let plugin = file.open(passed)?;
    sandbox.seal().map_err(|reason| fail(Sandbox::CHECK, reason))?;
    Ok(plugin)
}
