//! Progress on standard error: a bar with an estimate on a terminal, plain lines now and then elsewhere.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::commands::printable;

/// Off a terminal, at most one line per this long.
const LINE_INTERVAL: Duration = Duration::from_secs(15);

/// Writes a line of what is going on, harmless whatever is quoted in it. Nobody may be listening any more.
pub fn say(line: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr(), "{}", printable(line.as_ref()));
}

/// The progress of one task of known length.
pub struct Progress {
    bar: Option<ProgressBar>,
    label: String,
    total: u64,
    last_line: Instant,
}

impl Progress {
    /// Starts at 0 of `total`.
    pub fn new(label: &str, total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total);
            let style = ProgressStyle::with_template("  {prefix} {bar:24} {pos}/{len}  {elapsed}<{eta}  {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_prefix(label.to_owned());
            bar
        });
        Self { bar, label: label.to_owned(), total, last_line: Instant::now() }
    }

    /// `done` of the total, with a remark.
    pub fn set(&mut self, done: u64, remark: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(remark.to_owned());
            bar.set_position(done);
            return;
        }
        if self.last_line.elapsed() >= LINE_INTERVAL {
            self.last_line = Instant::now();
            say(format!("  {}: {done}/{}  {remark}", self.label, self.total));
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
