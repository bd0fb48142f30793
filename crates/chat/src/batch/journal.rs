//! The journal of submissions: lines in `batches.jsonl`, each written before what it allows is done.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tunebench_files::{JsonLines, create_folder};

use crate::error::ChatError;

/// The file in the folder that callers give.
const FILE: &str = "batches.jsonl";

/// Of a token; hexadecimal.
pub(super) const TOKEN_CHARS: usize = 32;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Entry {
    /// About to be submitted.
    Planned(Plan),
    /// Its requests lie at the server as a file.
    Uploaded { token: String, file: String },
    /// The server has it as a batch.
    Submitted { token: String, batch: String },
    /// All its results were told.
    Settled { token: String },
    /// It never was answered, and never will be: its requests may be submitted again.
    Dropped { token: String, reason: String },
}

/// A submission as it was before anything of it was sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Plan {
    /// Tells it from all others; in the batch's metadata, where it has any.
    pub token: String,
    /// Of the server.
    pub url: String,
    /// In the order in which they are sent.
    pub requests: Vec<Sent>,
    /// The newest batch that the server had before; none where it had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<String>,
}

/// A request of a submission.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Sent {
    pub name: String,
    /// As [`crate::RawResponse::adapted`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub adapted: String,
}

/// A submission that is not over.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Submission {
    pub plan: Plan,
    pub file: Option<String>,
    pub batch: Option<String>,
}

/// The journal, open and locked.
pub(super) struct Journal {
    lines: JsonLines<Entry>,
    folder: PathBuf,
    url: String,
    open: Vec<Submission>,
    /// Batches of this journal, over or not.
    batches: Vec<String>,
    entries: usize,
}

impl Journal {
    /// Opens the journal in a folder, which is made if it is missing, for what was sent to `url`.
    ///
    /// # Errors
    /// [`ChatError::Journal`], also when another process has it open.
    pub(super) fn open(folder: &Path, url: &str) -> Result<Self, ChatError> {
        create_folder(folder).map_err(fault)?;
        let (lines, entries) = JsonLines::open(&folder.join(FILE)).map_err(fault)?;
        let (folder, url) = (folder.to_owned(), url.to_owned());
        let mut journal = Self { lines, folder, url, open: Vec::new(), batches: Vec::new(), entries: 0 };
        entries.into_iter().for_each(|entry| journal.add(entry));
        journal.clean();
        Ok(journal)
    }

    pub(super) fn file(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// Removes what a kill left of requests that were never planned, or are sent.
    fn clean(&self) {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let token = name.strip_suffix(".jsonl").filter(|token| is_token(token));
            let waits = |token| self.submission(token).is_some_and(|submission| submission.batch.is_none());
            if token.is_some_and(|token| !waits(token)) {
                // In the way of nobody, should this fail.
                let _ = std::fs::remove_file(&path);
            }
        }
    }

    /// Submissions to this server that are not over, the oldest first.
    pub(super) fn submissions(&self) -> impl Iterator<Item = &Submission> {
        self.open.iter().filter(|submission| submission.plan.url == self.url)
    }

    pub(super) fn submission(&self, token: &str) -> Option<&Submission> {
        self.open.iter().find(|submission| submission.plan.token == token)
    }

    /// Whether a batch at the server is noted, be it over or not.
    pub(super) fn knows(&self, batch: &str) -> bool {
        self.batches.iter().any(|known| known == batch)
    }

    /// Lines written so far.
    pub(super) fn entries(&self) -> usize {
        self.entries
    }

    /// Where the requests of a submission lie until they are sent.
    pub(super) fn payload(&self, token: &str) -> PathBuf {
        self.folder.join(format!("{token}.jsonl"))
    }

    pub(super) fn plan(&mut self, plan: Plan) -> Result<(), ChatError> {
        self.append(Entry::Planned(plan))
    }

    pub(super) fn uploaded(&mut self, token: &str, file: &str) -> Result<(), ChatError> {
        self.append(Entry::Uploaded { token: token.into(), file: file.into() })
    }

    pub(super) fn submitted(&mut self, token: &str, batch: &str) -> Result<(), ChatError> {
        self.append(Entry::Submitted { token: token.into(), batch: batch.into() })
    }

    pub(super) fn settled(&mut self, token: &str) -> Result<(), ChatError> {
        self.append(Entry::Settled { token: token.into() })
    }

    pub(super) fn dropped(&mut self, token: &str, reason: &str) -> Result<(), ChatError> {
        self.append(Entry::Dropped { token: token.into(), reason: reason.into() })
    }

    /// Writes a line, and has it on the disk before anything is done that it speaks of.
    fn append(&mut self, entry: Entry) -> Result<(), ChatError> {
        self.lines.append(&entry).map_err(fault)?;
        self.lines.sync().map_err(fault)?;
        self.add(entry);
        Ok(())
    }

    fn add(&mut self, entry: Entry) {
        self.entries += 1;
        match entry {
            Entry::Planned(plan) => self.open.push(Submission { plan, file: None, batch: None }),
            Entry::Uploaded { token, file } => self.change(&token, |known| known.file = Some(file)),
            Entry::Submitted { token, batch } => {
                self.batches.push(batch.clone());
                self.change(&token, |known| known.batch = Some(batch));
            }
            Entry::Settled { token } | Entry::Dropped { token, .. } => {
                // A kill leaves it; nobody reads it any more.
                let _ = std::fs::remove_file(self.payload(&token));
                self.open.retain(|known| known.plan.token != token);
            }
        }
    }

    fn change(&mut self, token: &str, change: impl FnOnce(&mut Submission)) {
        if let Some(submission) = self.open.iter_mut().find(|known| known.plan.token == token) {
            change(submission);
        }
    }
}

/// As `run` makes them.
fn is_token(text: &str) -> bool {
    text.len() == TOKEN_CHARS && text.bytes().all(|b| b.is_ascii_hexdigit())
}

pub(super) fn fault(error: tunebench_files::Error) -> ChatError {
    ChatError::Journal(error.to_string())
}
