//! Where plugins run: each session on a thread of its own or in a process of its own, and never without a deadline.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::library::{self, Step};
use crate::pins::Pins;
use crate::process::Process;
use crate::session::{Reply, Request, Session};
use crate::{HostError, Options, Plugin};

/// How sessions are run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runner {
    /// Longest wait for one answer.
    pub deadline: Duration,
    pub isolation: Isolation,
}

/// What stands between a plugin and this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// A guard against panics.
    Thread,
    /// A process with limits: this program, started with [`crate::process::ARGUMENT`] alone, calls [`crate::serve`].
    Process(PathBuf),
}

impl Default for Runner {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(60), isolation: Isolation::Thread }
    }
}

impl Runner {
    /// Loads a plugin file, as [`library::load`] does, on a thread, or looks at it in a process of its own, where no code
    /// of it runs here; with the steps that it has passed.
    pub fn load(&self, path: &Path, pins: &Pins) -> (Vec<Step>, Result<Plugin, HostError>) {
        if let Isolation::Process(program) = &self.isolation {
            return match Process::start(program, path, self.deadline) {
                Ok(mut process) => process.load(path, pins),
                Err(error) => (Vec::new(), Err(error)),
            };
        }
        if IS_STUCK.load(Ordering::Relaxed) {
            let (path, step) = (path.to_owned(), "open".into());
            let reason = "the system opens no library while another does not finish opening".into();
            return (Vec::new(), Err(HostError::Load { path, step, reason }));
        }
        let (steps, passed) = channel();
        let (result, loaded) = channel();
        let (file, pins) = (path.to_owned(), pins.clone());
        std::thread::spawn(move || {
            let mut pass = |step| steps.send(step).map_err(|_| "nobody waits for it any more".to_owned());
            let _ = result.send(library::load(&file, &pins, &mut pass));
        });
        let late = |_| {
            IS_STUCK.store(true, Ordering::Relaxed);
            let plugin = path.display().to_string();
            HostError::Stuck { plugin, doing: "loading".into(), seconds: self.deadline.as_secs() }
        };
        let result = loaded.recv_timeout(self.deadline).map_err(late).and_then(|result| result);
        (passed.try_iter().collect(), result)
    }

    /// Begins a session of a plugin, for a dataset over `files`.
    pub(crate) fn open(&self, plugin: &Plugin, options: &Options, files: &[PathBuf]) -> Result<Place, HostError> {
        match &self.isolation {
            Isolation::Thread => Ok(Place::Thread(Thread::open(plugin, options, files, self.deadline)?)),
            Isolation::Process(program) => {
                let mut process = Process::start(program, &plugin.path, self.deadline)?;
                process.open(plugin, options, files)?;
                Ok(Place::Process(process))
            }
        }
    }
}

/// A session, wherever it is.
pub(crate) enum Place {
    Thread(Thread),
    Process(Process),
}

impl Place {
    pub fn name(&self) -> &str {
        match self {
            Self::Thread(thread) => &thread.plugin,
            Self::Process(process) => process.plugin(),
        }
    }

    pub fn call(&mut self, doing: &str, request: Request) -> Result<Reply, HostError> {
        match self {
            Self::Thread(thread) => thread.call(doing, request),
            Self::Process(process) => process.call(doing, request),
        }
    }
}

/// Whether a library has been opening for longer than was waited.
static IS_STUCK: AtomicBool = AtomicBool::new(false);

/// Ends this process. While a library is still opening, without what usually runs at the end: the system's own part of
/// that waits for the library, and so for ever.
pub fn exit(code: u8) -> ! {
    #[cfg(unix)]
    if IS_STUCK.load(Ordering::Relaxed) {
        // SAFETY: it takes a number and does not return; nothing of this process is used after it.
        unsafe { libc::_exit(i32::from(code)) }
    }
    std::process::exit(i32::from(code))
}

/// Faults that nobody waited for: those of values being let go.
static FAULTS: Mutex<Vec<HostError>> = Mutex::new(Vec::new());

/// Faults of plugins that no call could report, since this was last asked.
pub fn faults() -> Vec<HostError> {
    std::mem::take(&mut *FAULTS.lock().unwrap_or_else(PoisonError::into_inner))
}

pub(crate) fn note(fault: HostError) {
    FAULTS.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
}

/// A session on a thread. One that does not answer in time is left alone: a thread cannot be stopped.
pub(crate) struct Thread {
    plugin: String,
    /// None when the session is being let go.
    requests: Option<Sender<Request>>,
    replies: Receiver<Result<Option<Reply>, HostError>>,
    deadline: Duration,
    is_stuck: bool,
}

impl Thread {
    fn open(plugin: &Plugin, options: &Options, files: &[PathBuf], deadline: Duration) -> Result<Self, HostError> {
        let name = plugin.manifest.name.clone();
        let (requests, asked) = channel();
        let (reply, replies) = channel();
        let (plugin, options, files) = (plugin.clone(), options.clone(), files.to_vec());
        let work = move || run(&plugin, &options, &files, &asked, &reply);
        let started = std::thread::Builder::new().name(format!("plugin {name}")).spawn(work);
        started.map_err(|e| HostError::Refused {
            plugin: name.clone(),
            doing: "starting".into(),
            reason: format!("no thread for it: {e}"),
        })?;
        let mut this = Self { plugin: name, requests: Some(requests), replies, deadline, is_stuck: false };
        this.wait("taking its options")?;
        Ok(this)
    }

    fn call(&mut self, doing: &str, request: Request) -> Result<Reply, HostError> {
        // A closed channel shows when waiting.
        let _ = self.requests.as_ref().map(|requests| requests.send(request));
        let reply = self.wait(doing)?;
        reply.ok_or_else(|| HostError::invalid(&self.plugin, doing, "nothing"))
    }

    fn wait(&mut self, doing: &str) -> Result<Option<Reply>, HostError> {
        let (plugin, doing) = (self.plugin.clone(), doing.to_owned());
        let received =
            if self.is_stuck { Err(RecvTimeoutError::Timeout) } else { self.replies.recv_timeout(self.deadline) };
        match received {
            Ok(reply) => reply,
            Err(RecvTimeoutError::Timeout) => {
                self.is_stuck = true;
                Err(HostError::Stuck { plugin, doing, seconds: self.deadline.as_secs() })
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(HostError::Crashed { plugin, doing, reason: "its thread is gone".into() })
            }
        }
    }
}

/// The thread's work: replies to the opening, to each request, and to being let go.
fn run(
    plugin: &Plugin,
    options: &Options,
    files: &[PathBuf],
    asked: &Receiver<Request>,
    reply: &Sender<Result<Option<Reply>, HostError>>,
) {
    let mut session = match Session::open(plugin, options, files) {
        Ok(session) => session,
        Err(error) => return drop(reply.send(Err(error))),
    };
    let mut is_heard = reply.send(Ok(None)).is_ok();
    while is_heard && let Ok(request) = asked.recv() {
        is_heard = reply.send(session.answer(request).map(Some)).is_ok();
    }
    let _ = reply.send(session.close().map(|()| None));
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.requests = None;
        if self.is_stuck {
            return;
        }
        match self.wait("being let go") {
            Err(HostError::Crashed { .. }) | Ok(_) => {} // it never opened, or all is well
            Err(fault) => note(fault),
        }
    }
}
