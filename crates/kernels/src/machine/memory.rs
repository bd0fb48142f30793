//! Memory in bytes, as Linux counts it, of this process and of what it may have. Another system says none of it.

use std::path::Path;

use super::limits::{self, kib_field};

pub use super::limits::{LimitSource, MemoryLimit, SHARE, given};

const ROOT: &str = "/";

/// The most that this process has had resident, since it began or [`reset_peak`].
pub fn peak() -> Option<u64> {
    kib_field(Path::new(ROOT), "proc/self/status", "VmHWM:")
}

/// Forgets the peak so far. Where that is not possible it stays that of the whole process.
pub fn reset_peak() {
    // "5" resets the peak resident set size (proc_pid_clear_refs(5)); another system has no such file.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Gives memory back to the system that was freed and that the allocator keeps for later, where the allocator can.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it moves nothing that is in use, and any thread may call it (malloc_trim(3)).
    unsafe {
        libc::malloc_trim(0);
    }
}

/// What this process may have: what the machine has, or less where a container, another control group or a limit of the
/// process allows less, Slurm gave its job less, or it has a share among several; and which of them it is.
pub fn limit() -> Option<MemoryLimit> {
    let given = limits::given(|name| std::env::var(name).ok());
    limit_under(Path::new(ROOT)).into_iter().chain(given).min_by_key(|limit| limit.bytes)
}

/// What one of so many processes is given of so many bytes, as [`limit`] reads it from its environment.
pub fn share(bytes: u64, processes: usize) -> (&'static str, String) {
    (SHARE, format!("{:.3}", bytes as f64 / processes.max(1) as f64 / f64::from(1 << 30)))
}

/// The bytes of [`limit`].
pub fn total() -> Option<u64> {
    limit().map(|limit| limit.bytes)
}

/// What this process could get now, within [`limit`]: file caches that would be given back count as free.
pub fn available() -> Option<u64> {
    let given = limits::given(|name| std::env::var(name).ok()).map(|limit| limit.bytes);
    available_under(Path::new(ROOT)).into_iter().chain(given).min()
}

/// [`limit`] by the files below another root than `/`: the `proc` and `sys` of another machine.
pub fn limit_under(root: &Path) -> Option<MemoryLimit> {
    limits::total(root)
}

/// [`available`] by the files below another root than `/`.
pub fn available_under(root: &Path) -> Option<u64> {
    limits::available(root)
}
