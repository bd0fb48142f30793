//! `tunebench plugins`: what is there, whether a file is one, which files studies may name, and one to start from.

mod new;

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};
use tunebench_host::pins::Pin;
use tunebench_host::{Plugin, library};

use super::{print, printable};
use crate::args::{PluginsCommand, Shared};
use crate::progress::say;
use crate::run::setup::installed;

pub fn run(command: &PluginsCommand, shared: &Shared) -> Result<()> {
    match command {
        PluginsCommand::List { json } => list(*json, shared),
        PluginsCommand::Check { file, json } => check(file, *json, shared),
        PluginsCommand::Add { file } => add(file, shared),
        PluginsCommand::New(args) => new::run(args),
    }
}

/// All that a study may name. What was added and has changed since, or is gone, is there with the reason why it is
/// refused.
fn list(as_json: bool, shared: &Shared) -> Result<()> {
    let mut plugins = installed(shared)?;
    for file in &shared.plugins {
        plugins.add(file)?;
    }
    let pins: Vec<Pin> = plugins.pins().iter().cloned().collect();
    let refused: Vec<Value> =
        pins.iter().filter_map(|pin| Some(refusal(pin, &plugins.add(&pin.path).err()?))).collect();
    let described = plugins.plugins().map(|plugin| {
        let is_added = pins.iter().any(|pin| pin.path == plugin.path);
        describe(plugin, if is_added { "added" } else { "ready" })
    });
    let rows: Vec<Value> = described.chain(refused).collect();
    if as_json {
        return print(&format!("{}\n", serde_json::to_string_pretty(&rows)?));
    }
    rows.iter().try_for_each(|row| {
        let cell = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let [kind, name, version, status] = ["kind", "name", "version", "status"].map(cell);
        let line = format!("{kind:8} {name:18} {version:8} {status:8} {}", cell("description"));
        print(&format!("{}\n", printable(&line)))
    })
}

fn refusal(pin: &Pin, error: &tunebench_host::HostError) -> Value {
    json!({
        "kind": pin.kind,
        "name": pin.name,
        "version": pin.version,
        "description": error.to_string(),
        "sha256": pin.sha256,
        "file": pin.path,
        "status": "refused",
    })
}

/// Each step of loading a file, up to the one that it does not pass.
fn check(file: &Path, as_json: bool, shared: &Shared) -> Result<()> {
    let plugins = installed(shared)?;
    let mut steps = Vec::new();
    let plugin = library::load(file, plugins.pins(), &mut |step| {
        steps.push(json!({ "step": step.name, "found": step.found }));
        if as_json {
            return Ok(());
        }
        print(&format!("{}\n", printable(&format!("ok  {:10}  {}", step.name, step.found)))).map_err(|e| e.to_string())
    })?;
    if as_json {
        let described = json!({ "steps": steps, "plugin": describe(&plugin, "ready") });
        return print(&format!("{}\n", serde_json::to_string_pretty(&described)?));
    }
    Ok(())
}

fn add(file: &Path, shared: &Shared) -> Result<()> {
    let mut pins = installed(shared)?.pins().clone();
    // What was pinned before does not matter now: adding again is how a changed file is accepted.
    let plugin = library::load(file, &tunebench_host::Pins::default(), &mut |_| Ok(()))?;
    pins.add(&plugin)?;
    let m = &plugin.manifest;
    say(format!("added {} `{}` {}, {}, to {}", m.kind, m.name, m.version, plugin.sha256, pins.file().display()));
    Ok(())
}

fn describe(plugin: &Plugin, status: &str) -> Value {
    json!({
        "kind": plugin.manifest.kind,
        "name": plugin.manifest.name,
        "version": plugin.manifest.version,
        "description": plugin.manifest.description,
        "plugin_api": plugin.manifest.api,
        "compiler": plugin.rustc,
        "sha256": plugin.sha256,
        "file": plugin.path,
        "status": status,
    })
}
