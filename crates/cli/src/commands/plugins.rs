//! `tunebench plugins`: what is there, whether a file is one, which files studies may name, and one to start from.

mod new;

use std::path::Path;

use anyhow::{Result, bail};
use serde_json::{Value, json};
use tunebench_analysis::escape;
use tunebench_host::{HostError, LockFile, LockedPlugin, Plugin, Registry};

use crate::args::{PluginsCommand, Shared};
use crate::output::{print, status, warn};
use crate::plugin_files::{installed_files, launcher, lock_file};

pub fn run(command: &PluginsCommand, shared: &Shared) -> Result<()> {
    match command {
        PluginsCommand::List { json } => list(*json, shared),
        PluginsCommand::Check { file, json } => check(file, *json, shared),
        PluginsCommand::Add { file } => add(file, shared),
        PluginsCommand::New(args) => new::run(args),
    }
}

/// All that a study may name; and what is refused, with the reason why: a file that has changed since it was added, or is
/// gone, or is no plugin of this host.
fn list(as_json: bool, shared: &Shared) -> Result<()> {
    let lock_file = lock_file()?;
    let mut plugins = Registry::new(lock_file.clone(), launcher(shared)?);
    let mut rows = Vec::new();
    for file in installed_files()?.iter().chain(&shared.plugins).chain(lock_file.iter().map(|locked| &locked.path)) {
        if let Err(error) = plugins.add(file) {
            rows.push(refusal(file, lock_file.of(file), &error));
        }
    }
    let described = plugins
        .plugins()
        .map(|plugin| describe(plugin, if lock_file.of(&plugin.path).is_some() { "added" } else { "ready" }));
    rows.splice(0..0, described);
    plugins.warnings().for_each(warn);
    if as_json {
        return print(&format!("{}\n", serde_json::to_string_pretty(&rows)?));
    }
    rows.iter().try_for_each(|row| {
        let cell = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let [kind, name, version, status] = ["kind", "name", "version", "status"].map(cell);
        let line = format!("{kind:8} {name:18} {version:8} {status:8} {}", cell("description"));
        print(&format!("{}\n", escape::line(&line)))
    })
}

fn refusal(file: &Path, locked: Option<&LockedPlugin>, error: &HostError) -> Value {
    json!({
        "kind": locked.map(|locked| &locked.kind),
        "name": locked.map(|locked| &locked.name),
        "version": locked.map(|locked| &locked.version),
        "description": error.to_string(),
        "sha256": locked.map(|locked| &locked.sha256),
        "file": file,
        "status": "refused",
    })
}

/// Each check of a file, up to the one that it does not pass.
fn check(file: &Path, as_json: bool, shared: &Shared) -> Result<()> {
    let (checks, plugin) = launcher(shared)?.load(file, &lock_file()?);
    checks.iter().filter_map(|check| check.warning.as_deref()).for_each(warn);
    if as_json {
        let described = json!({ "steps": checks, "plugin": describe(&plugin?, "ready") });
        return print(&format!("{}\n", serde_json::to_string_pretty(&described)?));
    }
    for check in checks {
        print(&format!("{}\n", escape::line(&format!("ok  {:10}  {}", check.name, check.found))))?;
    }
    plugin?;
    Ok(())
}

fn add(file: &Path, shared: &Shared) -> Result<()> {
    let (mut lock_file, launcher) = (lock_file()?, launcher(shared)?);
    // What was pinned before does not matter now: adding again is how a changed file is accepted.
    let plugin = launcher.load(file, &LockFile::default()).1?;
    let m = &plugin.manifest;
    for installed in installed_files()?.iter().filter_map(|file| launcher.load(file, &LockFile::default()).1.ok()) {
        let is_other = installed.path != plugin.path;
        if is_other && (&installed.manifest.kind, &installed.manifest.name) == (&m.kind, &m.name) {
            bail!(
                "{} `{}` is installed already, as {}; give yours another name",
                m.kind,
                m.name,
                installed.path.display()
            );
        }
    }
    lock_file.add(&plugin)?;
    status(format!(
        "added {} `{}` {}, {}, to {}",
        m.kind,
        m.name,
        m.version,
        plugin.sha256,
        lock_file.path().display()
    ));
    Ok(())
}

fn describe(plugin: &Plugin, state: &str) -> Value {
    json!({
        "kind": plugin.manifest.kind,
        "name": plugin.manifest.name,
        "version": plugin.manifest.version,
        "description": plugin.manifest.description,
        "plugin_api": plugin.manifest.api,
        "compiler": plugin.rustc,
        "sha256": plugin.sha256,
        "file": plugin.path,
        "status": state,
    })
}
