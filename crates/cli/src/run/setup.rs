//! A study file, resolved: where its paths point and which plugins it may name.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use tunebench_host::Registry;
use tunebench_spec::{Engine, Study};

/// A study with what it needs around it.
pub struct Setup {
    pub study: Study,
    /// Folder of the study file, which its paths are relative to.
    pub home: PathBuf,
    pub plugins: Registry,
    /// What trains and answers.
    pub engine: Engine,
}

impl Setup {
    /// Reads a study file and loads the plugins beside the executable, those the study names, and `extra`.
    pub fn open(file: &Path, extra: &[PathBuf], engine: Engine) -> Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| format!("study file {}", file.display()))?;
        let study = Study::from_toml(&text).with_context(|| format!("study file {}", file.display()))?;
        let home = file.parent().unwrap_or(Path::new("")).to_owned();
        Self::new(study, home, extra, engine)
    }

    /// As [`Setup::open`], for a study at hand.
    pub fn new(study: Study, home: PathBuf, extra: &[PathBuf], engine: Engine) -> Result<Self> {
        let mut plugins = installed()?;
        for file in &study.study.plugins {
            plugins.add(&resolve(&home, file)?)?;
        }
        for file in extra {
            plugins.add(file)?;
        }
        Ok(Self { study, home, plugins, engine })
    }

    /// Where a path of the study points; `hint` is said when nothing is there.
    pub fn path(&self, text: &str, hint: Option<&str>) -> Result<PathBuf> {
        let found = resolve(&self.home, text).and_then(|path| {
            if !path.exists() {
                bail!("{}: no such file or folder", path.display());
            }
            Ok(path)
        });
        match hint {
            Some(hint) => found.map_err(|e| anyhow!("{e:#}; {hint}")),
            None => found,
        }
    }
}

/// The plugins that lie beside the executable, where `cargo xtask plugins` builds them.
pub fn installed() -> Result<Registry> {
    let mut plugins = Registry::default();
    let executable = std::env::current_exe().context("where this executable is")?;
    for file in Registry::files_in(executable.parent().unwrap_or(Path::new(".")))? {
        plugins.add(&file)?;
    }
    Ok(plugins)
}

/// `text` with its `${NAME}`s replaced from the environment, relative to `home` unless absolute.
fn resolve(home: &Path, text: &str) -> Result<PathBuf> {
    let mut path = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, after)) = after.split_once('}') else { bail!("{text}: a `${{` without its `}}`") };
        let value = std::env::var(name).ok().filter(|v| !v.is_empty());
        let Some(value) = value else { bail!("the environment variable {name} is not set, which `{text}` needs") };
        path += before;
        path += &value;
        rest = after;
    }
    path += rest;
    Ok(home.join(path))
}
