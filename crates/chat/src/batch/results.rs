//! What the results of a batch were, line by line: counted, so that nothing is passed over without a word.

use std::collections::BTreeMap;

use super::provider::{Line, Outcome, Provider};

/// Of a line that cannot be read, what is kept at most.
const MAX_KEPT_BYTES: usize = 1 << 20;
/// The same of a file; of the lines after these, [`LEAST_KEPT_BYTES`].
const MAX_KEPT_OF_FILE: usize = 64 << 20;
const LEAST_KEPT_BYTES: usize = 1 << 10;

/// A line that cannot be read, and may have been a reply.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Broken {
    /// The request whose name is in it, if any is.
    pub name: Option<String>,
    pub text: String,
}

/// Lines of a batch's results.
#[derive(Default)]
pub(super) struct Tally {
    /// The names that were seen, each with the file it was in, and whether it has a reply there.
    seen: BTreeMap<String, (usize, bool)>,
    files: Vec<Counts>,
}

#[derive(Clone, Default)]
struct Counts {
    garbage: Vec<Broken>,
    kept_bytes: usize,
    unknown: u64,
    repeated: u64,
}

impl Tally {
    /// Begins with a file, anew if it was begun before.
    pub(super) fn begin(&mut self, file: usize) {
        self.files.truncate(file);
        self.files.resize(file + 1, Counts::default());
        self.seen.retain(|_, (seen_in, _)| *seen_in < file);
    }

    /// Takes a line of the file begun last; what it says, if it is a result of one of these, and the first of it.
    pub(super) fn take(&mut self, provider: &dyn Provider, line: &str, is_ours: impl Fn(&str) -> bool) -> Option<Line> {
        let file = self.files.len().saturating_sub(1);
        let counts = self.files.last_mut().filter(|_| !line.trim().is_empty())?;
        let Ok(read) = provider.read(line) else {
            let left = MAX_KEPT_OF_FILE.saturating_sub(counts.kept_bytes).max(LEAST_KEPT_BYTES);
            let text = line.get(..line.floor_char_boundary(left.min(MAX_KEPT_BYTES))).unwrap_or_default().to_owned();
            counts.kept_bytes += text.len();
            let name = line.split(|c: char| !c.is_ascii_alphanumeric()).find(|word| is_ours(word)).map(str::to_owned);
            counts.garbage.push(Broken { name, text });
            return None;
        };
        if !is_ours(&read.name) {
            counts.unknown += 1;
            return None;
        }
        if self.seen.contains_key(&read.name) {
            counts.repeated += 1;
            return None;
        }
        self.seen.insert(read.name.clone(), (file, matches!(read.outcome, Outcome::Answered { .. })));
        Some(read)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.seen.contains_key(name)
    }

    /// Requests that have a reply.
    pub(super) fn replies(&self) -> u64 {
        self.seen.values().filter(|(_, has_reply)| *has_reply).count() as u64
    }

    /// Lines that are no results, and may have been replies.
    pub(super) fn garbage(&self) -> u64 {
        self.files.iter().map(|counts| counts.garbage.len() as u64).sum()
    }

    /// These lines.
    pub(super) fn broken(&self) -> impl Iterator<Item = &Broken> {
        self.files.iter().flat_map(|counts| &counts.garbage)
    }

    /// What was passed over, in words; empty where nothing was.
    pub(super) fn passed_over(&self) -> String {
        let sum = |count: fn(&Counts) -> u64| self.files.iter().map(count).sum::<u64>();
        let words = [
            (self.garbage(), "no result"),
            (sum(|counts| counts.unknown), "of requests that are not in it"),
            (sum(|counts| counts.repeated), "repeated"),
        ];
        let words = words.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}"));
        words.collect::<Vec<_>>().join(", ")
    }
}
