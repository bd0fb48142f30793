//! `tidy`: what no compiler checks. All faults are listed before it fails; each says where, what, and what to do.

mod abi;
mod edges;
mod files;
mod map;
mod modules;
mod thin;

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

use crate::workspace::Workspace;

/// Prints all faults.
///
/// # Errors
/// When there are faults, or the files cannot be listed.
pub fn run() -> Result<ExitCode> {
    let report = check()?;
    for fault in &report.faults {
        eprintln!("{fault}");
    }
    if !report.faults.is_empty() {
        bail!("{} faults", report.faults.len());
    }
    let circles = modules::ALLOWED.len();
    println!("tidy: {} files, {} crates, {circles} circles of modules", report.files, report.crates);
    Ok(ExitCode::SUCCESS)
}

/// What was looked at, and what is wrong with it.
pub struct Report {
    pub files: usize,
    pub crates: usize,
    pub faults: Vec<String>,
}

/// Checks the repository around the current folder.
///
/// # Errors
/// When cargo or git cannot say what there is.
pub fn check() -> Result<Report> {
    let workspace = Workspace::with_dependencies()?;
    let paths = list_files(&workspace.root)?;
    let mut faults = Vec::new();
    let mut thin = thin::Lines::default();
    for path in &paths {
        let bytes = std::fs::read(workspace.root.join(path)).with_context(|| path.clone())?;
        faults.extend(files::faults(path, &bytes));
        thin.count(path, &bytes);
    }
    faults.extend(thin.faults());
    faults.extend(files::stale_exceptions(&paths));
    faults.extend(edges::faults(&workspace));
    let text = |path: &str| std::fs::read_to_string(workspace.root.join(path)).ok();
    faults.extend(modules::faults(&workspace.roots(), text));
    let folders: Vec<String> = workspace.members().map(|p| workspace.folder(p)).collect();
    let map = std::fs::read_to_string(workspace.root.join(map::FILE)).context(map::FILE)?;
    faults.extend(abi::faults(&workspace)?);
    faults.extend(map::faults(&map, &folders, |path| workspace.root.join(path).exists()));
    Ok(Report { files: paths.len(), crates: folders.len(), faults })
}

/// The files that git knows or would take, without links.
fn list_files(root: &Path) -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(root);
    let output = git.output().context("starting git")?;
    if !output.status.success() {
        bail!("git ls-files failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    let text = String::from_utf8(output.stdout).context("a file's name is not UTF-8")?;
    let mut paths: Vec<String> = text.split_terminator('\0').map(str::to_owned).collect();
    paths.retain(|path| root.join(path).symlink_metadata().is_ok_and(|meta| meta.is_file()));
    paths.sort();
    paths.dedup();
    if paths.is_empty() {
        bail!("git lists no files in {}", root.display());
    }
    Ok(paths)
}
