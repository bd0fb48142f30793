//! `tunebench plugins`: what is there, and whether a file is one.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::json;
use tunebench_host::{Plugin, library};

use super::{print, printable};
use crate::args::PluginsCommand;
use crate::run::setup::installed;

pub fn run(command: &PluginsCommand, extra: &[PathBuf]) -> Result<()> {
    match command {
        PluginsCommand::List { json } => {
            let mut plugins = installed()?;
            for file in extra {
                plugins.add(file)?;
            }
            let described: Vec<_> = plugins.plugins().map(describe).collect();
            if *json {
                return print(&format!("{}\n", serde_json::to_string_pretty(&described)?));
            }
            plugins.plugins().try_for_each(|p| {
                let m = &p.manifest;
                let line = format!("{:8} {:18} {:8} {}", m.kind, m.name, m.version, m.description);
                print(&format!("{}\n", printable(&line)))
            })
        }
        PluginsCommand::Check { file } => {
            print(&format!("{}\n", serde_json::to_string_pretty(&describe(&library::load(file)?))?))
        }
    }
}

fn describe(plugin: &Plugin) -> serde_json::Value {
    json!({
        "kind": plugin.manifest.kind,
        "name": plugin.manifest.name,
        "version": plugin.manifest.version,
        "description": plugin.manifest.description,
        "plugin_api": plugin.manifest.api,
        "compiler": plugin.rustc,
        "sha256": plugin.sha256,
        "file": plugin.path,
    })
}
