//! Loads one plugin file: own handle, probe, header, layout both ways, manifest. Never unloaded.

use std::path::{Path, PathBuf};

use abi_stable::StableAbi;
use abi_stable::abi_stability::abi_checking::check_layout_compatibility;
use abi_stable::library::{AbiHeaderRef, LibHeader, ROOT_MODULE_LOADER_NAME_WITH_NUL};
use libloading::Library;
use tunebench_plugin_api::abi::{API_MAJOR, MAGIC, Manifest, PROBE_SYMBOL, PluginRoot_Ref, Probe};

use crate::HostError;

/// A loaded plugin.
#[derive(Clone)]
pub struct Plugin {
    pub path: PathBuf,
    pub manifest: Manifest,
    /// Compiler it was built with.
    pub rustc: String,
    /// SHA-256 of the file.
    pub sha256: String,
    pub(crate) root: PluginRoot_Ref,
}

/// Larger files are no plugins of this contract, which link no framework.
const LARGEST_FILE: u64 = 512 << 20;

/// Loads and checks a plugin file.
///
/// # Errors
/// [`HostError::Load`] with the step that failed and why.
pub fn load(path: &Path) -> Result<Plugin, HostError> {
    let fail = |step, reason: String| HostError::Load { path: path.to_owned(), step, reason };
    let path = path.canonicalize().map_err(|e| fail("find", e.to_string()))?;
    let bytes = read(&path).map_err(|e| fail("read", e))?;
    check_elf(&bytes).map_err(|e| fail("check format", e))?;
    let sha256 = tunebench_spec::hash::of_bytes(&bytes);
    drop(bytes);

    // SAFETY: loading runs the library's initialisers. That is the trust a user gives by naming the file; the
    // format was checked above, so that a text or truncated file never gets here.
    let library = unsafe { Library::new(&path) }.map_err(|e| fail("open", e.to_string()))?;
    // Never unloaded: the plugin's functions, types and thread-locals stay reachable from here on.
    let library: &'static Library = Box::leak(Box::new(library));

    let probe = probe(library).map_err(|e| fail("probe", e))?;
    let header = header(library).map_err(|e| fail("header", e))?;
    let root = root(header).map_err(|e| fail("layout", e))?;
    let manifest = serde_json::from_str(&root.manifest()()).map_err(|e| fail("manifest", e.to_string()))?;
    Ok(Plugin { path, manifest, rustc: text(&probe.rustc), sha256, root })
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let meta = std::fs::metadata(path).map_err(|e| e.to_string())?;
    if !meta.is_file() {
        return Err("not a file".into());
    }
    if meta.len() > LARGEST_FILE {
        return Err(format!("{} bytes is too large for a plugin", meta.len()));
    }
    std::fs::read(path).map_err(|e| e.to_string())
}

/// Whether the file is a whole shared library of this machine. A truncated one would kill the process when mapped.
#[cfg(target_os = "linux")]
fn check_elf(bytes: &[u8]) -> Result<(), String> {
    let word = |at: usize, n: usize| -> Option<u64> {
        let slice = bytes.get(at..at + n)?;
        Some(slice.iter().rev().fold(0, |v, &b| v << 8 | u64::from(b)))
    };
    if bytes.get(..4) != Some(b"\x7fELF") {
        return Err("not a shared library (no ELF header)".into());
    }
    if (bytes.get(4), bytes.get(5)) != (Some(&2), Some(&1)) {
        return Err("not a 64-bit little-endian library".into());
    }
    let machine: u64 = if cfg!(target_arch = "x86_64") { 62 } else { 183 };
    if word(18, 2) != Some(machine) {
        return Err("built for another processor".into());
    }
    let truncated = || "truncated: copy or build it again".to_owned();
    // Program headers say which parts of the file are mapped; all must be there.
    let (table, size, count) = (word(32, 8), word(54, 2), word(56, 2));
    let (Some(table), Some(size), Some(count)) = (table, size, count) else { return Err(truncated()) };
    for i in 0..count {
        let entry = table.checked_add(i * size).filter(|at| at.saturating_add(56) <= bytes.len() as u64);
        let at = entry.and_then(|v| usize::try_from(v).ok()).ok_or_else(truncated)?;
        let (offset, length) = (word(at + 8, 8), word(at + 32, 8));
        let end = offset.zip(length).and_then(|(o, l)| o.checked_add(l)).ok_or_else(truncated)?;
        if end > bytes.len() as u64 {
            return Err(truncated());
        }
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn check_elf(_: &[u8]) -> Result<(), String> {
    Ok(())
}

fn probe(library: &Library) -> Result<Probe, String> {
    let missing = format!("no `{PROBE_SYMBOL}`: not a tunebench plugin (it must call export_plugin!)");
    // SAFETY: a symbol of this name has this signature by contract, in every version of it.
    let function = unsafe { library.get::<extern "C" fn(*mut Probe) -> i32>(PROBE_SYMBOL.as_bytes()) };
    let function = function.map_err(|_| missing.clone())?;
    let mut probe =
        Probe { magic: [0; 16], api_major: 0, api_minor: 0, panic_strategy: 0, pointer_bytes: 0, rustc: [0; 64] };
    if function(&raw mut probe) != 0 || probe.magic != MAGIC {
        return Err(missing);
    }
    if probe.api_major != API_MAJOR {
        return Err(format!(
            "built for plugin-api {}.{}, this host has {API_MAJOR}; build it with tunebench-plugin-api {API_MAJOR}",
            probe.api_major, probe.api_minor
        ));
    }
    if probe.panic_strategy != 0 {
        return Err("built with panic = \"abort\", which would kill the host; build it with panic = \"unwind\"".into());
    }
    if probe.pointer_bytes as usize != size_of::<usize>() {
        return Err("built for another pointer width".into());
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

fn root(header: &'static LibHeader) -> Result<PluginRoot_Ref, String> {
    let ours = <PluginRoot_Ref as StableAbi>::LAYOUT;
    let theirs = header.layout().ok_or("the library does not describe its layout")?;
    // abi_stable accepts a newer library in an older host. A library of an older minor version is as good: what it
    // lacks are trailing fields, which are read as absent. So either direction will do.
    if check_layout_compatibility(ours, theirs).is_err() {
        check_layout_compatibility(theirs, ours).map_err(|_| {
            "its types are laid out differently; build it with this host's tunebench-plugin-api".to_owned()
        })?;
    }
    // SAFETY: the layouts were found compatible.
    unsafe { header.unchecked_layout::<PluginRoot_Ref>() }.map_err(|e| first_line(&e.to_string()))
}

fn first_line(text: &str) -> String {
    text.lines().map(str::trim).find(|l| !l.is_empty()).unwrap_or("unknown").to_owned()
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}
