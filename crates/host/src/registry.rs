//! The plugins a study may name: those beside the executable, and files named explicitly.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::adapter::SourceFiles;
use crate::error::HostError;
use crate::load::{LockFile, Plugin};
use crate::options::Options;
use crate::plugin::{DatasetPlugin, JudgePlugin, TunerPlugin};
use crate::worker::Launcher;

/// Checked plugins by kind and name, and how they are run.
#[derive(Clone, Default)]
pub struct Registry {
    plugins: BTreeMap<(String, String), Plugin>,
    lock_file: LockFile,
    launcher: Launcher,
    warnings: BTreeSet<String>,
}

/// File names of installed plugins begin with one of these.
const PREFIXES: [&str; 3] = ["tuner_", "dataset_", "judge_"];

impl Registry {
    /// No plugin yet; files are compared with `lock_file`, and plugins run as `launcher` says.
    pub fn new(lock_file: LockFile, launcher: Launcher) -> Self {
        Self { lock_file, launcher, ..Self::default() }
    }

    /// The plugin files in a folder: `libtuner_*.so` and alike, sorted.
    ///
    /// # Errors
    /// [`HostError::Source`] when the folder cannot be read.
    pub fn files_in(folder: &Path) -> Result<Vec<PathBuf>, HostError> {
        let fail = |e: std::io::Error| HostError::Source { path: folder.to_owned(), reason: e.to_string() };
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(fail)? {
            files.push(entry.map_err(fail)?.path());
        }
        files.retain(|path| is_plugin(path));
        files.sort();
        Ok(files)
    }

    /// Loads a file and offers its plugin. The same file twice is one plugin.
    ///
    /// # Errors
    /// [`HostError::Load`], or [`HostError::Twice`] when another file offers a plugin of this kind and name.
    pub fn add(&mut self, path: &Path) -> Result<&Plugin, HostError> {
        if let Some(key) = self.key_of(path) {
            return Ok(&self.plugins[&key]);
        }
        let (checks, plugin) = self.launcher.load(path, &self.lock_file);
        self.warnings.extend(checks.into_iter().filter_map(|check| check.warning));
        let plugin = plugin?;
        let key = (plugin.manifest.kind.clone(), plugin.manifest.name.clone());
        if let Some(first) = self.plugins.get(&key) {
            let (kind, name) = key;
            return Err(HostError::Twice { kind, name, first: first.path.clone(), second: plugin.path });
        }
        Ok(self.plugins.entry(key).or_insert(plugin))
    }

    /// What has been added by the user.
    pub fn lock_file(&self) -> &LockFile {
        &self.lock_file
    }

    /// What the user should know of the plugins that were loaded, each once: of protections that isolation lacks here.
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        self.warnings.iter().map(String::as_str)
    }

    /// All plugins, by kind and name.
    pub fn plugins(&self) -> impl Iterator<Item = &Plugin> {
        self.plugins.values()
    }

    /// A plugin by kind and name.
    ///
    /// # Errors
    /// [`HostError::Unknown`] lists those of the kind.
    pub fn find(&self, kind: &str, name: &str) -> Result<&Plugin, HostError> {
        self.plugins.get(&(kind.to_owned(), name.to_owned())).ok_or_else(|| {
            let known: Vec<&str> = self.plugins.keys().filter(|k| k.0 == kind).map(|k| k.1.as_str()).collect();
            HostError::Unknown { kind: kind.into(), name: name.into(), known: known.join(", ") }
        })
    }

    /// A tuner with its options.
    ///
    /// # Errors
    /// When there is none of the name or it refuses the options.
    pub fn tuner(&self, name: &str, options: &Options) -> Result<TunerPlugin, HostError> {
        TunerPlugin::open(&self.launcher, self.find("tuner", name)?, options)
    }

    /// A dataset over files.
    ///
    /// # Errors
    /// When there is none of the name, a file cannot be opened, or it refuses the options.
    pub fn dataset(&self, name: &str, files: &[PathBuf], options: &Options) -> Result<DatasetPlugin, HostError> {
        self.dataset_of(name, &files.into(), options)
    }

    /// A dataset over a source, whose columns may have other names.
    ///
    /// # Errors
    /// As [`Registry::dataset`].
    pub fn dataset_of(&self, name: &str, source: &SourceFiles, options: &Options) -> Result<DatasetPlugin, HostError> {
        DatasetPlugin::open(&self.launcher, self.find("dataset", name)?, source, options)
    }

    /// A judge with its options.
    ///
    /// # Errors
    /// When there is none of the name or it refuses the options.
    pub fn judge(&self, name: &str, options: &Options) -> Result<JudgePlugin, HostError> {
        JudgePlugin::open(&self.launcher, self.find("judge", name)?, options)
    }

    fn key_of(&self, path: &Path) -> Option<(String, String)> {
        let path = path.canonicalize().ok()?;
        self.plugins.iter().find(|(_, p)| p.path == path).map(|(key, _)| key.clone())
    }
}

fn is_plugin(path: &Path) -> bool {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let Some(stem) = name.strip_suffix(std::env::consts::DLL_SUFFIX) else { return false };
    let Some(stem) = stem.strip_prefix(std::env::consts::DLL_PREFIX) else { return false };
    PREFIXES.iter().any(|p| stem.starts_with(p))
}
