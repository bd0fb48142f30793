//! What is said: results on standard output, what is going on on standard error.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use tunebench_analysis::estimates::MARGIN;
use tunebench_analysis::{Table, decision, escape};
use tunebench_spec::StepLog;
use tunebench_study::{Event, Observer, Stop, wording};

use crate::signals::Signals;

/// Off a terminal, at most one line of progress per this long.
pub const LINE_INTERVAL: Duration = Duration::from_secs(15);

/// Writes to standard output; a closed pipe is an error like any other, not a panic.
pub fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Writes a line of what is going on, harmless whatever is quoted in it. Nobody may be listening any more.
pub fn status(line: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr(), "{}", printable(line.as_ref()));
}

/// Writes a line of what the user should know although nothing failed.
pub fn warn(text: &str) {
    status(format!("warning: {text}"));
}

/// Text from outside with what would steer a terminal or hide text made visible; line breaks stay.
pub fn printable(text: &str) -> String {
    text.split('\n').map(escape::line).collect::<Vec<_>>().join("\n")
}

/// How tables are printed.
#[derive(Clone, Copy)]
pub enum OutputFormat {
    Text,
    Markdown,
    Json,
}

impl OutputFormat {
    /// By the flags of a command, of which one at most is given.
    pub fn of(json: bool, markdown: bool) -> Self {
        match (json, markdown) {
            (true, _) => Self::Json,
            (_, true) => Self::Markdown,
            _ => Self::Text,
        }
    }
}

/// Prints tables one after the other; as JSON, a list of them.
pub fn print_tables(tables: &[Table], format: OutputFormat) -> Result<()> {
    let show = |table: &Table| match format {
        OutputFormat::Text => format!("\n{}\n", table.to_text().trim_end()),
        OutputFormat::Markdown => format!("\n{}\n", table.to_markdown().trim_end()),
        OutputFormat::Json => table.to_json().trim_end().to_owned(),
    };
    let shown: Vec<String> = tables.iter().map(show).collect();
    match format {
        OutputFormat::Json => print(&format!("[{}]\n", shown.join(",\n"))),
        OutputFormat::Text | OutputFormat::Markdown => print(&shown.concat()),
    }
}

/// Prints what each judge's scores come to: the decision and how sure it is.
pub fn print_decisions(dir: &Path) -> Result<()> {
    let found = decision::decisions(dir, MARGIN)?;
    for (found, _) in &found {
        let judge = if found.judge.is_empty() { String::new() } else { format!("Judged by {}: ", found.judge) };
        print(&printable(&format!("\n{judge}{}\n{}\n", found.english.headline, found.english.certainty)))?;
    }
    Ok(())
}

/// The progress of one task: a bar with an estimate on a terminal, plain lines now and then elsewhere.
struct Progress {
    bar: Option<ProgressBar>,
    label: String,
    /// 0 where it is not known.
    total: u64,
    last_line: Instant,
}

impl Progress {
    /// Starts at 0 of `total`.
    fn new(label: impl Into<String>, total: u64) -> Self {
        let label = label.into();
        let template = match total {
            0 => "  {prefix} {pos}  {elapsed}  {msg}",
            _ => "  {prefix} {bar:24} {pos}/{len}  {elapsed}<{eta}  {msg}",
        };
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total);
            bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_prefix(label.clone());
            bar
        });
        Self { bar, label, total, last_line: Instant::now() }
    }

    /// Whether it is of this task.
    fn is_of(&self, label: &str, total: u64) -> bool {
        self.label == label && self.total == total
    }

    /// `done` of the total, with a remark.
    fn set(&mut self, done: u64, remark: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(remark.to_owned());
            bar.set_position(done);
            return;
        }
        if self.last_line.elapsed() >= LINE_INTERVAL {
            self.last_line = Instant::now();
            let of = if self.total > 0 { format!("/{}", self.total) } else { String::new() };
            status(format!("  {}: {done}{of}  {remark}", self.label));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Tells on standard error what a run of a study does, and ends it when a signal asks for that.
#[derive(Default)]
pub struct Terminal {
    progress: Option<Progress>,
    signals: Signals,
    /// One of several workers, whose words stand beside those of the others.
    is_worker: bool,
}

impl Terminal {
    /// For a run that the signals may end.
    pub fn new(signals: Signals) -> Self {
        Self { progress: None, signals, is_worker: false }
    }

    /// For one of several workers of a run: what is said beforehand, the process that started them has said.
    pub fn of_worker(signals: Signals) -> Self {
        Self { is_worker: true, ..Self::new(signals) }
    }
}

impl Observer for Terminal {
    fn on_event(&mut self, event: &Event<'_>) {
        let is_said = wording::beforehand(event).is_some() || wording::is_about_reading(event);
        if self.is_worker && (is_said || matches!(event, Event::Elsewhere { .. } | Event::JoinedElsewhere)) {
            return;
        }
        if let Some((label, total)) = reading(event)
            && !self.progress.as_ref().is_some_and(|progress| progress.is_of(&label, total))
        {
            self.progress = Some(Progress::new(label, total));
        }
        if let Some((done, remark)) = advance(event) {
            if let Some(progress) = &mut self.progress {
                progress.set(done, &remark);
            }
            return;
        }
        // Whatever else happens is no part of the task that went on.
        self.progress = match event {
            Event::TrainingStarted { steps, .. } => Some(Progress::new("training", *steps)),
            Event::GenerationStarted { items, .. } | Event::AnsweringTogether { items, .. } => {
                Some(Progress::new("answering", *items as u64))
            }
            Event::JudgingStarted { judgements, .. } => Some(Progress::new("judging", *judgements as u64)),
            _ => None,
        };
        if let Some(line) = wording::line(event) {
            status(line);
        }
    }

    fn stop(&self) -> Stop {
        match self.signals.received() {
            None => Stop::No,
            Some(_) => Stop::Soon,
        }
    }
}

/// The task of reading that an event is about, and how much it is altogether, where that is known.
fn reading(event: &Event<'_>) -> Option<(String, u64)> {
    match event {
        Event::Reading { dataset, .. } => Some((printable(&format!("reading {dataset}, rows")), 0)),
        Event::Tokenizing { dataset, of, .. } => Some((printable(&format!("tokenizing {dataset}")), *of)),
        _ => None,
    }
}

/// How far the task at hand is, with a remark, if the event tells that.
fn advance(event: &Event<'_>) -> Option<(u64, String)> {
    match event {
        Event::Step { step: StepLog { step, loss, tokens, seconds, .. }, .. } => {
            let rate = *tokens as f64 / seconds.max(1e-9);
            Some((*step, format!("loss {loss:.3}, {rate:.0} tokens/s")))
        }
        Event::Reading { rows: done, .. } | Event::Tokenizing { done, .. } => Some((*done, String::new())),
        Event::Generated { done, .. } => Some((*done as u64, String::new())),
        Event::Judged(state) => {
            let spent = state.spent_usd.map_or_else(String::new, |usd| format!(", {usd:.2} USD"));
            Some((state.done as u64, format!("{} scored, {} unscored{spent}", state.scored, state.unscored)))
        }
        _ => None,
    }
}
