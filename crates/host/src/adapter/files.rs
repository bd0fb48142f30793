//! The open files of a source: as rows, or as the bytes they are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use abi_stable::std_types::{RErr, ROk, RString, RVec};
use serde::{Deserialize, Serialize};
use tunebench_plugin_api::abi::{API_MINOR, AbiError, AbiResult, AbiSource, code};
use tunebench_rows::{Columns, RowFile, Seen};

use crate::error::HostError;

/// What a dataset reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFiles {
    /// In their order.
    pub paths: Vec<PathBuf>,
    /// The column of each name that the dataset knows, where a file calls it otherwise.
    pub columns: BTreeMap<String, String>,
}

impl From<&[PathBuf]> for SourceFiles {
    fn from(paths: &[PathBuf]) -> Self {
        Self { paths: paths.to_vec(), columns: BTreeMap::new() }
    }
}

/// How a plugin reads files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reading {
    Rows,
    Bytes,
}

/// The open files of a source, in the order the study gives. Clones are the same files.
#[derive(Clone, Default)]
pub(crate) struct Files(Arc<Inner>);

#[derive(Default)]
struct Inner {
    names: Vec<String>,
    contents: Vec<Mutex<Content>>,
    columns: Columns,
    /// What a file failed of, which a plugin tells in its own words.
    fault: Mutex<Option<String>>,
}

enum Content {
    Rows(Box<RowFile>),
    Bytes(File),
    /// A file among several that holds nothing.
    Empty,
}

/// Most bytes per read; a plugin that asks for more gets this much.
const MOST_BYTES: u64 = 16 << 20;

impl Files {
    /// Opens them all.
    ///
    /// # Errors
    /// [`HostError::Source`] with the file that cannot be opened, [`HostError::Rows`] with what is wrong in it.
    pub fn open(source: &SourceFiles, reading: Reading) -> Result<Self, HostError> {
        let rows_fault = |error: tunebench_rows::Error| HostError::Rows { reason: error.to_string() };
        let columns = Columns::new(&source.columns).map_err(rows_fault)?;
        if reading == Reading::Bytes && !columns.is_empty() {
            let reason = "columns: this dataset plugin reads its files by itself, or was built with plugin-api 1.2 or before; \
                          build it anew, or name the columns in its own options";
            return Err(HostError::Rows { reason: reason.into() });
        }
        let names = unique_names(&source.paths);
        let mut contents = Vec::new();
        for (path, name) in source.paths.iter().zip(&names) {
            let fail = |reason: String| HostError::Source { path: path.clone(), reason };
            let file = File::open(path).map_err(|e| fail(e.to_string()))?;
            if file.metadata().map_err(|e| fail(e.to_string()))?.is_dir() {
                return Err(fail("is a folder; name the files in it".into()));
            }
            let content = match reading {
                Reading::Bytes => Content::Bytes(file),
                Reading::Rows => match RowFile::open(name, file, &columns) {
                    Ok(rows) => Content::Rows(Box::new(rows)),
                    // Of many parts one may be empty; that is told.
                    Err(tunebench_rows::Error::Empty { .. }) if names.len() > 1 => Content::Empty,
                    Err(error) => return Err(rows_fault(error)),
                },
            };
            contents.push(Mutex::new(content));
        }
        Ok(Self(Arc::new(Inner { names, contents, columns, fault: Mutex::default() })))
    }

    /// What a file failed of while it was read.
    pub fn fault(&self) -> Option<HostError> {
        let reason = self.0.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        Some(HostError::Rows { reason })
    }

