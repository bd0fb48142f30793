//! Which crate may know which: data flows spec -> dataset -> train -> generate -> judge -> results -> analysis, and
//! a stage never imports a later one. Dependencies of tests count too.

use std::collections::BTreeSet;

use crate::workspace::{Package, Workspace};

/// Folder of a crate, and the crates of ours that it may depend on directly. `plugins/*` is each plugin.
const ALLOWED: &[(&str, &[&str])] = &[
    ("crates/spec", &[]),
    ("crates/files", &[]),
    ("crates/exchange", &[]),
    ("crates/plugin-api", &[]),
    ("crates/rows", &[]),
    ("crates/host", &["spec", "files", "plugin-api", "rows"]),
    ("crates/dataset", &["spec", "files"]),
    // The emulator and the kit are for tests: of what they know, and of what comes after.
    ("crates/kernels", &["spec", "amx-emulator"]),
    ("crates/amx-emulator", &["kernels"]),
    ("crates/model", &["spec", "files", "kernels", "amx-emulator", "testkit"]),
    ("crates/testkit", &["spec", "dataset", "kernels", "model"]),
    ("crates/train", &["spec", "files", "exchange", "dataset", "kernels", "model", "testkit"]),
    // Tunings to and from other tools' folders.
    ("crates/peft", &["spec", "files", "model", "testkit"]),
    ("crates/export", &["spec", "files", "model", "testkit"]),
    ("crates/generate", &["spec", "dataset", "kernels", "model", "testkit"]),
    // A server to test against.
    ("crates/scripted-server", &["spec"]),
    ("crates/chat", &["spec", "files", "scripted-server"]),
    // A chat server on this machine.
    ("crates/local-chat", &["spec", "dataset", "kernels", "model", "generate", "chat", "testkit"]),
    // The same for others, over HTTP.
    ("crates/serve", &["spec", "kernels", "model", "generate", "local-chat", "chat", "testkit"]),
    ("crates/hub", &["files"]),
    ("crates/judge", &["spec", "files", "chat", "scripted-server"]),
    ("crates/results", &["spec", "files"]),
    ("crates/statistics", &["spec"]),
    ("crates/analysis", &["spec", "results", "statistics"]),
    // What a run shows while it goes on.
    ("crates/tensorboard", &["spec", "files"]),
    ("crates/watch", &["spec", "files"]),
    ("crates/report", &["spec", "files", "results", "statistics", "analysis"]),
    // What a cluster is told; it knows of a study only what its caller says.
    ("crates/submit", &["files"]),
    // The only wiring.
    (
        "crates/study",
        &[
            "spec",
            "files",
            "exchange",
            "rows",
            "host",
            "dataset",
            "kernels",
            "model",
            "train",
            "peft",
            "export",
            "generate",
            "chat",
            "local-chat",
            "hub",
            "judge",
            "results",
            "tensorboard",
        ],
    ),
    // Prints what the study engine and the analyses say; takes the names of backends from model, threads from kernels.
    (
        "crates/cli",
        &[
            "spec", "exchange", "host", "kernels", "model", "study", "forecast", "submit", "analysis", "report",
            "serve", "watch",
        ],
    ),
    // The executable again, linked with CUDA.
    ("crates/cuda", &["cli", "model"]),
    // What the study engine foresees, as tables.
    ("crates/forecast", &["chat", "study", "analysis", "submit"]),
    (PLUGINS, &["plugin-api", "fields", "lora", "marks", "numbers"]),
    ("bench", &["spec", "exchange", "host", "dataset", "kernels", "model", "peft", "train", "generate"]),
    (
        "tests",
        &[
            "spec",
            "files",
            "host",
            "dataset",
            "kernels",
            "model",
            "train",
            "peft",
            "export",
            "generate",
            "hub",
            "rows",
            "judge",
            "results",
            "analysis",
            "study",
            "testkit",
            "scripted-server",
            "xtask",
        ],
    ),
    ("xtask", &[]),
];

/// A crate, and what it must not link even through others.
const UNREACHABLE: &[(&str, &str)] = &[
    ("crates/plugin-api", "candle-core"),
    ("crates/chat", "candle-core"),
    ("crates/judge", "candle-core"),
    ("crates/results", "candle-core"),
    ("crates/analysis", "candle-core"),
    ("crates/report", "candle-core"),
    (PLUGINS, "candle-core"),
    ("crates/train", "polars"),
    ("crates/statistics", "polars"),
    (PLUGINS, "polars"),
];

const PLUGINS: &str = "plugins/*";

