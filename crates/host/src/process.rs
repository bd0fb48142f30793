//! A session in a process of its own: what is asked and answered are lines of JSON over its standard streams.
//!
//! [`Process`] is the host's side, [`serve`] the plugin's. The process has no environment and the limits of
//! [`crate::limits`]; it ends when the host does. A plugin that breaks it, by whatever means, fails one call.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tunebench_plugin_api::abi::Manifest;

use crate::pins::Pins;
use crate::place::note;
use crate::session::{Reply, Request, Session};
use crate::{HostError, Options, Plugin, library, limits};

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
    Loaded { path: PathBuf, manifest: Manifest, rustc: String, sha256: String },
    Opened,
    Replied(Reply),
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
    pub fn start(program: &Path, argument: &str, deadline: Duration) -> Result<Self, HostError> {
        let mut command = Command::new(program);
        command.arg(argument).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let fail = |reason: String| HostError::Refused {
            plugin: "(any)".into(),
            doing: format!("starting {} for it", program.display()),
            reason,
        };
        let mut child = command.spawn().map_err(|e| fail(e.to_string()))?;
        let (Some(orders), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(fail("it has no standard streams".into()));
        };
        let (send, lines) = channel();
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
        Ok(Self { plugin: String::new(), child, orders: Some(orders), lines, deadline, is_over: false })
    }

    /// The plugin in a file, loaded there and not here.
    pub fn load(&mut self, path: &Path, pins: &Pins) -> Result<Plugin, HostError> {
        self.plugin = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match self.order("loading", &Order::Load { path: path.to_owned(), pins: pins.clone() })? {
            Done::Loaded { path, manifest, rustc, sha256 } => {
                self.plugin.clone_from(&manifest.name);
                Ok(Plugin { path, manifest, rustc, sha256, root: None })
            }
            _ => Err(self.confused("loading")),
        }
    }

    pub fn open(&mut self, plugin: &Plugin, options: &Options, files: &[PathBuf]) -> Result<(), HostError> {
        // Whether it is as it was added was seen when it was first loaded; now it must be the same file.
        let loaded = self.load(&plugin.path, &Pins::default())?;
        if loaded.sha256 != plugin.sha256 {
            let reason = "it changed while tunebench was running; run again".to_owned();
            return Err(HostError::Load { path: plugin.path.clone(), step: "hash".into(), reason });
        }
        let absolute = |file: &PathBuf| {
            let fail = |e: std::io::Error| HostError::Source { path: file.clone(), reason: e.to_string() };
            file.canonicalize().map_err(fail)
        };
        let files = files.iter().map(absolute).collect::<Result<_, _>>()?;
        match self.order("taking its options", &Order::Open { options: options.clone(), files })? {
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
        let mut line = serde_json::to_string(order).map_err(|e| HostError::invalid(&self.plugin, doing, e))?;
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
    let Ok(mut out) = limits::apply() else { return ExitCode::FAILURE };
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
            let mut passed = |step: &library::Step| if step.name == "copy" { limits::look_only() } else { Ok(()) };
            let loaded = plugin.insert(library::load(&path, &pins, &mut passed)?);
            let Plugin { path, manifest, rustc, sha256, .. } = loaded.clone();
            Ok(Done::Loaded { path, manifest, rustc, sha256 })
        }
        Order::Open { options, files } => {
            *session = Some(Session::open(plugin.as_ref().ok_or_else(early)?, &options, &files)?);
            Ok(Done::Opened)
        }
        Order::Ask(request) => Ok(Done::Replied(session.as_mut().ok_or_else(early)?.answer(request)?)),
    }
}
