//! A session in a process of its own: what is asked and answered are lines of JSON over its standard streams.
//!
//! [`Process`] is the host's side, [`serve`] the plugin's. The process has no environment and the limits of
//! [`crate::limits`]; it ends when the host does. A plugin that breaks it, by whatever means, fails one call.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tunebench_plugin_api::abi::Manifest;

use crate::library::{self, Step};
use crate::pins::Pins;
use crate::place::note;
use crate::session::{Reply, Request, Session};
use crate::{HostError, Options, Plugin, limits};

/// What a program that may be started as such a process is given as its only argument; it then calls [`serve`].
pub const ARGUMENT: &str = "plugin-process";

/// What the process is told to do, in this order: load, open, then any number of requests.
#[derive(Serialize, Deserialize)]
enum Order {
    Load { path: PathBuf, pins: Pins },
    Open { options: Options, files: Vec<PathBuf> },
    Ask(Request),
}

/// What it answers to one order.
#[derive(Serialize, Deserialize)]
enum Done {
    Loaded { steps: Vec<Step>, result: Result<Loaded, HostError> },
    Opened,
    Replied(Reply),
}

/// A plugin as it was found there.
#[derive(Serialize, Deserialize)]
struct Loaded {
    path: PathBuf,
    manifest: Manifest,
    rustc: String,
    sha256: String,
}

/// No answer is longer.
const LONGEST_LINE: u64 = 1 << 30;

/// A process that runs one session.
pub(crate) struct Process {
    plugin: String,
    child: Child,
    /// None when the session is being let go.
    orders: Option<ChildStdin>,
    lines: Receiver<String>,
    deadline: Duration,
    is_over: bool,
}

impl Process {
    /// Starts a process for the plugin in `file`, which is not loaded yet.
    pub fn start(program: &Path, file: &Path, deadline: Duration) -> Result<Self, HostError> {
        let plugin = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut command = Command::new(program);
        command.arg(ARGUMENT).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let fail = |reason: String| HostError::Refused {
            plugin: plugin.clone(),
            doing: format!("starting {} for it", program.display()),
            reason,
        };
        let mut child = spawn(command).map_err(|e| fail(e.to_string()))?;
        let (Some(orders), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(fail("it has no standard streams".into()));
        };
        // One line ahead at most: nobody can fill this process's memory.
        let (send, lines) = sync_channel(1);
        let read = move || {
            let mut answers = BufReader::new(answers);
            // The end of the stream, or a line that is too long or no UTF-8, closes the channel.
            while let Some(line) = read_line(&mut answers) {
                if send.send(line).is_err() {
                    break;
                }
            }
        };
        std::thread::Builder::new().spawn(read).map_err(|e| fail(e.to_string()))?;
        Ok(Self { plugin, child, orders: Some(orders), lines, deadline, is_over: false })
    }

    /// The plugin in a file, loaded there and not here, and the steps of that which it has passed.
    pub fn load(&mut self, path: &Path, pins: &Pins) -> (Vec<Step>, Result<Plugin, HostError>) {
        match self.order("loading", &Order::Load { path: path.to_owned(), pins: pins.clone() }) {
            Ok(Done::Loaded { steps, result }) => {
                let plugin = result.map(|Loaded { path, manifest, rustc, sha256 }| {
                    self.plugin.clone_from(&manifest.name);
                    Plugin { path, manifest, rustc, sha256, root: None }
                });
                (steps, plugin)
            }
            Ok(_) => (Vec::new(), Err(self.confused("loading"))),
            Err(error) => (Vec::new(), Err(error)),
        }
    }

    pub fn open(&mut self, plugin: &Plugin, options: &Options, files: &[PathBuf]) -> Result<(), HostError> {
        // Whether it is as it was added was seen when it was first loaded; now it must be the same file.
        self.load(&plugin.path, &Pins::exactly(plugin)).1?;
        match self.order("taking its options", &Order::Open { options: options.clone(), files: files.to_vec() })? {
            Done::Opened => Ok(()),
            _ => Err(self.confused("taking its options")),
        }
    }

    pub fn call(&mut self, doing: &str, request: Request) -> Result<Reply, HostError> {
        match self.order(doing, &Order::Ask(request))? {
            Done::Replied(reply) => Ok(reply),
            _ => Err(self.confused(doing)),
        }
    }

    pub fn plugin(&self) -> &str {
        &self.plugin
    }

    fn confused(&self, doing: &str) -> HostError {
        HostError::invalid(&self.plugin, doing, "an answer to something else")
    }