    /// What a user should know of how files were read.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        for (content, name) in self.0.contents.iter().zip(&self.0.names) {
            match &*content.lock().unwrap_or_else(PoisonError::into_inner) {
                Content::Rows(rows) => remarks.extend(rows.remarks()),
                Content::Bytes(_) => {}
                Content::Empty => remarks.push(format!("{name}: it is empty")),
            }
        }
        remarks
    }

    fn read_at(&self, file: u32, offset: u64, max: u64) -> Result<Vec<u8>, String> {
        let content = self.0.contents.get(file as usize).ok_or_else(|| format!("the source has no file {file}"))?;
        let most = usize::try_from(max.min(MOST_BYTES)).unwrap_or(usize::MAX);
        let bytes = match &mut *content.lock().unwrap_or_else(PoisonError::into_inner) {
            Content::Rows(rows) => rows.read_at(offset, most).map_err(|e| e.to_string())?,
            Content::Bytes(file) => read_bytes(file, offset, most).map_err(|e| e.to_string())?,
            Content::Empty => Vec::new(),
        };
        if bytes.is_empty() && max > 0 {
            self.check_columns()?;
        }
        Ok(bytes)
    }

    /// Once all files are read to their ends: whether every column was found.
    fn check_columns(&self) -> Result<(), String> {
        if self.0.columns.is_empty() {
            return Ok(());
        }
        let mut all = Seen::default();
        for content in &self.0.contents {
            match &*content.lock().unwrap_or_else(PoisonError::into_inner) {
                Content::Rows(rows) => match rows.seen() {
                    Some(seen) => all.join(seen),
                    None => return Ok(()),
                },
                Content::Bytes(_) | Content::Empty => {}
            }
        }
        self.0.columns.check(&all).map_err(|e| e.to_string())
    }
}

fn read_bytes(file: &File, offset: u64, most: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; most];
    let mut used = 0;
    while used < most {
        match file.read_at(&mut bytes[used..], offset.saturating_add(used as u64))? {
            0 => break,
            count => used += count,
        }
    }
    bytes.truncate(used);
    Ok(bytes)
}

impl AbiSource for Files {
    fn files(&self) -> RVec<RString> {
        self.0.names.iter().map(|n| n.as_str().into()).collect()
    }

    fn read(&self, file: u32, offset: u64, max: u64) -> AbiResult<RVec<u8>> {
        match self.read_at(file, offset, max) {
            Ok(bytes) => ROk(bytes.into()),
            Err(reason) => {
                let error = AbiError::new(code::REFUSED, &reason);
                // A file that there is not is the plugin's own question.
                if (file as usize) < self.0.contents.len() {
                    self.0.fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
                }
                RErr(error)
            }
        }
    }

    fn api_minor(&self) -> u32 {
        API_MINOR
    }
}

/// The files' names, with as many of their folders as tell equal ones apart: a row is known by its file's name. A file
/// that is named again has a number.
fn unique_names(paths: &[PathBuf]) -> Vec<String> {
    let tail = |path: &Path, parts: usize| {
        let all: Vec<String> = path.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
        all[all.len().saturating_sub(parts)..].join("/")
    };
    let mut names: Vec<String> = paths.iter().map(|path| tail(path, 1)).collect();
    let deepest = paths.iter().map(|path| path.components().count()).max().unwrap_or(0);
    for parts in 2..=deepest {
        let alike: Vec<usize> =
            (0..names.len()).filter(|i| names.iter().filter(|name| **name == names[*i]).count() > 1).collect();
        for index in alike {
            names[index] = tail(&paths[index], parts);
        }
    }
    let mut seen = BTreeSet::new();
    for name in &mut names {
        let mut number = 1;
        let plain = name.clone();
        while !seen.insert(name.clone()) {
            number += 1;
            *name = format!("{plain}({number})");
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_files_apart() {
        for (paths, want) in [
            (&["/x/a/t.json", "/x/b/u.json"][..], &["t.json", "u.json"][..]),
            (&["/x/a/t.json", "/x/b/t.json"], &["a/t.json", "b/t.json"]),
            (&["/x/a/t.json", "/y/a/t.json", "u.json"], &["x/a/t.json", "y/a/t.json", "u.json"]),
            (&["a/t.json", "t.json"], &["a/t.json", "t.json"]),
            (&["t.json", "t.json"], &["t.json", "t.json(2)"]),
        ] {
            let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
            assert_eq!(unique_names(&paths), want);
        }
    }
}
