//! `tunebench plugins new`: a folder with a plugin to start from, which builds anywhere.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::args::{NewPlugin, PluginKind};
use crate::output::print;

/// The sources of plugin-api by path, as this executable was built with them.
const API: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/plugin_api.rs"));
const API_NAME: &str = "tunebench-plugin-api";
const VENDORED: &str = "vendor/tunebench-plugin-api";

const MANIFEST: &str = include_str!("../../../templates/manifest.toml");
const README: &str = include_str!("../../../templates/README.md");
const GITIGNORE: &str = include_str!("../../../templates/gitignore");
/// What the templates are called, in names and in names of files.
const PLACEHOLDERS: [&str; 2] = ["my-plugin", "my_plugin"];

/// The start of a plugin of one kind.
struct Template {
    kind: &'static str,
    source: &'static str,
    /// How a study uses it.
    study: &'static str,
}

const TUNER: Template = Template {
    kind: "tuner",
    source: include_str!("../../../templates/tuner.rs"),
    study: r#"[[arm]]
name = "my-plugin, rank 4"
base = "small"
dataset = "zh"
tuner = "my-plugin"
options = { r = 4 }"#,
};

const DATASET: Template = Template {
    kind: "dataset",
    source: include_str!("../../../templates/dataset.rs"),
    study: r#"[[dataset]]
id = "sums"
plugin = "my-plugin"
source = "sums.jsonl"
options = { purpose = "train" }"#,
};

const JUDGE: Template = Template {
    kind: "judge",
    source: include_str!("../../../templates/judge.rs"),
    study: r#"[eval]
items = "questions"
judge = "my-plugin"
judge_options = { ignore_case = false }"#,
};

/// Writes the folder.
pub fn run(args: &NewPlugin) -> Result<()> {
    let name = args.name.as_str();
    check_name(name)?;
    let folder = args.out.join(name);
    if folder.symlink_metadata().is_ok() {
        bail!("{} is there already; choose another name, or another place by --out", folder.display());
    }
    let template = match args.kind {
        PluginKind::Tuner => TUNER,
        PluginKind::Dataset => DATASET,
        PluginKind::Judge => JUDGE,
    };
    let named = |text: &str| text.replace(PLACEHOLDERS[0], name).replace(PLACEHOLDERS[1], &name.replace('-', "_"));
    let write = |path: &str, text: &str| write(&folder.join(path), text);

    let api = match &args.api {
        Some(path) => api_at(path)?,
        None => VENDORED.to_owned(),
    };
    // A JSON string is a TOML string too.
    write("Cargo.toml", &named(MANIFEST).replace("API", &serde_json::to_string(&api)?))?;
    write("src/lib.rs", &named(template.source))?;
    let study = format!("```toml\n{}\n```", template.study);
    write("README.md", &named(&README.replace("KIND", template.kind).replace("STUDY", &study)))?;
    write(".gitignore", GITIGNORE)?;
    if args.api.is_none() {
        API.iter().try_for_each(|(path, text)| write(&format!("{VENDORED}/{path}"), text))?;
    }
    let folder = folder.strip_prefix(".").unwrap_or(&folder).display();
    print(&format!(
        "{folder}: a {} to start from. Next: cd {folder} && cargo test; README.md says more\n",
        template.kind
    ))
}

/// Whether a folder, a package and a plugin may all be called this.
fn check_name(name: &str) -> Result<()> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(is_plain) {
        bail!("{name:?} is no name for a plugin: use lowercase letters, digits and -, a letter first");
    }
    if [API_NAME, "std"].contains(&name) {
        bail!("{name:?} is the name of a crate that every plugin uses; choose another");
    }
    Ok(())
}

/// The absolute path of a folder that holds plugin-api.
fn api_at(path: &Path) -> Result<String> {
    let folder = path.canonicalize().with_context(|| format!("--api {}", path.display()))?;
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
    if !manifest.lines().any(|line| line.trim() == format!("name = \"{API_NAME}\"")) {
        bail!("--api {}: its Cargo.toml is not that of {API_NAME}", path.display());
    }
    let Some(text) = folder.to_str() else { bail!("--api {}: the path is not UTF-8", path.display()) };
    Ok(text.to_owned())
}

fn write(path: &Path, text: &str) -> Result<()> {
    let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(path, text));
    written.with_context(|| path.display().to_string())
}
