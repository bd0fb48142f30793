//! The lock file: the plugins that a user has added, each with the SHA-256 of what was added.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{HostError, Plugin};

/// Added plugins.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pins {
    file: PathBuf,
    pins: Vec<Pin>,
}

/// One added plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    pub kind: String,
    pub name: String,
    pub version: String,
    /// Absolute, without links.
    pub path: PathBuf,
    pub sha256: String,
}

impl Pin {
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

#[derive(Default, Serialize, Deserialize)]
struct Lock {
    /// Of this file's form.
    version: u32,
    plugins: Vec<Pin>,
}

const VERSION: u32 = 1;

impl Pins {
    /// What a lock file says; nothing when there is none yet.
    ///
    /// # Errors
    /// [`HostError::Pins`] when it cannot be read.
    pub fn open(file: &Path) -> Result<Self, HostError> {
        let fail = |reason: String| HostError::Pins { path: file.to_owned(), reason };
        let text = match std::fs::read(file) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self { file: file.to_owned(), pins: Vec::new() });
            }
            Err(e) => return Err(fail(e.to_string())),
        };
        let lock: Lock =
            serde_json::from_slice(&text).map_err(|e| fail(format!("{e}; delete it and add the plugins again")))?;
        if lock.version != VERSION {
            return Err(fail(format!("written by another tunebench (form {}); delete it", lock.version)));
        }
        Ok(Self { file: file.to_owned(), pins: lock.plugins })
    }

    /// The lock file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// One plugin as it was found, so that only that file will do.
    pub(crate) fn exactly(plugin: &Plugin) -> Self {
        Self { file: PathBuf::new(), pins: vec![Pin::of(plugin)] }
    }

    /// All of them, in order of kind and name.
    pub fn iter(&self) -> impl Iterator<Item = &Pin> {
        self.pins.iter()
    }

    /// The pin of a file, which is given without links.
    pub fn of(&self, path: &Path) -> Option<&Pin> {
        self.pins.iter().find(|pin| pin.path == path)
    }

    /// The pin of this kind and name.
    pub fn named(&self, kind: &str, name: &str) -> Option<&Pin> {
        self.pins.iter().find(|pin| pin.kind == kind && pin.name == name)
    }

    /// Adds a plugin as it is now, in place of one of its kind and name or of its file, and writes the lock file.
    ///
    /// # Errors
    /// [`HostError::Pins`] when it cannot be written.
    pub fn add(&mut self, plugin: &Plugin) -> Result<(), HostError> {
        let fail = |e: std::io::Error| HostError::Pins { path: self.file.clone(), reason: e.to_string() };
        // Others may add at the same time: one after the other, each to what is there by then.
        let folder = self.file.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(fail)?;
        let guard = std::fs::File::create(folder.join("plugins.lock.guard")).map_err(fail)?;
        guard.lock().map_err(fail)?;
        *self = Self::open(&self.file)?;
        let m = &plugin.manifest;
        self.pins.retain(|pin| pin.path != plugin.path && (&pin.kind, &pin.name) != (&m.kind, &m.name));
        self.pins.push(Pin::of(plugin));
        self.pins.sort_by(|a, b| (&a.kind, &a.name).cmp(&(&b.kind, &b.name)));
        self.write().map_err(|e| HostError::Pins { path: self.file.clone(), reason: e.to_string() })
    }

    /// Under another name, synced and renamed: the file is there whole or as it was.
    fn write(&self) -> std::io::Result<()> {
        let folder = self.file.parent().unwrap_or(Path::new("."));
        let mut text = serde_json::to_string_pretty(&Lock { version: VERSION, plugins: self.pins.clone() })?;
        text.push('\n');
        let mut new = tempfile::NamedTempFile::new_in(folder)?;
        new.write_all(text.as_bytes())?;
        new.as_file().sync_all()?;
        new.persist(&self.file)?;
        Ok(())
    }
}