/// Edges that the tables forbid, and rows that speak of no crate.
pub fn faults(workspace: &Workspace) -> Vec<String> {
    let ours: BTreeSet<&str> = workspace.members().map(|p| p.name.as_str()).collect();
    let mut faults = Vec::new();
    for package in workspace.members() {
        let folder = workspace.folder(package);
        match ALLOWED.iter().find(|(pattern, _)| is_in(&folder, pattern)) {
            None => faults.push(format!("{folder}: say in xtask/src/tidy/edges.rs what it may depend on")),
            Some((_, allowed)) => faults.extend(direct_faults(package, &folder, allowed, &ours)),
        }
        let reachable = workspace.reachable_from(package);
        for (_, banned) in UNREACHABLE.iter().filter(|(pattern, _)| is_in(&folder, pattern)) {
            if reachable.contains(banned) {
                faults.push(format!("{folder}: links {banned}; see `cargo tree -p {} -i {banned}`", package.name));
            }
        }
    }
    let patterns = ALLOWED.iter().map(|row| row.0).chain(UNREACHABLE.iter().map(|row| row.0));
    let patterns: BTreeSet<&str> = patterns.collect();
    let is_stale = |pattern: &&str| !workspace.members().any(|p| is_in(&workspace.folder(p), pattern));
    faults
        .extend(patterns.into_iter().filter(is_stale).map(|p| format!("xtask/src/tidy/edges.rs: no crate is in {p}")));
    faults
}

fn direct_faults(package: &Package, folder: &str, allowed: &[&str], ours: &BTreeSet<&str>) -> Vec<String> {
    let mut faults = Vec::new();
    for dependency in package.dependencies.iter().map(|d| d.name.as_str()).filter(|name| ours.contains(name)) {
        let short = dependency.strip_prefix("tunebench-").unwrap_or(dependency);
        if !allowed.contains(&short) {
            faults.push(format!(
                "{folder}/Cargo.toml: must not depend on {dependency}, only on: {}",
                if allowed.is_empty() { "no crate of ours".into() } else { allowed.join(", ") }
            ));
        }
    }
    faults
}

fn is_in(folder: &str, pattern: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(parent) => folder.starts_with(parent),
        None => folder == pattern,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A workspace of crates in folders with dependencies (`-x` for one of tests), and packages from elsewhere.
    fn workspace(crates: &[(&str, &[&str])]) -> Workspace {
        let names = |dependencies: &[&str]| -> Vec<Value> {
            dependencies.iter().map(|d| json!({ "name": d.trim_start_matches('-') })).collect()
        };
        let packages = crates.iter().map(|(folder, dependencies)| {
            let name = name_of(folder);
            let manifest = format!("/r/{folder}/Cargo.toml");
            json!({ "id": name, "name": name, "manifest_path": manifest, "targets": [], "dependencies": names(dependencies) })
        });
        let nodes = crates.iter().map(|(folder, dependencies)| {
            let kind = |d: &str| d.starts_with('-').then_some("dev");
            let edge = |d: &&str| json!({ "pkg": d.trim_start_matches('-'), "dep_kinds": [{ "kind": kind(d) }] });
            json!({ "id": name_of(folder), "deps": dependencies.iter().map(edge).collect::<Vec<_>>() })
        });
        let members = crates.iter().map(|(folder, _)| *folder).filter(|f| !f.starts_with("registry")).map(name_of);
        let metadata = json!({
            "workspace_root": "/r", "target_directory": "/r/target", "workspace_members": members.collect::<Vec<_>>(),
            "packages": packages.collect::<Vec<_>>(), "resolve": { "nodes": nodes.collect::<Vec<_>>() },
        });
        serde_json::from_value(metadata).unwrap()
    }

    fn name_of(folder: &str) -> String {
        let last = folder.rsplit('/').next().unwrap();
        if folder.starts_with("crates/") { format!("tunebench-{last}") } else { last.to_owned() }
    }

    /// The faults of these crates, without those of rows that speak of no crate here.
    fn check(crates: &[(&str, &[&str])], want: &[&str]) {
        let mut found = faults(&workspace(crates));
        found.retain(|fault| !fault.contains("no crate is in"));
        assert_eq!(found, want);
    }

    #[test]
    fn a_stage_may_know_earlier_ones() {
        check(&[("crates/spec", &[]), ("crates/host", &["tunebench-spec", "serde"])], &[]);
    }

    #[test]
    fn a_stage_may_not_know_later_ones_even_in_tests() {
        let fault = "crates/dataset/Cargo.toml: must not depend on tunebench-train, only on: spec, files";
        check(&[("crates/dataset", &["tunebench-train"]), ("crates/train", &[])], &[fault]);
        check(&[("crates/dataset", &["-tunebench-train"]), ("crates/train", &[])], &[fault]);
        let fault = "crates/spec/Cargo.toml: must not depend on lora, only on: no crate of ours";
        check(&[("crates/spec", &["lora"]), ("plugins/lora", &[])], &[fault]);
    }

    #[test]
    fn new_crates_need_a_row() {
        check(&[("crates/new", &[])], &["crates/new: say in xtask/src/tidy/edges.rs what it may depend on"]);
        assert!(faults(&workspace(&[])).contains(&"xtask/src/tidy/edges.rs: no crate is in plugins/*".to_owned()));
    }

    #[test]
    fn frameworks_stay_out_of_reach() {
        let check_edge = |edge: &str, want: &[&str]| {
            check(
                &[("plugins/x", &[edge]), ("registry/between", &["candle-core"]), ("registry/candle-core", &[])],
                want,
            );
        };
        check_edge("between", &["plugins/x: links candle-core; see `cargo tree -p x -i candle-core`"]);
        check_edge("-between", &[]);
    }
}
