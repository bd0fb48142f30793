//! How downloads are shown: a bar with an estimate on a terminal, plain lines now and then elsewhere.

use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use tunebench_study::{Download, OnDownload};

use crate::output::{LINE_INTERVAL, printable, status, warn};

/// What is shown of the file that is on its way.
struct Shown {
    file: String,
    bar: Option<ProgressBar>,
    last_line: Instant,
}

/// Shows downloads on standard error.
pub fn shown() -> OnDownload {
    let shown: Mutex<Option<Shown>> = Mutex::default();
    Box::new(move |download| {
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        match download {
            Download::Planned { address, files, bytes } => {
                status(format!("{address}: downloading {files} files, {:.1} MB", bytes as f64 / 1e6));
            }
            Download::Cached { address, commit, because } => {
                let commit = commit.get(..12).unwrap_or(commit);
                warn(&format!(
                    "{address}: the hub could not be asked ({because}); commit {commit} of the cache is used"
                ));
            }
            Download::Waiting { file } => status(format!("  {file}: another process downloads it; waiting")),
            Download::Bytes { file, done, total } => {
                let current =
                    shown.take().filter(|shown| shown.file == file).unwrap_or_else(|| Shown::new(file, total));
                *shown = current.set(done, total);
            }
        }
    })
}

impl Shown {
    fn new(file: &str, total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total);
            let style = "  {prefix} {bar:24} {bytes}/{total_bytes}  {bytes_per_sec}  {elapsed}<{eta}";
            bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_prefix(printable(file));
            bar
        });
        Self { file: file.to_owned(), bar, last_line: Instant::now() }
    }

    /// `done` bytes of `total` are there; none when those are all.
    fn set(mut self, done: u64, total: u64) -> Option<Self> {
        match &self.bar {
            Some(bar) => bar.set_position(done),
            None if self.last_line.elapsed() >= LINE_INTERVAL => {
                self.last_line = Instant::now();
                status(format!("  {}: {:.1} of {:.1} MB", self.file, done as f64 / 1e6, total as f64 / 1e6));
            }
            None => {}
        }
        if done < total {
            return Some(self);
        }
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        None
    }
}
