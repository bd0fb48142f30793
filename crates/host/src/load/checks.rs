//! The checks that a plugin file passes, in their order: of the file as bytes, and of the library once it is open.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tunebench_plugin_api::abi::Manifest;

use super::file::{self, Copy};
use super::library;
use super::lock_file::LockFile;
use super::plugin::Plugin;
use crate::error::HostError;
use crate::operations;

/// A check that a file has passed, and what was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadCheck {
    pub name: String,
    pub found: String,
    /// What the user should know although it was passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// Is told of each check that was passed, and may end the loading there.
pub(crate) type Passed<'a> = dyn FnMut(LoadCheck) -> Result<(), String> + 'a;

/// The checks of one file: each gives a value, or the error that names the check.
struct Checks<'a, 'p> {
    file: &'a Path,
    passed: &'a mut Passed<'p>,
}

impl Checks<'_, '_> {
    fn check<T>(
        &mut self,
        name: &str,
        result: Result<T, String>,
        found: impl FnOnce(&T) -> String,
    ) -> Result<T, HostError> {
        let fail = |reason| HostError::Load { path: self.file.to_owned(), check: name.to_owned(), reason };
        let value = result.map_err(fail)?;
        let check = LoadCheck { name: name.to_owned(), found: found(&value), warning: None };
        (self.passed)(check).map_err(fail)?;
        Ok(value)
    }
}

/// A file that has passed all that can be checked before any of its code runs.
pub(crate) struct CheckedFile {
    /// As it was given: errors name it so.
    given: PathBuf,
    path: PathBuf,
    sha256: String,
    /// Libraries of the system that it needs.
    needed: Vec<String>,
    copy: Copy,
}

impl CheckedFile {
    /// Checks a file as bytes.
    ///
    /// # Errors
    /// [`HostError::Load`] with the check that failed and why.
    pub fn check(given: &Path, lock_file: &LockFile, passed: &mut Passed<'_>) -> Result<Self, HostError> {
        let mut checks = Checks { file: given, passed };
        let path = checks.check("find", file::find(given), |path| path.display().to_string())?;
        checks.check("folder", file::check_folder(&path), |()| "a folder without data".into())?;
        checks.check("owner", file::check_owners(&path), |()| "writable by this user and the system only".into())?;
        let bytes = checks.check("size", file::read(&path), |bytes| format!("{} bytes", bytes.len()))?;
        let needed = checks.check("format", needed(&bytes), |needed| describe_format(needed))?;
        let sha256 = tunebench_spec::hash::of_bytes(&bytes);
        checks.check("hash", check_hash(&path, &sha256, lock_file), |found| (*found).to_owned())?;
        let copy = checks.check("copy", Copy::new(&bytes, &sha256), |copy| copy.described.into())?;
        Ok(Self { given: given.to_owned(), path, sha256, needed, copy })
    }

    /// Opens the library, which runs its initialisers, and checks what it says of itself.
    ///
    /// # Errors
    /// [`HostError::Load`] with the check that failed and why.
    pub fn open(self, passed: &mut Passed<'_>) -> Result<Plugin, HostError> {
        let mut checks = Checks { file: &self.given, passed };
        let library = checks.check("open", library::open(self.copy), |_| "all that it needs is there".into())?;
        let probe = checks.check("probe", library::probe(library), |probe| {
            let (rustc, target) = (text(&probe.rustc), text(&probe.target));
            format!("plugin-api {}.{}, {rustc}, for {target}", probe.api_major, probe.api_minor)
        })?;
        let header = library::header(library);
        let header = checks.check("header", header, |_| "abi_stable's, of a version that fits".into())?;
        let (root, _) = checks.check("layout", library::root(header), |(_, fit)| (*fit).to_owned())?;
        let manifest = checks.check("manifest", library::manifest(root), |manifest| {
            let compares = if manifest.compares { ", which compares two answers" } else { "" };
            format!("{} `{}` {}{compares}", manifest.kind, manifest.name, manifest.version)
        })?;
        let count = manifest.requires.len();
        checks.check("operations", check_operations(&manifest), |()| format!("{count} required"))?;
        let (path, rustc, sha256) = (self.path, text(&probe.rustc), self.sha256);
        Ok(Plugin { path, manifest, rustc, sha256, root: Some(root) })
    }

    /// Opens the system's libraries that it needs, so that to open the library itself is to open no other file.
    pub fn open_needed(&self) -> Result<(), String> {
        self.needed.iter().try_for_each(|name| library::open_file(Path::new(name)).map(std::mem::forget))
    }

    /// The file that will be opened, where it is one on disk.
    pub fn on_disk(&self) -> Option<&File> {
        self.copy.on_disk()
    }
}

/// The libraries that a library needs.
#[cfg(target_os = "linux")]
fn needed(bytes: &[u8]) -> Result<Vec<String>, String> {
    let elf = super::elf::read(bytes)?;
    if elf.exports(tunebench_plugin_api::abi::PROBE_SYMBOL) { Ok(elf.needed) } else { Err(library::no_probe()) }
}

#[cfg(target_os = "linux")]
fn describe_format(needed: &[String]) -> String {
    format!("a library for this machine that needs {}", needed.join(", "))
}

#[cfg(not(target_os = "linux"))]
fn needed(_: &[u8]) -> Result<Vec<String>, String> {
    Ok(Vec::new())
}

#[cfg(not(target_os = "linux"))]
fn describe_format(_: &[String]) -> String {
    "not looked at: only ELF files are, and this system has others".into()
}

fn check_hash(path: &Path, sha256: &str, lock_file: &LockFile) -> Result<String, String> {
    match lock_file.of(path) {
        None => Ok(format!("{sha256}, not added")),
        Some(locked) if locked.sha256 == sha256 => Ok(format!("{sha256}, as added")),
        Some(locked) => Err(format!(
            "it has changed since it was added ({sha256} now, {} then); if that was you, run `tunebench plugins add {}` \
             again",
            locked.sha256,
            path.display()
        )),
    }
}

fn check_operations(manifest: &Manifest) -> Result<(), String> {
    match manifest.requires.iter().find(|(name, version)| !operations::is_known(name, *version)) {
        Some((name, version)) => {
            Err(format!("it needs `{name}` in version {version}, which this host lacks; update tunebench"))
        }
        None => Ok(()),
    }
}

/// Text in a field of fixed width that ends with zeros.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).replace(char::is_control, " ")
}
