//! The lock file: the plugins that a user has added, each with the SHA-256 of what was added.

use std::error::Error as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::plugin::Plugin;
use crate::error::HostError;

/// The plugins that were added, and where that is written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LockFile {
    path: PathBuf,
    plugins: Vec<LockedPlugin>,
}

/// One added plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedPlugin {
    pub kind: String,
    pub name: String,
    pub version: String,
    /// Absolute, without links.
    pub path: PathBuf,
    pub sha256: String,
}

impl LockedPlugin {
    fn of(plugin: &Plugin) -> Self {
        let m = &plugin.manifest;
        Self {
            kind: m.kind.clone(),
            name: m.name.clone(),
            version: m.version.clone(),
            path: plugin.path.clone(),
            sha256: plugin.sha256.clone(),
        }
    }
}

/// The file's content.
#[derive(Default, Serialize, Deserialize)]
struct Form {
    version: u32,
    plugins: Vec<LockedPlugin>,
}

const VERSION: u32 = 1;

impl LockFile {
    /// What a lock file says; nothing when there is none yet.
    ///
    /// # Errors
    /// [`HostError::LockFile`] when it cannot be read.
    pub fn open(path: &Path) -> Result<Self, HostError> {
        let fail = |reason: String| HostError::LockFile { path: path.to_owned(), reason };
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self { path: path.to_owned(), plugins: Vec::new() });
            }
            Err(e) => return Err(fail(e.to_string())),
        };
        let form: Form =
            serde_json::from_slice(&text).map_err(|e| fail(format!("{e}; delete it and add the plugins again")))?;
        if form.version != VERSION {
            return Err(fail(format!("written by another tunebench (form {}); delete it", form.version)));
        }
        Ok(Self { path: path.to_owned(), plugins: form.plugins })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// One plugin as it was found, so that only that file will do.
    pub(crate) fn exactly(plugin: &Plugin) -> Self {
        Self { path: PathBuf::new(), plugins: vec![LockedPlugin::of(plugin)] }
    }

    /// All of them, in order of kind and name.
    pub fn iter(&self) -> impl Iterator<Item = &LockedPlugin> {
        self.plugins.iter()
    }

    /// What was added from a file, which is given without links.
    pub fn of(&self, path: &Path) -> Option<&LockedPlugin> {
        self.plugins.iter().find(|p| p.path == path)
    }

    /// What was added of this kind and name.
    pub fn named(&self, kind: &str, name: &str) -> Option<&LockedPlugin> {
        self.plugins.iter().find(|p| p.kind == kind && p.name == name)
    }

    /// Adds a plugin as it is now, in place of one of its kind and name or of its file, and writes the lock file.
    ///
    /// # Errors
    /// [`HostError::LockFile`] when it cannot be written.
    pub fn add(&mut self, plugin: &Plugin) -> Result<(), HostError> {
        let fail = |e: std::io::Error| HostError::LockFile { path: self.path.clone(), reason: e.to_string() };
        // Others may add at the same time: one after the other, each to what is there by then.
        let folder = self.path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(fail)?;
        let guard = std::fs::File::create(folder.join("plugins.lock.guard")).map_err(fail)?;
        guard.lock().map_err(fail)?;
        *self = Self::open(&self.path)?;
        let m = &plugin.manifest;
        self.plugins.retain(|p| p.path != plugin.path && (&p.kind, &p.name) != (&m.kind, &m.name));
        self.plugins.push(LockedPlugin::of(plugin));
        self.plugins.sort_by(|a, b| (&a.kind, &a.name).cmp(&(&b.kind, &b.name)));
        let form = Form { version: VERSION, plugins: self.plugins.clone() };
        let written = tunebench_files::write_file(&self.path, |out| {
            serde_json::to_writer_pretty(&mut *out, &form)?;
            writeln!(out)
        });
        written.map_err(|e| {
            // The file is named already.
            let reason = e.source().map_or_else(|| e.to_string(), ToString::to_string);
            HostError::LockFile { path: self.path.clone(), reason }
        })
    }
}
