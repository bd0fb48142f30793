//! From a plugin file to a checked plugin: nothing of a file runs before it was checked, and it is never unloaded.
//!
//! `checks` is the order of the checks. `file` and `elf` look at the file, `library` opens it, `lock_file` holds
//! what the user has added.

mod checks;
#[cfg(target_os = "linux")]
mod elf;
mod file;
mod library;
mod lock_file;
mod plugin;

pub use checks::LoadCheck;
pub(crate) use checks::{CheckedFile, Passed};
pub use lock_file::{LockFile, LockedPlugin};
pub use plugin::Plugin;
