//! Opens a library and reads what it says of itself: the probe, abi_stable's header, the layout, the manifest.

use std::path::Path;

use abi_stable::StableAbi;
use abi_stable::abi_stability::abi_checking::check_layout_compatibility;
use abi_stable::library::{AbiHeaderRef, LibHeader, ROOT_MODULE_LOADER_NAME_WITH_NUL};
use libloading::Library;
use tunebench_plugin_api::abi::{API_MAJOR, API_MINOR, MAGIC, Manifest, PROBE_SYMBOL, PluginRoot_Ref, Probe};

use super::file::Copy;

/// Opens a copy. It is never unloaded.
pub(crate) fn open(copy: Copy) -> Result<&'static Library, String> {
    let library = open_file(&copy.path)?;
    copy.keep();
    // Never unloaded: its functions, types and thread-locals stay reachable from here on.
    Ok(Box::leak(Box::new(library)))
}

/// Opens a library, which runs its initialisers.
#[cfg(unix)]
pub(crate) fn open_file(path: &Path) -> Result<Library, String> {
    use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
    // SAFETY: opening runs the library's initialisers. That is the trust a user gives by naming the file; format and
    // hash were checked, so that a text, a truncated or an exchanged file never gets here.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) };
    library.map(Into::into).map_err(|e| e.to_string())
}

#[cfg(not(unix))]
pub(crate) fn open_file(path: &Path) -> Result<Library, String> {
    // SAFETY: as for Unix.
    unsafe { Library::new(path) }.map_err(|e| e.to_string())
}

/// What is said of a library that is no plugin.
pub(crate) fn no_probe() -> String {
    format!("no `{PROBE_SYMBOL}`: not a tunebench plugin (it must call export_plugin!)")
}

/// What the library says before anything else of it is looked at.
pub(crate) fn probe(library: &Library) -> Result<Probe, String> {
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

/// The header that abi_stable writes.
pub(crate) fn header(library: &'static Library) -> Result<&'static LibHeader, String> {
    // SAFETY: a symbol of abi_stable's mangled name is a static `LibHeader`, whose first field is the `AbiHeader`
    // that `upgrade` checks before anything else is read.
    let header = unsafe { library.get::<AbiHeaderRef>(ROOT_MODULE_LOADER_NAME_WITH_NUL.as_bytes()) };
    let header = header.map_err(|_| "no abi_stable header: build it with export_plugin!".to_owned())?;
    header.upgrade().map_err(|e| first_line(&e.to_string()))
}

/// The root module, and how its layout fits ours.
pub(crate) fn root(header: &'static LibHeader) -> Result<(PluginRoot_Ref, &'static str), String> {
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

/// What the plugin says of itself.
pub(crate) fn manifest(root: PluginRoot_Ref) -> Result<Manifest, String> {
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

fn first_line(text: &str) -> String {
    text.lines().map(str::trim).find(|l| !l.is_empty()).unwrap_or("unknown").to_owned()
}
