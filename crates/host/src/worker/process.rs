//! A worker in a process of its own: this program again, which calls [`crate::serve`]; commands and answers are lines of
//! JSON over its standard streams.
//!
//! It has no environment and stands in a sandbox, and ends when the host does. A plugin that breaks it, by
//! whatever means, fails one call.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::protocol::{Answer, Command, Connection};
use crate::error::HostError;

/// The only argument of a worker process.
pub const WORKER_ARGUMENT: &str = "plugin-worker";

/// No answer is longer.
const LONGEST_LINE: u64 = 1 << 30;

/// To a process.
struct Process {
    child: Child,
    /// None once it was told that there is no more.
    commands: Option<ChildStdin>,
}

/// Starts a worker for a plugin to load; the connection, and where answers come.
///
/// # Errors
/// Why there is no process for it.
pub(crate) fn start(program: &Path, name: &str) -> Result<(Box<dyn Connection>, Receiver<Answer>), String> {
    let mut command = std::process::Command::new(program);
    command.arg(WORKER_ARGUMENT).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = spawn(command).map_err(|e| format!("no process of {}: {e}", program.display()))?;
    let (Some(commands), Some(lines)) = (child.stdin.take(), child.stdout.take()) else {
        return Err("its process has no standard streams".into());
    };
    // One answer ahead at most: nobody can fill this process's memory.
    let (send, answers) = sync_channel(1);
    let name = name.to_owned();
    let read = move || {
        let mut lines = BufReader::new(lines);
        // The end of the stream, or a line that is too long or no UTF-8, closes the channel.
        while let Some(line) = read_line(&mut lines) {
            let answer = serde_json::from_str(&line).unwrap_or_else(|e| Err(HostError::invalid(&name, "answering", e)));
            if send.send(answer).is_err() {
                break;
            }
        }
    };
    std::thread::Builder::new().spawn(read).map_err(|e| format!("no thread to read what it says: {e}"))?;
    Ok((Box::new(Process { child, commands: Some(commands) }), answers))
}

impl Connection for Process {
    fn send(&mut self, command: Command) -> Result<(), String> {
        let mut line = serde_json::to_string(&command).map_err(|e| format!("it cannot be told to its process: {e}"))?;
        line.push('\n');
        let _ = self.commands.as_mut().map(|commands| commands.write_all(line.as_bytes()));
        Ok(())
    }

    fn close(&mut self) {
        self.commands = None;
    }

    fn end(&mut self) -> String {
        self.commands = None;
        stop(&mut self.child).map_or_else(|| "its process is gone".to_owned(), |status| status.to_string())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// Stops a process, if it still runs; how it ended.
fn stop(child: &mut Child) -> Option<ExitStatus> {
    // It may be about to end by itself: its streams are closed before it is gone.
    for _ in 0..50 {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let _ = child.kill();
    child.wait().ok()
}

/// Starts a process from a thread that never ends: the system would end the process with the thread that started it.
fn spawn(command: std::process::Command) -> std::io::Result<Child> {
    type Start = (std::process::Command, Sender<std::io::Result<Child>>);
    static STARTER: OnceLock<Mutex<Sender<Start>>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (send, starts) = channel::<Start>();
        std::thread::spawn(move || starts.iter().for_each(|(mut command, reply)| _ = reply.send(command.spawn())));
        Mutex::new(send)
    });
    let (reply, started) = channel();
    let gone = || std::io::Error::other("the thread that starts processes is gone");
    starter.lock().unwrap_or_else(PoisonError::into_inner).send((command, reply)).map_err(|_| gone())?;
    started.recv().map_err(|_| gone())?
}

/// A line without its end; none at the end of the stream, or when it is too long or no UTF-8.
fn read_line(from: &mut BufReader<impl Read>) -> Option<String> {
    let mut line = String::new();
    from.by_ref().take(LONGEST_LINE).read_line(&mut line).ok()?;
    line.ends_with('\n').then(|| line.trim_end_matches('\n').to_owned())
}
