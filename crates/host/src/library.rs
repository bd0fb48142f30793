//! Loads one plugin file: nothing of it runs before it was checked, and it is never unloaded.

use std::path::{Path, PathBuf};

use abi_stable::StableAbi;
use abi_stable::abi_stability::abi_checking::check_layout_compatibility;
use abi_stable::library::{AbiHeaderRef, LibHeader, ROOT_MODULE_LOADER_NAME_WITH_NUL};
use libloading::Library;
use serde::{Deserialize, Serialize};
use tunebench_plugin_api::abi::{API_MAJOR, API_MINOR, MAGIC, Manifest, PROBE_SYMBOL, PluginRoot_Ref, Probe};

use crate::file::{self, Copy};
use crate::pins::Pins;
use crate::{HostError, record};

/// A plugin, checked.
#[derive(Clone)]
pub struct Plugin {
    pub path: PathBuf,
    pub manifest: Manifest,
    /// Compiler it was built with.
    pub rustc: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// None where it was only looked at, in a process of its own.
    pub(crate) root: Option<PluginRoot_Ref>,
}

/// A step of loading that a file has passed, and what was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub name: String,
    pub found: String,
}

/// Loads and checks a plugin file; `passed` is told of each step and may end it there.
///
/// # Errors
/// [`HostError::Load`] with the step that failed and why.
pub fn load(path: &Path, pins: &Pins, passed: &mut dyn FnMut(Step) -> Result<(), String>) -> Result<Plugin, HostError> {
    let given = path;
    let fail = |name: &str, reason: String| HostError::Load { path: given.to_owned(), step: name.into(), reason };
    let mut step = |name: &'static str, result: Result<String, String>| {
        let passed = result.and_then(|found| passed(Step { name: name.into(), found }));
        passed.map_err(|reason| fail(name, reason))
    };

    let path = path.canonicalize().map_err(|e| fail("find", e.to_string()))?;
    step("find", file::check_kind(&path).map(|()| path.display().to_string()))?;
    step("place", file::check_place(&path).map(|()| "a folder without data".into()))?;
    step("owner", file::check_owners(&path).map(|()| "writable by this user and the system only".into()))?;
    let bytes = file::read(&path).map_err(|e| fail("size", e))?;
    step("size", Ok(format!("{} bytes", bytes.len())))?;
    step("format", check_format(&bytes))?;
    let sha256 = tunebench_spec::hash::of_bytes(&bytes);
    step("hash", check_hash(&path, &sha256, pins))?;

    let copy = Copy::new(&bytes, &sha256).map_err(|e| fail("copy", e))?;
    drop(bytes);
    step("copy", Ok(copy.described.into()))?;
    let library = open(copy).map_err(|e| fail("open", e))?;
    step("open", Ok("all that it needs is there".into()))?;
    let probe = probe(library).map_err(|e| fail("probe", e))?;
    let rustc = text(&probe.rustc);
    let (major, minor, target) = (probe.api_major, probe.api_minor, text(&probe.target));
    step("probe", Ok(format!("plugin-api {major}.{minor}, {rustc}, for {target}")))?;
    let header = header(library).map_err(|e| fail("header", e))?;
    step("header", Ok("abi_stable's, of a version that fits".into()))?;
    let (root, layout) = root(header).map_err(|e| fail("layout", e))?;
    step("layout", Ok(layout.into()))?;
    let manifest = manifest(root).map_err(|e| fail("manifest", e))?;
    step("manifest", Ok(format!("{} `{}` {}", manifest.kind, manifest.name, manifest.version)))?;
    step("operations", check_operations(&manifest))?;
    Ok(Plugin { path, manifest, rustc, sha256, root: Some(root) })
}

#[cfg(target_os = "linux")]
fn check_format(bytes: &[u8]) -> Result<String, String> {
    let needed = crate::elf::check(bytes)?;
    Ok(format!("a library for this machine that needs {}", needed.join(", ")))
}

#[cfg(not(target_os = "linux"))]
fn check_format(_: &[u8]) -> Result<String, String> {
    Ok("not looked at: only ELF files are, and this system has others".into())
}

fn check_hash(path: &Path, sha256: &str, pins: &Pins) -> Result<String, String> {
    match pins.of(path) {
        None => Ok(format!("{sha256}, not added")),
        Some(pin) if pin.sha256 == sha256 => Ok(format!("{sha256}, as added")),
        Some(pin) => Err(format!(
            "it has changed since it was added ({sha256} now, {} then); if that was you, run `tunebench plugins add {}` \
             again",
            pin.sha256,
            path.display()
        )),
    }
}

fn open(copy: Copy) -> Result<&'static Library, String> {
    let library = open_file(&copy.path)?;
    copy.keep();
    // Never unloaded: its functions, types and thread-locals stay reachable from here on.
    Ok(Box::leak(Box::new(library)))
}

