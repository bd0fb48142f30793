//! Tokens kept from run to run, in a folder of the user's, named by all that they are made of.
//!
//! ```text
//! NAME.source.json   what is known of a source that was read to its end
//! NAME.overlap.json  which of its rows are evaluation items, or nearly
//! NAME.tokens        the tokens of its examples (`crates/dataset/src/token_set.rs`)
//! ```
//!
//! A name is a hash over the contents of the source's files, the plugin's file, this program, and all settings: whatever
//! would change the content changes the name, so nothing here is ever out of date, and any of it may be deleted at any
//! time. What was not used for longest is deleted when all of it takes more than is allowed.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tunebench_files as files;

use crate::error::StudyError;

/// Sources with fewer bytes are read and tokenized each time, in less time than keeping them would take.
pub const LEAST_BYTES: u64 = 1 << 20;

/// Bytes that a cache takes unless another limit is set.
pub const MOST_BYTES: u64 = 64 << 30;

/// Ends of the names of files here.
const KINDS: [&str; 3] = [".source.json", ".overlap.json", ".tokens"];

/// What `files` puts behind the name of a file that is being written, or was when its process was killed.
const PARTIAL: &str = ".partial";

/// Where tokens are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenCache {
    pub folder: PathBuf,
    /// Bytes that all of it may take; a set that is larger by itself is kept alone.
    pub most_bytes: u64,
}

/// What a cache holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    pub files: usize,
    pub bytes: u64,
}

impl TokenCache {
    /// Where the tokens of this name are.
    pub(crate) fn tokens(&self, name: &str) -> PathBuf {
        self.path(name, "tokens")
    }

    fn path(&self, name: &str, kind: &str) -> PathBuf {
        let name = name.get(..32).unwrap_or(name);
        self.folder.join(format!("{name}.{kind}"))
    }

    /// What is kept under this name; none when it is not there or cannot be read: then it is made anew.
    pub(crate) fn read<T: DeserializeOwned>(&self, name: &str, kind: &str) -> Option<T> {
        let path = self.path(name, &format!("{kind}.json"));
        let found = files::read_json(&path).ok()?;
        mark_used(&path);
        Some(found)
    }

    /// Keeps something small under this name.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write<T: Serialize>(&self, name: &str, kind: &str, value: &T) -> Result<(), StudyError> {
        files::create_folder(&self.folder)?;
        Ok(files::write_json(&self.path(name, &format!("{kind}.json")), value)?)
    }

    /// Deletes what was not used for longest, until the rest takes no more than it may; `kept` stays. What was deleted.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(crate) fn trim(&self, kept: &Path) -> Result<Held, StudyError> {
        let mut found = self.list()?;
        found.sort_by_key(|(_, _, used)| *used);
        let mut bytes: u64 = found.iter().map(|(_, bytes, _)| bytes).sum();
        let mut deleted = Held::default();
        for (path, size, _) in found.iter().filter(|(path, ..)| path != kept) {
            if bytes <= self.most_bytes {
                break;
            }
            // Where it is in use and cannot be deleted, it is deleted another time.
            if !is_being_written(path) && fs::remove_file(path).is_ok() {
                bytes -= size;
                deleted = Held { files: deleted.files + 1, bytes: deleted.bytes + size };
            }
        }
        Ok(deleted)
    }

    /// What it holds now.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn held(&self) -> Result<Held, StudyError> {
        let found = self.list()?;
        Ok(Held { files: found.len(), bytes: found.iter().map(|(_, bytes, _)| bytes).sum() })
    }

    /// Deletes all that is kept, and nothing else that lies in the folder; what that was.
    ///
    /// # Errors
    /// When a file cannot be deleted.
    pub fn clear(&self) -> Result<Held, StudyError> {
        let mut found = self.list()?;
        found.retain(|(path, ..)| !is_being_written(path));
        for (path, ..) in &found {
            fs::remove_file(path).map_err(|source| files::Error::Io { path: path.clone(), source })?;
        }
        Ok(Held { files: found.len(), bytes: found.iter().map(|(_, bytes, _)| bytes).sum() })
    }

    /// Its files: their sizes and when they were used last.
    fn list(&self) -> Result<Vec<(PathBuf, u64, SystemTime)>, StudyError> {
        let mut found = Vec::new();
        if !self.folder.is_dir() {
            return Ok(found);
        }
        let fail = |source| files::Error::Io { path: self.folder.clone(), source };
        for entry in fs::read_dir(&self.folder).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
            // One that is deleted by another process at this moment is not there.
            let Some(about) = fs::metadata(&path).ok().filter(|about| about.is_file()) else { continue };
            // What a killed run left takes room too.
            let name = name.strip_suffix(PARTIAL).unwrap_or(name);
            if KINDS.iter().any(|kind| name.ends_with(kind)) {
                found.push((path, about.len(), about.modified().unwrap_or(SystemTime::UNIX_EPOCH)));
            }
        }
        Ok(found)
    }
}

/// Whether a process is writing a file: it holds its lock.
fn is_being_written(path: &Path) -> bool {
    let is_partial = path.extension().is_some_and(|extension| extension == "partial");
    is_partial && File::open(path).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

/// Notes that a file was used now. One that cannot be changed is used all the same.
pub(crate) fn mark_used(path: &Path) {
    let _ = File::options().append(true).open(path).and_then(|file| file.set_modified(SystemTime::now()));
}
