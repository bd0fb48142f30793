//! A later minor version of the plugin contract, made from this one by appending to it what a later one might: what
//! shows that a plugin which was built with it loads in this host.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::workspace::Workspace;

/// In a file of plugin-api: a text that is there once, and what takes its place. `{}` is where the text was.
const EDITS: [(&str, &str, &str); 6] = [
    ("Cargo.toml", "\nversion = \"1.", "{}9"),
    ("src/abi.rs", "pub const API_MINOR: u32 = ", "{}90 + "),
    (
        "src/abi.rs",
        "    pub take_fault: extern \"C\" fn() -> ROption<RString>,\n",
        "{}    pub features: extern \"C\" fn() -> u64,\n",
    ),
    ("src/abi.rs", "    fn step(&self, input: RStr<'_>) -> AbiResult<RString>;\n", EXPLAIN),
    ("src/export.rs", "take_fault: guard::take_fault }", "take_fault: guard::take_fault, features }"),
    ("src/export.rs", "fn other_kind<T>(", "extern \"C\" fn features() -> u64 {\n    0\n}\n\n{}"),
];

const EXPLAIN: &str = "{}    fn explain(&self, input: RStr<'_>) -> AbiResult<RString> {
        let _ = input;
        AbiResult::RErr(AbiError::new(code::UNSUPPORTED, \"explain\"))
    }
";

/// Writes the workspace `tests/forward_compat` with that version below `target`; yields its manifest.
///
/// # Errors
/// When a file cannot be copied, or plugin-api no longer has what is edited.
pub fn write(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.target.join("newer");
    copy(&workspace.root.join("tests/forward_compat"), &folder)?;
    let api = folder.join("plugin-api");
    copy(&workspace.root.join("crates/plugin-api"), &api)?;
    for (file, from, to) in EDITS {
        let path = api.join(file);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        ensure!(text.matches(from).count() == 1, "{file} of plugin-api has not one {from:?}; mend xtask/src/newer.rs");
        fs::write(&path, text.replace(from, &to.replace("{}", from)))?;
    }
    Ok(folder.join("Cargo.toml"))
}

/// Copies a folder's files, older copies replaced.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let path = entry?.path();
        let Some(name) = path.file_name() else { continue };
        if path.is_dir() {
            copy(&path, &to.join(name))?;
        } else {
            fs::copy(&path, to.join(name)).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}
