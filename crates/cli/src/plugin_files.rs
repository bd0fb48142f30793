//! Where plugin files are, which of them studies may name, and how they are run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tunebench_host::{Isolation, Launcher, LockFile, Registry};
use tunebench_study::token_cache::MOST_BYTES;
use tunebench_study::{Study, TokenCache};

use crate::args::Shared;
use crate::downloads;
use crate::output::warn;

/// Opens a study with the plugins that it may name, and says what the user should know of them.
pub fn open_study(file: &Path, shared: &Shared) -> Result<Study> {
    let study = open_quietly(file, shared)?.with_downloads(downloads::shown());
    study.warnings().for_each(warn);
    Ok(study)
}

/// As [`open_study`], where another process says what is to be said.
pub fn open_quietly(file: &Path, shared: &Shared) -> Result<Study> {
    let study = Study::open(file, registry(shared)?, shared.backend)?;
    Ok(match cache_folder().zip(token_cache()?) {
        Some((folder, cache)) => study.with_calibration(folder.join("calibration.json")).with_token_cache(cache),
        None => study,
    })
}

/// Where the tokens of large datasets are kept from run to run.
pub fn token_cache() -> Result<Option<TokenCache>> {
    let most_bytes = cache_bytes()?;
    Ok(cache_folder().map(|folder| TokenCache { folder: folder.join("tokens"), most_bytes }))
}

/// Where measurements of this machine and tokens are kept: in $TUNEBENCH_CACHE, or in tunebench/ under the user's cache
/// folder.
fn cache_folder() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    folder("TUNEBENCH_CACHE")
        .or_else(|| Some(folder("XDG_CACHE_HOME")?.join("tunebench")))
        .or_else(|| Some(folder("HOME")?.join(".cache/tunebench")))
}

/// The bytes that tokens may take there: $TUNEBENCH_CACHE_GIB.
fn cache_bytes() -> Result<u64> {
    let Some(text) = std::env::var("TUNEBENCH_CACHE_GIB").ok().filter(|text| !text.is_empty()) else {
        return Ok(MOST_BYTES);
    };
    let gib: f64 = text.parse().ok().filter(|gib| *gib >= 0.0).with_context(|| {
        format!("TUNEBENCH_CACHE_GIB is `{text}`; it is the GiB that kept tokens may take, e.g. 64")
    })?;
    Ok((gib * (1u64 << 30) as f64) as u64)
}

/// The plugins that any study may name: those beside the executable and those given; and how all are run.
pub fn registry(shared: &Shared) -> Result<Registry> {
    let mut plugins = Registry::new(lock_file()?, launcher(shared)?);
    for file in installed_files()?.iter().chain(&shared.plugins) {
        plugins.add(file)?;
    }
    Ok(plugins)
}

/// The plugin files beside the executable, where `cargo xtask plugins` builds them.
pub fn installed_files() -> Result<Vec<PathBuf>> {
    Ok(Registry::files_in(executable()?.parent().unwrap_or(Path::new(".")))?)
}

/// What has been added.
pub fn lock_file() -> Result<LockFile> {
    Ok(LockFile::open(&lock_file_path()?)?)
}

/// How plugins are run.
pub fn launcher(shared: &Shared) -> Result<Launcher> {
    let isolation = match shared.isolate {
        false => Isolation::InProcess,
        true => Isolation::Process(executable()?),
    };
    Ok(Launcher { timeout: Duration::from_secs(shared.plugin_timeout), isolation })
}

fn executable() -> Result<PathBuf> {
    std::env::current_exe().context("where this executable is")
}

/// Where added plugins are kept.
fn lock_file_path() -> Result<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let home = folder("TUNEBENCH_HOME")
        .or_else(|| Some(folder("XDG_CONFIG_HOME")?.join("tunebench")))
        .or_else(|| Some(folder("HOME").or_else(|| folder("APPDATA"))?.join(".config/tunebench")));
    Ok(home.context("no place for plugins.lock: set TUNEBENCH_HOME to a folder")?.join("plugins.lock"))
}
