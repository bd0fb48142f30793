//! A worker in the host's own process: a thread, which a guard keeps from panics. One that does not answer in time is
//! left alone, for a thread cannot be stopped.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::handler::Handler;
use super::protocol::{Answer, Command, Connection};
use crate::load::Plugin;

/// To a thread.
struct Thread {
    /// None once it was told that there is no more.
    commands: Option<Sender<Command>>,
}

/// Starts a worker for a plugin that is loaded already, or for one to load; the connection, and where answers come.
///
/// # Errors
/// Why there is no thread for it.
pub(crate) fn start(name: &str, plugin: Option<Plugin>) -> Result<(Box<dyn Connection>, Receiver<Answer>), String> {
    let (commands, told) = channel();
    let (send, answers) = channel();
    let work = move || {
        Handler::in_process(plugin).run(told.into_iter(), &mut |answer| send.send(answer).is_ok());
    };
    let started = std::thread::Builder::new().name(format!("plugin {name}")).spawn(work);
    started.map_err(|e| format!("no thread for it: {e}"))?;
    Ok((Box::new(Thread { commands: Some(commands) }), answers))
}

impl Connection for Thread {
    fn send(&mut self, command: Command) -> Result<(), String> {
        let _ = self.commands.as_ref().map(|commands| commands.send(command));
        Ok(())
    }

    fn close(&mut self) {
        self.commands = None;
    }

    fn end(&mut self) -> String {
        "its thread is gone".into()
    }
}

/// Whether a library has been opening in this process for longer than was waited.
static IS_OPENING: AtomicBool = AtomicBool::new(false);

/// Whether the system can open no library here any more.
pub(crate) fn is_loader_blocked() -> bool {
    IS_OPENING.load(Ordering::Relaxed)
}

/// A library does not finish opening.
pub(crate) fn block_loader() {
    IS_OPENING.store(true, Ordering::Relaxed);
}

/// Has this thread wait once, before any library is opened here. What a thread keeps for waiting is registered at its first wait,
/// for which glibc takes the loader's lock: with a library that does not finish opening that would be for ever, whatever the
/// timeout.
pub(crate) fn prepare_to_wait() {
    thread_local! {
        static HAS_WAITED: Cell<bool> = const { Cell::new(false) };
    }
    /// Long enough that the wait is one, whatever else the machine does.
    const WAIT: Duration = Duration::from_millis(10);
    if !HAS_WAITED.replace(true) {
        let (_kept, nothing) = channel::<()>();
        let _ = nothing.recv_timeout(WAIT);
    }
}

/// Ends this process. While a library is still opening, without what usually runs at the end: the system's own part of
/// that waits for the library, and so for ever.
pub fn exit(code: u8) -> ! {
    #[cfg(unix)]
    if is_loader_blocked() {
        // SAFETY: it takes a number and does not return; nothing of this process is used after it.
        unsafe { libc::_exit(i32::from(code)) }
    }
    std::process::exit(i32::from(code))
}
