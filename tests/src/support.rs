//! Where the things under test are: the plugins, built as libraries, and the executable. They are found from this
//! test itself, which runs in `TARGET/debug/deps`; so any target folder will do and no variable need be set.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX, EXE_SUFFIX};
use std::path::{Path, PathBuf};

/// The folder of a profile: executable and plugins, side by side.
pub fn profile_dir() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let dir = this.parent().and_then(Path::parent).expect("cargo puts tests two folders deep");
    dir.to_owned()
}

/// The library of a plugin under plugins/, by package name.
pub fn plugin(package: &str) -> PathBuf {
    built(profile_dir().join(library_name(package)))
}

/// The folder of all profiles.
pub fn target_dir() -> PathBuf {
    profile_dir().parent().expect("a profile's folder is in the target folder").to_owned()
}

/// The library of a plugin under tests/third-party/, by package name.
pub fn third_party(package: &str) -> PathBuf {
    third_party_as("debug", package)
}

/// The same, as another profile has built it.
pub fn third_party_as(profile: &str, package: &str) -> PathBuf {
    built(target_dir().join("third-party").join(profile).join(library_name(package)))
}

/// `tunebench`.
pub fn executable() -> PathBuf {
    program("tunebench")
}

/// A program of the workspace, by its name.
pub fn program(name: &str) -> PathBuf {
    built(profile_dir().join(format!("{name}{EXE_SUFFIX}")))
}

/// A file or folder of the repository.
pub fn repository(path: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the repository");
    let path = root.join(path);
    assert!(path.exists(), "{} is missing", path.display());
    path
}

/// The file name of a library.
pub fn library_name(package: &str) -> String {
    format!("{DLL_PREFIX}{}{DLL_SUFFIX}", package.replace('-', "_"))
}

fn built(path: PathBuf) -> PathBuf {
    assert!(path.is_file(), "{} is missing; `cargo xtask test` builds it first", path.display());
    path
}