#[cfg(unix)]
fn open_file(path: &Path) -> Result<Library, String> {
    use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
    // SAFETY: opening runs the library's initialisers. That is the trust a user gives by naming the file; format and
    // hash were checked, so that a text, a truncated or an exchanged file never gets here.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) };
    library.map(Into::into).map_err(|e| e.to_string())
}

#[cfg(not(unix))]
fn open_file(path: &Path) -> Result<Library, String> {
    // SAFETY: as for Unix.
    unsafe { Library::new(path) }.map_err(|e| e.to_string())
}

/// What is said of a library that is no plugin.
pub(crate) fn no_probe() -> String {
    format!("no `{PROBE_SYMBOL}`: not a tunebench plugin (it must call export_plugin!)")
}

fn probe(library: &Library) -> Result<Probe, String> {
    // SAFETY: a symbol of this name has this signature by contract, in every version of it.
    let function = unsafe { library.get::<extern "C" fn(*mut Probe) -> i32>(PROBE_SYMBOL.as_bytes()) };
    let function = function.map_err(|_| no_probe())?;
    let mut probe = Probe {
        magic: [0; 16],
        api_major: 0,
        api_minor: 0,
        panic_strategy: 0,
        pointer_bytes: 0,
        rustc: [0; 64],
        target: [0; 64],
    };
    if function(&raw mut probe) != 0 || probe.magic != MAGIC {
        return Err(no_probe());
    }
    if probe.api_major != API_MAJOR {
        return Err(format!(
            "built for plugin-api {}.{}, this host has {API_MAJOR}.{API_MINOR}; build it with tunebench-plugin-api \
             {API_MAJOR}",
            probe.api_major, probe.api_minor
        ));
    }
    if probe.panic_strategy != 0 {
        return Err("built with panic = \"abort\", which would kill the host; build it with panic = \"unwind\"".into());
    }
    if probe.pointer_bytes as usize != size_of::<usize>() {
        return Err("built for another pointer width; build it on this machine".into());
    }
    Ok(probe)
}

fn header(library: &'static Library) -> Result<&'static LibHeader, String> {
    // SAFETY: a symbol of abi_stable's mangled name is a static `LibHeader`, whose first field is the `AbiHeader`
    // that `upgrade` checks before anything else is read.
    let header = unsafe { library.get::<AbiHeaderRef>(ROOT_MODULE_LOADER_NAME_WITH_NUL.as_bytes()) };
    let header = header.map_err(|_| "no abi_stable header: build it with export_plugin!".to_owned())?;
    header.upgrade().map_err(|e| first_line(&e.to_string()))
}

/// The root module, and how its layout fits ours.
fn root(header: &'static LibHeader) -> Result<(PluginRoot_Ref, &'static str), String> {
    let ours = <PluginRoot_Ref as StableAbi>::LAYOUT;
    let theirs = header.layout().ok_or("the library does not describe its layout; build it with export_plugin!")?;
    // abi_stable accepts a newer library in an older host. A library of an older minor version is as good: what it
    // lacks are trailing fields, which are read as absent. So either direction will do.
    let newer = check_layout_compatibility(ours, theirs).is_ok();
    let older = check_layout_compatibility(theirs, ours).is_ok();
    let fit = match (newer, older) {
        (true, true) => "as this host's",
        (true, false) => "this host's and more: of a newer plugin-api",
        (false, true) => "a part of this host's: of an older plugin-api",
        (false, false) => {
            return Err("its types are laid out differently; build it with this host's tunebench-plugin-api".into());
        }
    };
    // SAFETY: the layouts were found compatible.
    let root = unsafe { header.unchecked_layout::<PluginRoot_Ref>() };
    root.map(|root| (root, fit)).map_err(|e| first_line(&e.to_string()))
}

fn manifest(root: PluginRoot_Ref) -> Result<Manifest, String> {
    let json = root.manifest()();
    let manifest: Manifest = serde_json::from_slice(json.as_bytes()).map_err(|e| format!("{e}; tell its author"))?;
    let is_kind = ["tuner", "dataset", "judge"].contains(&manifest.kind.as_str());
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !is_kind || manifest.name.is_empty() || !manifest.name.chars().all(plain) {
        let Manifest { kind, name, .. } = manifest;
        return Err(format!("{kind:?} {name:?} is no kind and name of a plugin; names are letters, digits, `-_.`"));
    }
    let told = [&manifest.version, &manifest.description, &manifest.api];
    if told.iter().any(|text| text.chars().any(char::is_control)) {
        return Err("its version or description has line breaks or other control characters; tell its author".into());
    }
    Ok(manifest)
}

fn check_operations(manifest: &Manifest) -> Result<String, String> {
    match manifest.requires.iter().find(|(name, version)| !record::is_known(name, *version)) {
        Some((name, version)) => {
            Err(format!("it needs `{name}` in version {version}, which this host lacks; update tunebench"))
        }
        None => Ok(format!("{} required", manifest.requires.len())),
    }
}

fn first_line(text: &str) -> String {
    text.lines().map(str::trim).find(|l| !l.is_empty()).unwrap_or("unknown").to_owned()
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).replace(char::is_control, " ")
}
