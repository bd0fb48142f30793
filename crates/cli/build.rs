//! Lists the sources of plugin-api, which `tunebench plugins new` writes beside a new plugin.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// What is needed to build the crate, from its folder.
const PARTS: [&str; 5] = ["Cargo.toml", "LICENSE", "README.md", "build.rs", "src"];

fn main() -> io::Result<()> {
    let [here, out] =
        ["CARGO_MANIFEST_DIR", "OUT_DIR"].map(|name| PathBuf::from(env::var_os(name).unwrap_or_default()));
    let api = fs::canonicalize(here.join("../plugin-api"))?;
    let mut files = Vec::new();
    for part in PARTS.map(|part| api.join(part)) {
        println!("cargo::rerun-if-changed={}", part.display());
        list(&part, &mut files)?;
    }
    files.sort();
    let mut table = String::from("[\n");
    for file in &files {
        let name = file.strip_prefix(&api).map_err(io::Error::other)?.to_string_lossy().replace('\\', "/");
        writeln!(table, "    ({name:?}, include_str!({file:?})),").map_err(io::Error::other)?;
    }
    fs::write(out.join("plugin_api.rs"), table + "]\n")
}

/// The file, or all files below the folder.
fn list(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        list(&entry?.path(), files)?;
    }
    Ok(())
}
