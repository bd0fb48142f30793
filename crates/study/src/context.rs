//! A study file, resolved: where its paths point and which plugins it may name.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use tunebench_host::{Isolation, Pins, Registry, Runner};
use tunebench_spec::{Engine, Study};

use crate::args::Shared;

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
    /// Reads a study file and loads the plugins it may name: those beside the executable, those given, and of those
    /// added the ones it does name.
    pub fn open(file: &Path, shared: &Shared) -> Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| format!("study file {}", file.display()))?;
        let study = Study::from_toml(&text).with_context(|| format!("study file {}", file.display()))?;
        let home = file.parent().unwrap_or(Path::new("")).to_owned();
        let mut plugins = installed(shared)?;
        for file in &shared.plugins {
            plugins.add(file)?;
        }
        for file in &study.study.plugins {
            add_named(&mut plugins, &resolve(&home, file)?)?;
        }
        for (kind, name) in study.plugin_names() {
            let pin = plugins.pins().named(kind, name).filter(|_| plugins.find(kind, name).is_err());
            if let Some(path) = pin.map(|pin| pin.path.clone()) {
                plugins.add(&path)?;
            }
        }
        Ok(Self { study, home, plugins, engine: shared.engine })
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

/// A plugin that a study file names: a study may come from anywhere, so the user must have said yes to the file.
fn add_named(plugins: &mut Registry, path: &Path) -> Result<()> {
    let path = path.canonicalize().with_context(|| format!("plugin file {}", path.display()))?;
    let is_given = plugins.plugins().any(|plugin| plugin.path == path);
    if !is_given && plugins.pins().of(&path).is_none() {
        let shown = path.display();
        bail!(
            "the study names the plugin file {shown}, which may run any code; if you trust it, run `tunebench plugins \
             add {shown}`, or give it with --plugin"
        );
    }
    plugins.add(&path)?;
    Ok(())
}

/// What has been added.
pub fn pins() -> Result<Pins> {
    Ok(Pins::open(&lock_file()?)?)
}

/// The plugin files beside the executable, where `cargo xtask plugins` builds them.
pub fn installed_files() -> Result<Vec<PathBuf>> {
    Ok(Registry::files_in(executable()?.parent().unwrap_or(Path::new(".")))?)
}

/// The plugins in those files.
fn installed(shared: &Shared) -> Result<Registry> {
    let mut plugins = Registry::new(pins()?, runner(shared)?);
    for file in installed_files()? {
        plugins.add(&file)?;
    }
    Ok(plugins)
}

fn executable() -> Result<PathBuf> {
    std::env::current_exe().context("where this executable is")
}

/// How plugins are run.
pub fn runner(shared: &Shared) -> Result<Runner> {
    let isolation = match shared.isolate {
        false => Isolation::Thread,
        true => Isolation::Process(executable()?),
    };
    Ok(Runner { deadline: Duration::from_secs(shared.plugin_timeout), isolation })
}

/// Where added plugins are kept.
fn lock_file() -> Result<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let home = folder("TUNEBENCH_HOME")
        .or_else(|| Some(folder("XDG_CONFIG_HOME")?.join("tunebench")))
        .or_else(|| Some(folder("HOME").or_else(|| folder("APPDATA"))?.join(".config/tunebench")));
    Ok(home.context("no place for plugins.lock: set TUNEBENCH_HOME to a folder")?.join("plugins.lock"))
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