    fn order(&mut self, doing: &str, order: &Order) -> Result<Done, HostError> {
        let refused = |e: serde_json::Error| HostError::Refused {
            plugin: self.plugin.clone(),
            doing: doing.to_owned(),
            reason: format!("it cannot be told to its process: {e}"),
        };
        let mut line = serde_json::to_string(order).map_err(refused)?;
        line.push('\n');
        // That nobody reads shows when waiting.
        let _ = self.orders.as_mut().map(|orders| orders.write_all(line.as_bytes()));
        let line = self.wait(doing)?;
        let answer: Result<Done, HostError> =
            serde_json::from_str(&line).map_err(|e| HostError::invalid(&self.plugin, doing, e))?;
        answer
    }

    fn wait(&mut self, doing: &str) -> Result<String, HostError> {
        let (plugin, doing) = (self.plugin.clone(), doing.to_owned());
        let received =
            if self.is_over { Err(RecvTimeoutError::Disconnected) } else { self.lines.recv_timeout(self.deadline) };
        match received {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => {
                self.end();
                Err(HostError::Stuck { plugin, doing, seconds: self.deadline.as_secs() })
            }
            Err(RecvTimeoutError::Disconnected) => {
                let reason = self.end().map_or_else(|| "its process is gone".to_owned(), |status| status.to_string());
                Err(HostError::Crashed { plugin, doing, reason })
            }
        }
    }

    /// Stops the process, if it still runs; how it ended.
    fn end(&mut self) -> Option<ExitStatus> {
        self.is_over = true;
        self.orders = None;
        // It may be about to end by itself: its streams are closed before it is gone.
        for _ in 0..50 {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = self.child.kill();
        self.child.wait().ok()
    }
}

/// Starts a process from a thread that never ends: the system would end the process with the thread that started it.
fn spawn(command: Command) -> std::io::Result<Child> {
    type Start = (Command, Sender<std::io::Result<Child>>);
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

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        self.orders = None;
        // The last line is what became of letting the plugin go.
        match self.wait("being let go").map(|line| serde_json::from_str::<Result<(), HostError>>(&line)) {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(fault))) | Err(fault) => note(fault),
            Ok(Err(e)) => note(HostError::invalid(&self.plugin, "being let go", e)),
        }
        self.end();
    }
}

/// Runs one session by the orders on standard input, until they end. The whole of a process that was started for it.
pub fn serve() -> ExitCode {
    let mut out = match limits::apply() {
        Ok(out) => out,
        Err(e) => {
            // The answer to the first order, whatever it will be.
            let (plugin, doing) = ("(none yet)".into(), "limiting its process".into());
            let error: Result<Done, _> = Err(HostError::Refused { plugin, doing, reason: e.to_string() });
            println!("{}", serde_json::to_string(&error).unwrap_or_default());
            return ExitCode::FAILURE;
        }
    };
    let mut say = |line: serde_json::Result<String>| line.is_ok_and(|line| writeln!(out, "{line}").is_ok());
    let (mut plugin, mut session) = (None, None);
    for line in std::io::stdin().lock().lines() {
        let Ok(order) = line.map_err(|_| ()).and_then(|line| serde_json::from_str(&line).map_err(|_| ())) else {
            return ExitCode::FAILURE;
        };
        if !say(serde_json::to_string(&obey(order, &mut plugin, &mut session))) {
            return ExitCode::FAILURE;
        }
    }
    let closed = session.map_or(Ok(()), Session::close);
    if say(serde_json::to_string(&closed)) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn obey(order: Order, plugin: &mut Option<Plugin>, session: &mut Option<Session>) -> Result<Done, HostError> {
    let early = || HostError::invalid("(none)", "starting", "it was asked before it was loaded");
    match order {
        Order::Load { path, pins } => {
            // The copy of the library is the last thing that is written, before any of its code runs.
            let mut steps = Vec::new();
            let mut passed = |step: Step| {
                let is_copied = step.name == "copy";
                steps.push(step);
                if is_copied { limits::look_only() } else { Ok(()) }
            };
            let result = library::load(&path, &pins, &mut passed).map(|loaded| {
                let Plugin { path, manifest, rustc, sha256, .. } = plugin.insert(loaded).clone();
                Loaded { path, manifest, rustc, sha256 }
            });
            Ok(Done::Loaded { steps, result })
        }
        Order::Open { options, files } => {
            *session = Some(Session::open(plugin.as_ref().ok_or_else(early)?, &options, &files)?);
            Ok(Done::Opened)
        }
        Order::Ask(request) => Ok(Done::Replied(session.as_mut().ok_or_else(early)?.answer(request)?)),
    }
}
