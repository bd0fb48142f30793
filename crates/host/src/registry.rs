//! The plugins a study may name: those beside the executable, and files named explicitly.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::library::Plugin;
use crate::{DatasetPlugin, HostError, JudgePlugin, Pins, Runner, TunerPlugin};

/// Checked plugins by kind and name, and how they are run.
#[derive(Clone, Default)]
pub struct Registry {
    plugins: BTreeMap<(String, String), Plugin>,
    pins: Pins,
    runner: Runner,
}

/// File names of installed plugins begin with one of these.
const PREFIXES: [&str; 3] = ["tuner_", "dataset_", "judge_"];

impl Registry {
    /// No plugin yet; files are compared with `pins`, and plugins run as `runner` says.
    pub fn new(pins: Pins, runner: Runner) -> Self {
        Self { plugins: BTreeMap::new(), pins, runner }
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
        let plugin = self.runner.load(path, &self.pins).1?;
        let key = (plugin.manifest.kind.clone(), plugin.manifest.name.clone());
        if let Some(first) = self.plugins.get(&key) {
            let (kind, name) = key;
            return Err(HostError::Twice { kind, name, first: first.path.clone(), second: plugin.path });
        }
        Ok(self.plugins.entry(key).or_insert(plugin))
    }

    /// What has been added by the user.
    pub fn pins(&self) -> &Pins {
        &self.pins
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
    pub fn tuner(&self, name: &str, options: &crate::Options) -> Result<TunerPlugin, HostError> {
        TunerPlugin::open(&self.runner, self.find("tuner", name)?, options)
    }

    /// A dataset over files.
    ///
    /// # Errors
    /// When there is none of the name, a file cannot be opened, or it refuses the options.
    pub fn dataset(&self, name: &str, files: &[PathBuf], options: &crate::Options) -> Result<DatasetPlugin, HostError> {
        DatasetPlugin::open(&self.runner, self.find("dataset", name)?, files, options)
    }

    /// A judge with its options.
    ///
    /// # Errors
    /// When there is none of the name or it refuses the options.
    pub fn judge(&self, name: &str, options: &crate::Options) -> Result<JudgePlugin, HostError> {
        JudgePlugin::open(&self.runner, self.find("judge", name)?, options)
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
